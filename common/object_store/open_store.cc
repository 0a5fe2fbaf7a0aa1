#include "common/object_store/open_store.h"

#include "absl/status/status.h"
#include "common/object_store/file_store.h"
#include "common/object_store/http_store.h"
#include "common/object_store/s3_store.h"

namespace ctlstore::object_store {

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const StoreUrl& url,
                                                       const StoreOptions& options) {
  const absl::Status status = CheckStoreOptions(options);
  if (!status.ok()) return status;
  switch (url.kind) {
    case StoreUrl::Kind::kFile:
      return std::make_unique<FileStore>(url);
    case StoreUrl::Kind::kHttp:
      return std::make_unique<HttpStore>(url, options);
    case StoreUrl::Kind::kS3:
      return OpenS3Store(url, options);
  }
  return absl::InvalidArgumentError("there is no such kind of object store");
}

}  // namespace ctlstore::object_store
