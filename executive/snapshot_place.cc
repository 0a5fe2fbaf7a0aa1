#include "executive/snapshot_place.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/object_store/object_store.h"
#include "common/schema/errors.h"
#include "common/snapshot/folder.h"

namespace ctlstore::executive {
namespace {

class FolderPlace final : public SnapshotPlace {
 public:
  FolderPlace(std::string url, std::unique_ptr<object_store::ObjectStore> store)
      : url_(std::move(url)), store_(std::move(store)), folder_(store_.get()) {}

  std::string url() const override { return url_; }

  absl::StatusOr<std::vector<std::string>> List() override { return folder_.List(); }

  absl::StatusOr<snapshot::Manifest> ReadManifest(absl::string_view id) override {
    return folder_.ReadManifest(id);
  }

  absl::Status Verify(const snapshot::Manifest& manifest) override {
    return folder_.Verify(manifest);
  }

  absl::Status CheckIsThere(const snapshot::Manifest& manifest) override {
    const absl::StatusOr<object_store::ObjectInfo> info = store_->Stat(manifest.object);
    if (!info.ok()) return info.status();
    if (info->size == manifest.object_bytes) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged,
                           absl::StrCat(manifest.object, " has ", info->size,
                                        " bytes, and its manifest says ", manifest.object_bytes));
  }

  void Cancel() override { store_->Cancel(); }

 private:
  const std::string url_;
  const std::unique_ptr<object_store::ObjectStore> store_;
  snapshot::Folder folder_;
};

class SingleObjectPlace final : public SnapshotPlace {
 public:
  explicit SingleObjectPlace(std::string url) : url_(std::move(url)) {}

  std::string url() const override { return url_; }
  absl::StatusOr<std::vector<std::string>> List() override { return CoversNothing(); }
  absl::StatusOr<snapshot::Manifest> ReadManifest(absl::string_view) override {
    return CoversNothing();
  }
  absl::Status Verify(const snapshot::Manifest&) override { return CoversNothing(); }
  absl::Status CheckIsThere(const snapshot::Manifest&) override { return CoversNothing(); }
  void Cancel() override {}

 private:
  static absl::Status CoversNothing() {
    return absl::InvalidArgumentError(
        "a single object has no manifest, so it cannot cover anything of the ledger");
  }

  const std::string url_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotPlace>> OpenSnapshotPlace(
    const snapshot::Location& location, const object_store::StoreOptions& options) {
  if (location.form != snapshot::Location::Form::kFolder) {
    return std::unique_ptr<SnapshotPlace>(std::make_unique<SingleObjectPlace>(location.ToString()));
  }
  absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> store =
      object_store::OpenStore(location.store, options);
  if (!store.ok()) return store.status();
  return std::unique_ptr<SnapshotPlace>(
      std::make_unique<FolderPlace>(location.ToString(), *std::move(store)));
}

}  // namespace ctlstore::executive
