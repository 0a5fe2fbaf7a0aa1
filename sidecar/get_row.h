// The calls GetRow and BatchGetRows.

#ifndef CTLSTORE_SIDECAR_GET_ROW_H_
#define CTLSTORE_SIDECAR_GET_ROW_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "absl/status/status.h"
#include "common/ldb/reader.h"
#include "ctlstore/v1/sidecar.pb.h"

namespace ctlstore::sidecar {

// `*response` becomes a v1::GetRowResponse.
absl::Status GetRow(ldb::Reader* reader, const v1::GetRowRequest& request,
                    grpc::ByteBuffer* response);

// `*response` becomes a v1::BatchGetRowsResponse of at most `max_bytes`. Errors about one key have
// its path: "keys[3].family".
absl::Status BatchGetRows(ldb::Reader* reader, const v1::BatchGetRowsRequest& request,
                          size_t max_bytes, grpc::ByteBuffer* response);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_GET_ROW_H_
