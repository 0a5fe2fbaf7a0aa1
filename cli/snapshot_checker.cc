#include "cli/snapshot_checker.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "cli/restore/snapshot_tables.h"
#include "common/object_store/open_store.h"
#include "common/schema/errors.h"
#include "common/snapshot/folder.h"

namespace ctlstore::cli {
namespace {

using snapshot::Location;
using snapshot::Manifest;

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

}  // namespace

absl::StatusOr<std::vector<CheckedSnapshot>> SnapshotChecker::Run() {
  absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> store =
      object_store::OpenStore(options_.place.store, options_.fetch.store);
  if (!store.ok()) return store.status();
  return options_.place.form == Location::Form::kFolder ? CheckFolder(store->get())
                                                        : CheckObject(store->get());
}

void SnapshotChecker::EmptyFolder() const {
  std::error_code ignored;
  for (std::filesystem::directory_iterator file(options_.folder, ignored), end;
       !ignored && file != end; file.increment(ignored)) {
    std::error_code failed;
    std::filesystem::remove_all(file->path(), failed);
  }
}

absl::StatusOr<std::vector<CheckedSnapshot>> SnapshotChecker::CheckFolder(
    object_store::ObjectStore* store) {
  absl::StatusOr<std::vector<std::string>> ids = snapshot::Folder(store).List();
  if (!ids.ok()) return ids.status();
  std::vector<CheckedSnapshot> result;
  for (const std::string& id : *ids) {
    if (!options_.id.empty() && id != options_.id) continue;
    if (options_.fetch.cancelled && options_.fetch.cancelled())
      return absl::CancelledError("ended");
    CheckedSnapshot checked;
    checked.place = options_.place.ToString();
    checked.id = id;
    checked.status = Check(store, id, &checked);
    result.push_back(std::move(checked));
    if (options_.id.empty() && !options_.all) break;
  }
  return result;
}

absl::Status SnapshotChecker::Check(object_store::ObjectStore* store, const std::string& id,
                                    CheckedSnapshot* checked) {
  snapshot::Folder folder(store);
  absl::StatusOr<Manifest> manifest = folder.ReadManifest(id);
  if (!manifest.ok()) return manifest.status();
  checked->sequence = manifest->position.sequence;
  checked->object_bytes = manifest->object_bytes;
  checked->tables = manifest->tables.size();
  absl::Status status = folder.Verify(*manifest);
  // The manifest says that it is there.
  if (absl::IsNotFound(status)) return Damaged(status.message());
  if (!status.ok() || !options_.deep) return status;
  absl::StatusOr<snapshot::FetchedSnapshot> fetched =
      snapshot::FetchById(options_.place, id, options_.folder, options_.fetch);
  status = fetched.status();
  if (status.ok()) status = CheckTables(options_.folder + "/ldb.db", *manifest);
  EmptyFolder();
  return status;
}

absl::StatusOr<std::vector<CheckedSnapshot>> SnapshotChecker::CheckObject(
    object_store::ObjectStore* store) {
  std::vector<CheckedSnapshot> result;
  if (!options_.id.empty()) return result;
  absl::StatusOr<object_store::ObjectInfo> info = store->Stat(options_.place.key);
  if (!info.ok()) return info.status();
  CheckedSnapshot checked;
  checked.place = options_.place.ToString();
  checked.object_bytes = info->size;
  if (!options_.deep) {
    checked.status =
        absl::UnimplementedError("it has no manifest: only --deep tells whether it is good");
  } else {
    absl::StatusOr<snapshot::FetchedSnapshot> fetched =
        snapshot::FetchNewest({options_.place}, options_.folder, options_.fetch);
    checked.status = fetched.status();
    if (fetched.ok()) checked.sequence = fetched->position.sequence;
    EmptyFolder();
  }
  result.push_back(std::move(checked));
  return result;
}

}  // namespace ctlstore::cli
