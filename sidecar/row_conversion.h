// The local database's rows as the API's messages.

#ifndef CTLSTORE_SIDECAR_ROW_CONVERSION_H_
#define CTLSTORE_SIDECAR_ROW_CONVERSION_H_

#include "common/ldb/reader.h"
#include "ctlstore/v1/value.pb.h"

namespace ctlstore::sidecar {

// Copies an existing row into `*proto`, which must be empty.
void ToProto(const ldb::RowView& row, v1::Row* proto);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_ROW_CONVERSION_H_
