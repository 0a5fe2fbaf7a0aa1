#include "common/ldb/ldb_check.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/schema/value.h"
#include "common/sql/quote.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

// Only a reader that repairs the WAL after a crash is ever waited for.
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);
// After how many of SQLite's steps it is asked whether the check is cancelled.
constexpr int kStepsBetweenQuestions = 1000;

constexpr char kListTables[] = "SELECT name FROM sqlite_schema WHERE type = 'table'";
constexpr char kListIndexes[] = "SELECT name FROM pragma_index_list(?1)";
constexpr char kListIndexColumns[] =
    "SELECT name FROM pragma_index_info(?1) WHERE name IS NOT NULL ORDER BY seqno";

std::string Quoted(absl::string_view identifier) {
  std::string quoted;
  sql::AppendIdentifier(identifier, &quoted);
  return quoted;
}

int Rank(ValueKind kind) {
  switch (kind) {
    case ValueKind::kNull:
      return 0;
    case ValueKind::kInteger:
    case ValueKind::kDecimal:
      return 1;
    case ValueKind::kText:
      return 2;
    case ValueKind::kBytes:
      return 3;
  }
  return 0;
}

// As SQLite orders values: negative, zero or positive.
int Compare(const ValueView& a, const ValueView& b) {
  if (Rank(a.kind()) != Rank(b.kind())) return Rank(a.kind()) - Rank(b.kind());
  if (Rank(a.kind()) == 0) return 0;
  if (Rank(a.kind()) > 1) return a.data().compare(b.data());
  const auto number = [](const ValueView& value) {
    // Exact for all integers and all doubles.
    return value.kind() == ValueKind::kInteger ? static_cast<long double>(value.integer())
                                               : static_cast<long double>(value.decimal());
  };
  return number(a) < number(b) ? -1 : number(a) > number(b) ? 1 : 0;
}

class Check {
 public:
  Check(sqlite::Database* database, const std::function<bool()>& cancelled)
      : database_(database), cancelled_(cancelled) {
    sqlite3_progress_handler(
        database_->handle(), kStepsBetweenQuestions,
        [](void* self) { return static_cast<Check*>(self)->IsCancelled() ? 1 : 0; }, this);
  }
  ~Check() { sqlite3_progress_handler(database_->handle(), 0, nullptr, nullptr); }

  // All of it.
  absl::Status Run() {
    std::vector<std::string> tables;
    absl::Status status = ListTables(&tables);
    for (const std::string& table : tables) {
      if (!status.ok()) break;
      status = Judge(Table(table));
    }
    return status;
  }

  // Also SQLite's own one, as the first one, which is checked by this.
  absl::Status ListTables(std::vector<std::string>* tables) {
    // Cells that reach past their page are found when the page is read.
    absl::Status status = database_->Execute("PRAGMA cell_size_check=1");
    if (status.ok()) status = Table("sqlite_schema");
    if (status.ok()) status = Names(kListTables, nullptr, tables);
    return Judge(status);
  }

  absl::Status TableTrees(const std::string& table) {
    if (IsCancelled()) return Judge(absl::CancelledError(""));
    absl::Status status = database_->Execute("PRAGMA cell_size_check=1");
    if (status.ok()) status = Trees(table);
    return Judge(status);
  }

 private:
  // What is told of an error.
  absl::Status Judge(const absl::Status& status) const {
    if (status.ok() || absl::IsDataLoss(status)) return status;
    if (was_cancelled_) return absl::CancelledError("the check was cancelled");
    return absl::UnavailableError(status.message());
  }

  bool IsCancelled() {
    if (!was_cancelled_) was_cancelled_ = cancelled_ != nullptr && cancelled_();
    return was_cancelled_;
  }

  absl::Status Table(const std::string& table) {
    if (IsCancelled()) return absl::CancelledError("");
    absl::Status status = database_->Execute("BEGIN");
    if (!status.ok()) return status;
    status = Trees(table);
    if (status.ok()) status = Indexes(table);
    // Some errors have ended the transaction already.
    if (database_->in_transaction()) database_->Execute("ROLLBACK").IgnoreError();
    return status;
  }

  // The structure of the table's and its indexes' B-trees.
  absl::Status Trees(const std::string& table) {
    if (table != "sqlite_schema") {
      absl::StatusOr<int64_t> there =
          Count(absl::StrCat("sqlite_schema WHERE type = 'table' AND name = ", Literal(table)));
      if (!there.ok()) return there.status();
      // It was dropped meanwhile.
      if (*there == 0) return absl::OkStatus();
    }
    // For a table without rowid quick_check is no faster, and before SQLite 3.41 it takes some key
    // columns for null.
    absl::StatusOr<int64_t> without_rowid =
        Count(absl::StrCat("pragma_table_list(", Literal(table), ") WHERE wr"));
    if (!without_rowid.ok()) return without_rowid.status();
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> check = database_->Prepare(absl::StrCat(
        "PRAGMA ", *without_rowid > 0 ? "integrity" : "quick", "_check(", Literal(table), ")"));
    if (!check.ok()) return check.status();
    absl::StatusOr<bool> row = (*check)->Step();
    if (!row.ok()) return row.status();
    const absl::string_view finding = *row ? (*check)->Column(0).data() : "no answer";
    if (finding == "ok") return absl::OkStatus();
    return Damage(table, finding.substr(0, finding.find('\n')));
  }

