// The flags by which programs that use object stores are set up.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_STORE_FLAGS_H_
#define CTLSTORE_COMMON_OBJECT_STORE_STORE_FLAGS_H_

#include "absl/status/statusor.h"
#include "common/object_store/open_store.h"

namespace ctlstore::object_store {

// From --s3_endpoint, --s3_region, --s3_path_style, --s3_part_bytes, --s3_parallel_parts,
// --object_store_ca_file, --object_store_stall_seconds, --object_store_max_attempts, which this
// library defines. INVALID_ARGUMENT names the flag.
absl::StatusOr<StoreOptions> StoreOptionsFromFlags();

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_STORE_FLAGS_H_
