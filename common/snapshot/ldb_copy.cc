#include "common/snapshot/ldb_copy.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/ldb/ldb_check.h"
#include "common/ldb/ldb_facts.h"
#include "common/ldb/ordered_rows.h"
#include "common/ldb/table_checksum.h"
#include "common/schema/names.h"
#include "common/sql/quote.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
// SQLite asks after so many of its steps whether it is to go on.
constexpr int kStepsBetweenQuestions = 100;
// A commit may come between the beginnings of two transactions. They are less than a millisecond
// apart, so that another attempt soon succeeds, however busy the writer is.
constexpr int kMaxAttempts = 1000;
constexpr unsigned kMaxCheckThreads = 8;
// For each connection. More than SQLite has by itself, for the rows that are found by an index.
constexpr char kUseCache[] = "PRAGMA cache_size=-16000";
// Where a database says by which versions of SQLite it may be written and read: those with a WAL.
constexpr off_t kFormatVersionsOffset = 18;
constexpr char kWalFormatVersions[] = {2, 2};

constexpr char kListTables[] =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE "
    "'\\' AND name NOT LIKE '\\_ldb\\_%' ESCAPE '\\' ORDER BY name";

absl::Status Damaged(absl::string_view what) { return absl::DataLossError(what); }

// A status of SQLite as one that CopyLdb() may return. What SQLite cannot do although it is right
// to ask for it, is the file's fault.
absl::Status Mapped(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
      return status;
    default:
      return Damaged(status.message());
  }
}

absl::StatusOr<int64_t> Count(sqlite::Database* database, const std::string& table,
                              absl::string_view how) {
  std::string sql = "SELECT count(*) FROM ";
  sql::AppendIdentifier(table, &sql);
  absl::StrAppend(&sql, " ", how);
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row = (*statement)->Step();
  if (!row.ok()) return row.status();
  return (*statement)->Column(0).integer();
}

// Beside the table itself.
absl::StatusOr<bool> HasIndex(sqlite::Database* database, const std::string& table) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
      database->Prepare("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1");
  if (!statement.ok()) return statement.status();
  absl::Status bound = (*statement)->Bind(1, table);
  if (!bound.ok()) return bound;
  return (*statement)->Step();
}

void RemoveCopy(const std::string& path) {
  for (const char* ending : {"", "-journal", "-wal", "-shm"}) {
    unlink(absl::StrCat(path, ending).c_str());
  }
}

// One attempt to copy the LDB. Two connections read it at the same state: the first one copies, and
// the second one reads the tables' checksums in another thread.
class Copying {
 public:
  Copying(std::string ldb_path, const std::string& copy_path,
          const std::function<bool()>& cancelled)
      : ldb_path_(std::move(ldb_path)), copy_path_(copy_path), cancelled_(cancelled) {}
  ~Copying() {
    if (summing_.joinable()) summing_.join();
  }

  // nullopt where a commit came between the beginnings of the two transactions.
  absl::StatusOr<absl::optional<LdbCopy>> Run() {
    Fail(Open());
    if (!IsStopped()) Fail(Vacuum());
    if (summing_.joinable()) summing_.join();
    if (state_ == State::kOther) return absl::optional<LdbCopy>();
    if (!IsStopped()) Fail(Check());
    absl::MutexLock lock(&mutex_);
    if (!first_error_.ok()) return first_error_;
    return absl::make_optional(std::move(copy_));
  }

 private:
  // Whether the checksums are read at the copy's state.
  enum class State { kUnknown, kSame, kOther };

  // Where one thread fails, the other one is stopped, and fails because of that.
  void Fail(const absl::Status& status) {
    if (status.ok()) return;
    absl::MutexLock lock(&mutex_);
    if (first_error_.ok()) first_error_ = status;
    stopped_ = true;
  }

  bool IsStopped() {
    if (!stopped_ && cancelled_ != nullptr && cancelled_()) {
      Fail(absl::CancelledError("the copy was cancelled"));
    }
    return stopped_;
  }

