// The calls about tables and about the copy as a whole: GetTable, ListTables, GetStatus.

#ifndef CTLSTORE_SIDECAR_TABLE_CALLS_H_
#define CTLSTORE_SIDECAR_TABLE_CALLS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/ldb/reader.h"
#include "ctlstore/v1/sidecar.pb.h"

namespace ctlstore::sidecar {

absl::Status GetTable(ldb::Reader* reader, const v1::SidecarGetTableRequest& request,
                      v1::SidecarGetTableResponse* response);

// The answer has at most `max_bytes`.
absl::Status ListTables(ldb::Reader* reader, const v1::SidecarListTablesRequest& request,
                        size_t max_bytes, v1::SidecarListTablesResponse* response);

// All but `instance`.
absl::Status GetStatus(ldb::Reader* reader, absl::Time now, v1::GetStatusResponse* response);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_TABLE_CALLS_H_
