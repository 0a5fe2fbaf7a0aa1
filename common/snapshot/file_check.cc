#include "common/snapshot/file_check.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_check.h"
#include "common/ldb/ldb_facts.h"
#include "common/schema/errors.h"
#include "common/snapshot/disk.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
// Each takes a connection, with a few MB.
constexpr unsigned kMaxThreads = 8;

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

absl::Status RemoveFilesBeside(const std::string& path) {
  absl::Status status = RemoveFile(absl::StrCat(path, "-wal"));
  if (status.ok()) status = RemoveFile(absl::StrCat(path, "-shm"));
  if (status.ok()) status = RemoveFile(absl::StrCat(path, "-journal"));
  return status;
}

absl::Status ReadState(sqlite::Database* database, FileState* state) {
  absl::StatusOr<ldb::LdbFacts> facts = ldb::ReadLdbFacts(database);
  if (absl::IsFailedPrecondition(facts.status())) return Damaged(facts.status().message());
  if (!facts.ok()) return facts.status();
  if (facts->position.sequence <= 0) return Damaged("it has no position in the ledger");
  state->position = std::move(facts->position);
  state->families = std::move(facts->families);
  return absl::OkStatus();
}

absl::StatusOr<FileState> Check(const std::string& path, bool digest_is_right,
                                const std::function<bool()>& cancelled) {
  FileState state;
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return DiskError(errno, "look at", path);
  state.file_bytes = info.st_size;
  // SQLite takes an empty file for an empty database.
  if (info.st_size == 0) return Damaged("it is empty");
  absl::Status status =
      digest_is_right
          ? ldb::CheckLdbTrees(
                path, static_cast<int>(std::min(kMaxThreads, std::thread::hardware_concurrency())),
                cancelled)
          : ldb::CheckLdb(path, cancelled);
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
    if (!database.ok()) return database.status();
    status = ReadState(database->get(), &state);
  }
  if (status.ok()) return state;
  if (absl::IsDataLoss(status) && !ErrorReason(status).has_value()) {
    return Damaged(status.message());
  }
  // Whatever SQLite says of a table that it cannot read in the form that it has to have.
  if (absl::IsInternal(status)) return Damaged(status.message());
  return status;
}

std::string Named(const std::vector<std::string>& families) {
  return families.empty() ? "all families" : absl::StrJoin(families, ",");
}

}  // namespace

absl::StatusOr<FileState> CheckFile(const std::string& path, bool digest_is_right,
                                    const std::function<bool()>& cancelled) {
  absl::Status status = RemoveFilesBeside(path);
  if (!status.ok()) return status;
  absl::StatusOr<FileState> state = Check(path, digest_is_right, cancelled);
  status = RemoveFilesBeside(path);
  if (state.ok() && !status.ok()) return status;
  return state;
}

absl::Status CompareWithManifest(const FileState& state, const Manifest& manifest) {
  if (state.file_bytes != manifest.file_bytes) {
    return Damaged(absl::StrCat("the file has ", state.file_bytes,
                                " bytes where its manifest says ", manifest.file_bytes));
  }
  if (state.position.sequence != manifest.position.sequence) {
    return Damaged(absl::StrCat("the file is at sequence ", state.position.sequence,
                                " where its manifest says ", manifest.position.sequence));
  }
  if (state.position.digest != manifest.position.digest) {
    return Damaged(absl::StrCat("the file's last ledger entry has the digest ",
                                absl::BytesToHexString(state.position.digest),
                                " where its manifest says ",
                                absl::BytesToHexString(manifest.position.digest)));
  }
  if (state.families != manifest.families) {
    return Damaged(absl::StrCat("the file has ", Named(state.families), " where its manifest says ",
                                Named(manifest.families)));
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::snapshot