  absl::Status OpenOne(const std::string& path, int (*ask)(void*),
                       std::unique_ptr<sqlite::Database>* database) {
    absl::StatusOr<std::unique_ptr<sqlite::Database>> opened =
        sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
    if (!opened.ok()) return Mapped(opened.status());
    *database = *std::move(opened);
    // A name in double quotes is a column, never a text.
    sqlite3_db_config((*database)->handle(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
    sqlite3_progress_handler((*database)->handle(), kStepsBetweenQuestions, ask, this);
    return Mapped((*database)->Execute(kUseCache));
  }

  absl::Status Open() {
    absl::Status status = OpenOne(
        ldb_path_, [](void* self) { return static_cast<Copying*>(self)->AskedByVacuum(); },
        &vacuum_);
    if (status.ok()) {
      status = OpenOne(
          ldb_path_, [](void* self) { return static_cast<Copying*>(self)->IsStopped() ? 1 : 0; },
          &checksums_);
    }
    if (!status.ok()) return status;
    absl::StatusOr<ldb::LdbFacts> facts = ldb::ReadLdbFacts(checksums_.get());
    if (!facts.ok()) return FactsError(facts.status());
    facts_ = *std::move(facts);
    if (facts_.position.sequence <= 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("the local database ", ldb_path_, " has no position in the ledger yet"));
    }
    if (facts_.skipped_entries > 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("the local database ", ldb_path_, " has gone over ", facts_.skipped_entries,
                       " ledger entries, so it is not what the ctldb is; build it anew to take "
                       "snapshots of it"));
    }
    return absl::OkStatus();
  }

  absl::Status FactsError(const absl::Status& status) {
    if (!absl::IsFailedPrecondition(status)) return Mapped(status);
    return absl::FailedPreconditionError(absl::StrCat(ldb_path_, ": ", status.message()));
  }

  absl::Status Vacuum() {
    absl::Status status = vacuum_->Execute("PRAGMA synchronous=OFF");
    if (!status.ok()) return Mapped(status);
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
        vacuum_->Prepare("VACUUM INTO ?1");
    if (!statement.ok()) return Mapped(statement.status());
    // SQLite may be built to take a name that begins so for a URI.
    const std::string path =
        absl::StartsWith(copy_path_, "file:") ? absl::StrCat("./", copy_path_) : copy_path_;
    status = (*statement)->Bind(1, path);
    if (status.ok()) status = (*statement)->Run();
    // A small file is copied before anyone asks.
    if (status.ok() && state_ == State::kUnknown) BeginChecksums();
    statement->reset();
    vacuum_.reset();
    return Mapped(status);
  }

  int AskedByVacuum() {
    // From when on the copy is of one state.
    if (state_ == State::kUnknown &&
        sqlite3_txn_state(vacuum_->handle(), "main") == SQLITE_TXN_READ) {
      BeginChecksums();
    }
    return IsStopped() ? 1 : 0;
  }

  // Called in the thread of the copy. The state that the copy is of began after `facts_` were read.
  // When they still hold now, it is the state of now.
  void BeginChecksums() {
    absl::Status status = checksums_->Execute("BEGIN");
    absl::StatusOr<ldb::LdbFacts> now = facts_;
    if (status.ok()) now = ldb::ReadLdbFacts(checksums_.get());
    if (status.ok()) status = now.status();
    copy_.taken_at = absl::Now();
    if (status.ok() && *now == facts_) {
      state_ = State::kSame;
      summing_ = std::thread([this] { Fail(Mapped(ReadChecksums())); });
      return;
    }
    if (status.ok()) {
      state_ = State::kOther;
      stopped_ = true;
    } else {
      state_ = State::kSame;
      Fail(Mapped(status));
    }
  }

  absl::Status ReadChecksums() {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> list = checksums_->Prepare(kListTables);
    if (!list.ok()) return list.status();
    absl::StatusOr<bool> row;
    while ((row = (*list)->Step()).ok() && *row) {
      sql_tables_.emplace_back((*list)->Column(0).data());
    }
    list->reset();
    if (!row.ok()) return row.status();
    for (const std::string& sql_table : sql_tables_) {
      absl::StatusOr<ldb::ChecksummedTable> table = ldb::ChecksumTable(checksums_.get(), sql_table);
      if (!table.ok()) return table.status();
      TableSummary summary{"", sql_table, table->rows, table->checksum};
      const absl::StatusOr<TableName> name = ParseSqlTableName(sql_table);
      if (name.ok()) {
        summary.family = name->family;
        summary.table = name->table;
      }
      copy_.tables.push_back(std::move(summary));
    }
    return checksums_->Execute("COMMIT");
  }

