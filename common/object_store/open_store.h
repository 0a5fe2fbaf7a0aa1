// From a URL to an object store.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_OPEN_STORE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_OPEN_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/object_store/object_store.h"
#include "common/object_store/store_options.h"
#include "common/object_store/store_url.h"

namespace ctlstore::object_store {

// Waits for nothing: a store that is away says so when it is used. INVALID_ARGUMENT for options
// that make no sense.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const StoreUrl& url,
                                                       const StoreOptions& options);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_OPEN_STORE_H_
