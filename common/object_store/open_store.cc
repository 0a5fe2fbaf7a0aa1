#include "common/object_store/open_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/object_store/file_store.h"

namespace ctlstore::object_store {

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const StoreUrl& url,
                                                       const StoreOptions& options) {
  (void)options;
  std::unique_ptr<ObjectStore> store;
  switch (url.kind) {
    case StoreUrl::Kind::kFile:
      store = std::make_unique<FileStore>(url);
      break;
    case StoreUrl::Kind::kS3:
    case StoreUrl::Kind::kHttp:
      return absl::UnimplementedError(absl::StrCat(url.ToString(), ": cannot be opened yet"));
  }
  return store;
}

}  // namespace ctlstore::object_store