  absl::Status Check() {
    checksums_.reset();
    const std::function<bool()> cancelled = [this] { return IsStopped(); };
    const unsigned threads =
        std::max(1u, std::min(kMaxCheckThreads, std::thread::hardware_concurrency()));
    absl::Status status = ldb::CheckLdbTrees(copy_path_, static_cast<int>(threads), cancelled);
    if (status.ok()) status = Mapped(CheckContents());
    if (!status.ok()) return status;

    // Who opens a local database expects one with a WAL.
    const int fd = open(copy_path_.c_str(), O_WRONLY | O_CLOEXEC);
    struct stat about {};
    const bool written = fd >= 0 &&
                         pwrite(fd, kWalFormatVersions, sizeof(kWalFormatVersions),
                                kFormatVersionsOffset) == sizeof(kWalFormatVersions) &&
                         fstat(fd, &about) == 0;
    const int error = errno;
    if (fd >= 0) close(fd);
    if (!written) {
      return absl::UnavailableError(
          absl::StrCat("cannot write ", copy_path_, ": ", std::strerror(error)));
    }
    copy_.position = facts_.position;
    copy_.last_update = facts_.last_update;
    copy_.families = facts_.families;
    copy_.file_bytes = about.st_size;
    return absl::OkStatus();
  }

  // Against what was read from the original.
  absl::Status CheckContents() {
    std::unique_ptr<sqlite::Database> copy;
    absl::Status status = OpenOne(
        copy_path_, [](void* self) { return static_cast<Copying*>(self)->IsStopped() ? 1 : 0; },
        &copy);
    if (!status.ok()) return status;
    const absl::StatusOr<ldb::LdbFacts> facts = ldb::ReadLdbFacts(copy.get());
    if (!facts.ok()) return facts.status();
    if (*facts != facts_) return Damaged("the copy has another position than the local database");
    for (size_t i = 0; i < sql_tables_.size(); ++i) {
      // The digest has counted entries of the key's index that lead to rows. Where there is an
      // index beside the table, the first count goes through it, and the second one does not.
      absl::StatusOr<bool> indexed = HasIndex(copy.get(), sql_tables_[i]);
      if (!indexed.ok()) return indexed.status();
      // Where the keys have no index of their own, one count says it all.
      absl::StatusOr<bool> has_index = ldb::KeyIsInAnIndex(copy.get(), sql_tables_[i]);
      if (!has_index.ok()) return has_index.status();
      std::vector<const char*> ways = {"NOT INDEXED"};
      if (*has_index) ways.push_back("");
      for (const char* how : ways) {
        if (!*indexed && *how != '\0') continue;
        const absl::StatusOr<int64_t> rows = Count(copy.get(), sql_tables_[i], how);
        if (!rows.ok()) return rows.status();
        if (*rows != copy_.tables[i].rows) {
          return Damaged(absl::StrCat("the table ", sql_tables_[i], " is damaged: it has ", *rows,
                                      " rows or keys where the local database has ",
                                      copy_.tables[i].rows, " rows"));
        }
      }
    }
    return absl::OkStatus();
  }

  const std::string ldb_path_;
  const std::string& copy_path_;
  const std::function<bool()>& cancelled_;
  std::atomic<bool> stopped_{false};
  absl::Mutex mutex_;
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<sqlite::Database> vacuum_;
  State state_ = State::kUnknown;
  ldb::LdbFacts facts_;
  LdbCopy copy_;

  // Of the thread while it runs, as are the copy's tables.
  std::unique_ptr<sqlite::Database> checksums_;
  std::vector<std::string> sql_tables_;
  std::thread summing_;
};

}  // namespace

absl::StatusOr<LdbCopy> CopyLdb(const std::string& ldb_path, const std::string& copy_path,
                                const std::function<bool()>& cancelled) {
  for (int i = 0; i < kMaxAttempts; ++i) {
    RemoveCopy(copy_path);
    // Both connections open the same file, also when another one is put in its place.
    std::error_code error;
    const std::string path = std::filesystem::canonical(ldb_path, error).string();
    if (error == std::errc::no_such_file_or_directory) {
      return absl::NotFoundError(absl::StrCat("there is no local database at ", ldb_path));
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot read ", ldb_path, ": ", error.message()));
    }
    absl::StatusOr<absl::optional<LdbCopy>> copy = Copying(path, copy_path, cancelled).Run();
    if (!copy.ok()) {
      RemoveCopy(copy_path);
      return copy.status();
    }
    if (copy->has_value()) return **std::move(copy);
  }
  RemoveCopy(copy_path);
  return absl::UnavailableError(absl::StrCat("the local database ", ldb_path,
                                             " was written each time that a copy of it was begun"));
}

}  // namespace ctlstore::snapshot
