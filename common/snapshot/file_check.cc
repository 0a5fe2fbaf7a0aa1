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
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_check.h"
#include "common/ldb/ldb_tables.h"
#include "common/schema/errors.h"
#include "common/schema/value.h"
#include "common/snapshot/disk.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
// Each takes a connection, with a few MB.
constexpr unsigned kMaxThreads = 8;
constexpr char kHasTable[] =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

absl::Status RemoveFilesBeside(const std::string& path) {
  absl::Status status = RemoveFile(absl::StrCat(path, "-wal"));
  if (status.ok()) status = RemoveFile(absl::StrCat(path, "-shm"));
  if (status.ok()) status = RemoveFile(absl::StrCat(path, "-journal"));
  return status;
}

// The first value of a query with a parameter, NULL where there is no row.
absl::StatusOr<Value> QueryValue(sqlite::Database* database, const char* sql,
                                 absl::optional<absl::string_view> parameter) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status();
  if (parameter.has_value()) {
    absl::Status status = (*statement)->Bind(1, *parameter);
    if (!status.ok()) return status;
  }
  absl::StatusOr<bool> row = (*statement)->Step();
  if (!row.ok()) return row.status();
  return *row ? Value((*statement)->Column(0)) : Value();
}

absl::Status ReadState(sqlite::Database* database, FileState* state) {
  absl::StatusOr<Value> value = QueryValue(database, kHasTable, "_ldb_seq");
  if (!value.ok()) return value.status();
  if (*value != Value::Integer(1)) {
    return Damaged("it is no local database: there is no table _ldb_seq");
  }
  value = QueryValue(database, ldb::kReadSequence, absl::nullopt);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kInteger || value->integer() <= 0) {
    return Damaged("it has no position in the ledger");
  }
  state->position.sequence = value->integer();

  value = QueryValue(database, kHasTable, "_ldb_state");
  if (!value.ok()) return value.status();
  if (*value != Value::Integer(1)) return absl::OkStatus();
  absl::StatusOr<Value> sequence = QueryValue(database, ldb::kReadState, ldb::kStateSequence);
  if (!sequence.ok()) return sequence.status();
  absl::StatusOr<Value> digest = QueryValue(database, ldb::kReadState, ldb::kStateDigest);
  if (!digest.ok()) return digest.status();
  // Otherwise another program has gone on with the file, which does not know of the digest.
  if (*sequence == Value::Integer(state->position.sequence) &&
      digest->kind() == ValueKind::kBytes) {
    state->position.digest = std::string(digest->data());
  }
  absl::StatusOr<Value> families = QueryValue(database, ldb::kReadState, ldb::kStateFamilies);
  if (!families.ok()) return families.status();
  if (families->kind() == ValueKind::kText) {
    state->families = absl::StrSplit(families->data(), ',', absl::SkipEmpty());
  }
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