  // Whether each index of the table has as many entries as the table has rows, in order: a read by
  // key goes through it.
  absl::Status Indexes(const std::string& table) {
    std::vector<std::string> indexes;
    absl::Status status = Names(kListIndexes, &table, &indexes);
    if (!status.ok() || indexes.empty()) return status;
    absl::StatusOr<int64_t> rows = Count(absl::StrCat(Quoted(table), " NOT INDEXED"));
    if (!rows.ok()) return rows.status();
    for (const std::string& index : indexes) {
      std::vector<std::string> columns;
      status = Names(kListIndexColumns, &index, &columns);
      if (status.ok()) status = Index(table, index, columns, *rows);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Index(const std::string& table, const std::string& index,
                     const std::vector<std::string>& columns, int64_t rows) {
    std::string list;
    for (const std::string& column : columns) {
      absl::StrAppend(&list, list.empty() ? "" : ", ", Quoted(column));
    }
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> entries =
        database_->Prepare(absl::StrCat("SELECT ", list, " FROM ", Quoted(table), " INDEXED BY ",
                                        Quoted(index), " ORDER BY ", list));
    if (!entries.ok()) return entries.status();
    std::vector<Value> last;
    int64_t count = 0;
    absl::StatusOr<bool> row;
    while ((row = (*entries)->Step()).ok() && *row) {
      int order = count == 0 ? 1 : 0;
      for (size_t i = 0; i < columns.size(); ++i) {
        const ValueView value = (*entries)->Column(static_cast<int>(i));
        if (order == 0) order = Compare(value, last[i]);
      }
      if (order < 0) return Damage(table, absl::StrCat("entries of ", index, " are not in order"));
      last.clear();
      for (size_t i = 0; i < columns.size(); ++i) {
        last.emplace_back((*entries)->Column(static_cast<int>(i)));
      }
      ++count;
    }
    if (!row.ok()) return row.status();
    if (count == rows) return absl::OkStatus();
    return Damage(table, absl::StrCat(index, " has ", count, " entries for ", rows, " rows"));
  }

  absl::StatusOr<int64_t> Count(const std::string& what) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement =
        database_->Prepare(absl::StrCat("SELECT count(*) FROM ", what));
    if (!statement.ok()) return statement.status();
    absl::StatusOr<bool> row = (*statement)->Step();
    if (!row.ok()) return row.status();
    return (*statement)->Column(0).integer();
  }

  // The texts in the first column, for one parameter or none.
  absl::Status Names(const char* sql, const std::string* parameter,
                     std::vector<std::string>* names) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(sql);
    if (!statement.ok()) return statement.status();
    absl::Status status;
    if (parameter != nullptr) status = (*statement)->Bind(1, *parameter);
    if (!status.ok()) return status;
    absl::StatusOr<bool> row;
    while ((row = (*statement)->Step()).ok() && *row) {
      names->emplace_back((*statement)->Column(0).data());
    }
    return row.status();
  }

  static std::string Literal(absl::string_view text) {
    std::string literal;
    sql::AppendLiteral(text, &literal);
    return literal;
  }

  static absl::Status Damage(absl::string_view table, absl::string_view finding) {
    return absl::DataLossError(absl::StrCat("the table ", table, " is damaged: ", finding));
  }

  sqlite::Database* const database_;
  const std::function<bool()>& cancelled_;
  bool was_cancelled_ = false;
};

absl::StatusOr<std::unique_ptr<sqlite::Database>> OpenToCheck(const std::string& path) {
  absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::Open(path, sqlite::Database::Mode::kReadOnly, kBusyTimeout);
  if (database.ok() || absl::IsDataLoss(database.status())) return database;
  return absl::UnavailableError(database.status().message());
}

}  // namespace

absl::Status CheckLdb(const std::string& path, const std::function<bool()>& cancelled) {
  absl::StatusOr<std::unique_ptr<sqlite::Database>> database = OpenToCheck(path);
  if (!database.ok()) return database.status();
  return Check(database->get(), cancelled).Run();
}

absl::Status CheckLdbTrees(const std::string& path, int threads,
                           const std::function<bool()>& cancelled) {
  std::vector<std::string> tables;
  {
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database = OpenToCheck(path);
    if (!database.ok()) return database.status();
    absl::Status status = Check(database->get(), cancelled).ListTables(&tables);
    if (!status.ok()) return status;
  }
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  absl::Status first_error;
  const auto work = [&] {
    const std::function<bool()> stop = [&] {
      return failed.load() || (cancelled != nullptr && cancelled());
    };
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database = OpenToCheck(path);
    absl::Status status = database.status();
    if (status.ok()) {
      Check check(database->get(), stop);
      for (size_t i; status.ok() && (i = next.fetch_add(1)) < tables.size();) {
        status = check.TableTrees(tables[i]);
      }
    }
    if (status.ok()) return;
    std::lock_guard<std::mutex> lock(mutex);
    // Later ones may have failed because of this one.
    if (!failed.exchange(true)) first_error = std::move(status);
  };
  std::vector<std::thread> workers;
  const size_t count = std::min(tables.size(), static_cast<size_t>(std::max(threads, 1)));
  for (size_t i = 1; i < count; ++i) workers.emplace_back(work);
  if (count > 0) work();
  for (std::thread& worker : workers) worker.join();
  return first_error;
}

}  // namespace ctlstore::ldb
