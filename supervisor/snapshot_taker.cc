#include "supervisor/snapshot_taker.h"

#include <glog/logging.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/ldb_copy.h"

namespace ctlstore::supervisor {
namespace {

// What our files in the work folder begin with: an operator may name a folder that has others.
constexpr char kFilePrefix[] = "ctlstore-snapshot.";
constexpr char kCopyName[] = "copy.db";
constexpr char kLockName[] = "lock";

// 0 where there is none. A link's own size says nothing.
int64_t FileBytes(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 ? file.st_size : 0;
}

// The WAL's file stands beside the file that a link leads to.
int64_t LdbBytes(const std::string& path) {
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(path, error);
  const std::string real = error ? path : file.string();
  return FileBytes(real) + FileBytes(real + "-wal");
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (!error && made) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("the folder for snapshots ", path, " cannot be made: ", error.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotTaker>> SnapshotTaker::Create(Options options) {
  if (options.work_path.empty()) options.work_path = absl::StrCat(options.ldb_path, ".snapshots");
  absl::Status status = MakeFolder(options.work_path);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      FileLock::Open(absl::StrCat(options.work_path, "/", kFilePrefix, kLockName));
  if (!lock.ok()) return lock.status();
  status = (*lock)->Lock(absl::ZeroDuration());
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("the folder for snapshots: ", status.message(),
                                     "; give each supervisor its own --snapshot_work_path"));
  }
  std::unique_ptr<SnapshotTaker> taker(new SnapshotTaker(std::move(options), *std::move(lock)));
  taker->RemoveLeftovers();
  return taker;
}

SnapshotTaker::SnapshotTaker(Options options, std::unique_ptr<FileLock> lock)
    : options_(std::move(options)), lock_(std::move(lock)) {}

void SnapshotTaker::RemoveLeftovers() {
  const std::string lock_name = absl::StrCat(kFilePrefix, kLockName);
  std::error_code error;
  for (std::filesystem::directory_iterator file(options_.work_path, error), end;
       !error && file != end; file.increment(error)) {
    const std::string name = file->path().filename().string();
    if (!absl::StartsWith(name, kFilePrefix) || name == lock_name) continue;
    std::error_code failed;
    std::filesystem::remove(file->path(), failed);
    LOG(INFO) << "event=leftover_removed path=" << file->path().string()
              << (failed ? absl::StrCat(" error=\"", failed.message(), "\"") : std::string());
  }
}

std::string SnapshotTaker::Path(absl::string_view name) const {
  return absl::StrCat(options_.work_path, "/", kFilePrefix, name);
}

absl::Status SnapshotTaker::CheckRoom() const {
  struct statvfs disk;
  if (statvfs(options_.work_path.c_str(), &disk) != 0) {
    return absl::UnavailableError(
        absl::StrCat("the folder for snapshots ", options_.work_path, ": ", std::strerror(errno)));
  }
  const int64_t free_bytes = static_cast<int64_t>(disk.f_bavail) * disk.f_frsize;
  const int64_t ldb_bytes = LdbBytes(options_.ldb_path);
  int64_t needed = ldb_bytes + options_.min_free_bytes;
  for (const snapshot::EncodeOptions& object : options_.objects) {
    const auto last = last_object_bytes_.find(object.compression);
    if (object.compression == snapshot::Compression::kNone) {
      needed += ldb_bytes;
    } else if (last != last_object_bytes_.end()) {
      needed += last->second;
    } else {
      needed += ldb_bytes / 2;
    }
  }
  if (free_bytes >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("no room for a snapshot in ", options_.work_path, ": ", free_bytes,
                   " bytes are free, about ", needed, " are needed for a local database of ",
                   ldb_bytes, "; make room, or name a folder with more in --snapshot_work_path"));
}

absl::StatusOr<std::shared_ptr<const TakenSnapshot>> SnapshotTaker::Take() {
  const std::string copy_path = Path(kCopyName);
  const auto remove_copy = absl::MakeCleanup([&] { unlink(copy_path.c_str()); });
  if (options_.on_stage) options_.on_stage(Stage::kCopying);
  const absl::Duration begin = options_.clock->SteadyNow();
  absl::StatusOr<snapshot::LdbCopy> copy = Copy(copy_path);
  EndStep("copy", begin, copy.status());
  if (!copy.ok()) return copy.status();

  snapshot::Manifest manifest;
  manifest.id = snapshot::NewSnapshotId(copy->position.sequence, copy->taken_at);
  manifest.position = copy->position;
  manifest.taken_at = copy->taken_at;
  manifest.last_update = std::move(copy->last_update);
  manifest.families = std::move(copy->families);
  manifest.tables = std::move(copy->tables);
  manifest.instance = options_.instance;
  if (options_.on_stage) options_.on_stage(Stage::kCompressing);
  const absl::Duration compress_begin = options_.clock->SteadyNow();
  auto taken = Encode(copy_path, std::move(manifest));
  EndStep("compress", compress_begin, taken.status());
  return taken;
}

absl::StatusOr<snapshot::LdbCopy> SnapshotTaker::Copy(const std::string& copy_path) const {
  absl::Status room = CheckRoom();
  if (!room.ok()) return room;
  return snapshot::CopyLdb(options_.ldb_path, copy_path, options_.cancelled);
}

absl::StatusOr<std::shared_ptr<const TakenSnapshot>> SnapshotTaker::Encode(
    const std::string& copy_path, snapshot::Manifest manifest) {
  // Removes what there is of it when it ends early.
  auto taken = std::make_shared<TakenSnapshot>(std::move(manifest));
  for (const snapshot::EncodeOptions& object : options_.objects) {
    TakenSnapshot::Object made;
    made.path = Path(snapshot::SnapshotObjectName(taken->id(), object.compression));
    absl::StatusOr<snapshot::EncodedObject> encoded =
        snapshot::EncodeObject(copy_path, made.path, object, options_.cancelled);
    if (!encoded.ok()) {
      unlink(made.path.c_str());
      return encoded.status();
    }
    last_object_bytes_[object.compression] = encoded->object_bytes;
    made.encoded = *std::move(encoded);
    taken->Add(object.compression, std::move(made));
  }
  return std::shared_ptr<const TakenSnapshot>(std::move(taken));
}

void SnapshotTaker::EndStep(absl::string_view step, absl::Duration begin,
                            const absl::Status& status) const {
  if (options_.on_step) options_.on_step(step, options_.clock->SteadyNow() - begin, status);
}

}  // namespace ctlstore::supervisor
