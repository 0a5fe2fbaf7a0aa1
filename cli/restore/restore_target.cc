#include "cli/restore/restore_target.h"

#include <limits>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ctldb/catalog_columns.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/restore_mark.h"
#include "common/schema/errors.h"
#include "common/sql/quote.h"

namespace ctlstore::cli {
namespace {

using ctldb::kRestoreMark;

constexpr size_t kNamesShown = 5;

std::string Quoted(absl::string_view name) {
  std::string quoted;
  sql::AppendIdentifier(name, &quoted);
  return quoted;
}

int64_t NewNumber() {
  absl::BitGen generator;
  return absl::Uniform<int64_t>(generator, 1, std::numeric_limits<int64_t>::max());
}

std::string Some(const std::vector<std::string>& names) {
  if (names.size() <= kNamesShown) return absl::StrJoin(names, ", ");
  return absl::StrCat(
      absl::StrJoin(names.begin(), names.begin() + static_cast<long>(kNamesShown), ", "), " and ",
      names.size() - kNamesShown, " more");
}

}  // namespace

RestoreTarget::RestoreTarget(const ctldb::Target& target, const ctldb::ConnectionOptions& options,
                             std::unique_ptr<ctldb::Connection> connection)
    : target_(target),
      options_(options),
      connection_(std::move(connection)),
      number_(NewNumber()) {}

absl::StatusOr<std::unique_ptr<RestoreTarget>> RestoreTarget::Open(
    const ctldb::Target& target, const ctldb::ConnectionOptions& options) {
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(target, options);
  if (!connection.ok()) return connection.status();
  return absl::WrapUnique(new RestoreTarget(target, options, *std::move(connection)));
}

absl::StatusOr<std::vector<std::string>> RestoreTarget::ListTables() {
  absl::StatusOr<std::vector<ctldb::CatalogColumn>> columns =
      ctldb::ReadCatalogColumns(connection_.get(), ctldb::Dialect::Match::kPattern, "%!_!_!_%");
  if (!columns.ok()) return columns.status();
  std::vector<std::string> tables;
  for (ctldb::CatalogColumn& column : *columns) {
    if (tables.empty() || tables.back() != column.table) tables.push_back(std::move(column.table));
  }
  return tables;
}

absl::StatusOr<bool> RestoreTarget::HasRows(const std::string& table) {
  bool found = false;
  absl::Status status = connection_->Query(absl::StrCat("SELECT 1 FROM ", table, " LIMIT 1"), {},
                                           [&found](absl::Span<const ValueView>) {
                                             found = true;
                                             return absl::OkStatus();
                                           });
  // No executive was here yet.
  if (absl::IsNotFound(status)) return false;
  if (!status.ok()) return status;
  return found;
}

absl::Status RestoreTarget::CheckEmpty(bool resume, bool* marked) {
  absl::StatusOr<bool> found = HasRows(absl::StrCat("locks WHERE id = '", kRestoreMark, "'"));
  if (!found.ok()) return found.status();
  *marked = *found;
  if (*marked && !resume) {
    return absl::FailedPreconditionError(absl::StrCat(
        target_.ToString(),
        " is being restored, or a restore of it did not come to its end. Where no other one is "
        "running, --resume completes it; or begin anew in an empty database"));
  }
  // What a restore that did not end has left may be anything but a ledger.
  std::vector<std::string> there;
  const auto look = [&](const std::string& table, absl::string_view what) {
    found = HasRows(table);
    if (found.ok() && *found) there.emplace_back(what);
    return found.status();
  };
  absl::Status status = look("ctlstore_dml_ledger", "ledger entries");
  if (status.ok() && !*marked) status = look("families", "families");
  if (status.ok() && !*marked)
    status = look("ctlstore_schema_intents", "a schema change under way");
  if (!status.ok()) return status;
  if (!*marked) {
    absl::StatusOr<std::vector<std::string>> tables = ListTables();
    if (!tables.ok()) return tables.status();
    if (!tables->empty()) there.push_back(absl::StrCat("the tables ", Some(*tables)));
  }
  if (there.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(target_.ToString(), " is not empty: it has ", absl::StrJoin(there, ", "),
                   ". A snapshot is restored into an empty database only; nothing was changed"));
}

absl::Status RestoreTarget::Check(bool resume) {
  bool marked = false;
  return CheckEmpty(resume, &marked);
}

absl::Status RestoreTarget::Claim(bool resume) {
  absl::Status status = ctldb::EnsureOwnTables(connection_.get());
  if (status.ok()) status = connection_->BeginWrite();
  if (!status.ok()) return status;
  // With the ledger lock, so that no executive is in the middle of anything; it is taken before the
  // first read, so that all that its last holder has committed is seen.
  status =
      connection_->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {"ledger"}).status();
  bool marked = false;
  if (status.ok()) status = CheckEmpty(resume, &marked);
  if (status.ok()) {
    status = connection_
                 ->Execute(marked ? "UPDATE locks SET clock = ? WHERE id = ?"
                                  : "INSERT INTO locks (clock, id) VALUES (?, ?)",
                           {number_, kRestoreMark})
                 .status();
  }
  if (status.ok()) status = connection_->Commit();
  connection_->Rollback();
  return status;
}

absl::StatusOr<int64_t> RestoreTarget::MaxSequence() {
  absl::StatusOr<std::vector<ctldb::CatalogColumn>> columns = ctldb::ReadCatalogColumns(
      connection_.get(), ctldb::Dialect::Match::kName, "ctlstore_dml_ledger");
  if (!columns.ok()) return columns.status();
  for (const ctldb::CatalogColumn& column : *columns) {
    if (!absl::EqualsIgnoreCase(column.name, "seq")) continue;
    const std::string type = absl::AsciiStrToLower(column.type);
    // SQLite's integers have 64 bits whatever they are called; MariaDB's name tells.
    if (connection_->dialect().transactional_ddl() || absl::StartsWith(type, "bigint")) break;
    return absl::StrContains(type, "unsigned") ? int64_t{std::numeric_limits<uint32_t>::max()}
                                               : int64_t{std::numeric_limits<int32_t>::max()};
  }
  return std::numeric_limits<int64_t>::max();
}

absl::Status RestoreTarget::CheckMark() {
  bool ours = false;
  absl::Status status = connection_->Query(
      absl::StrCat("SELECT clock FROM locks WHERE id = ?", connection_->dialect().ForUpdate()),
      {kRestoreMark}, [&](absl::Span<const ValueView> row) {
        ours = row[0].integer() == number_;
        return absl::OkStatus();
      });
  if (!status.ok() || ours) return status;
  return absl::AbortedError(
      absl::StrCat("the restore of ", target_.ToString(),
                   " was taken up or ended by another process; this one stops"));
}

absl::Status RestoreTarget::InTransaction(absl::FunctionRef<absl::Status()> work) {
  absl::Status status = connection_->BeginWrite();
  if (!status.ok()) return status;
  status = CheckMark();
  if (status.ok()) status = work();
  if (status.ok()) status = connection_->Commit();
  connection_->Rollback();
  return status;
}

absl::Status RestoreTarget::DropTable(const std::string& sql_table) {
  const std::string sql = absl::StrCat("DROP TABLE ", Quoted(sql_table));
  if (connection_->dialect().transactional_ddl()) {
    return InTransaction([&] { return connection_->Execute(sql).status(); });
  }
  // It would end the transaction.
  absl::Status status = InTransaction([] { return absl::OkStatus(); });
  return status.ok() ? connection_->Execute(sql).status() : status;
}

absl::Status RestoreTarget::CreateTable(const TableSchema& schema) {
  const std::string sql = connection_->dialect().CreateTable(schema);
  if (connection_->dialect().transactional_ddl()) {
    return InTransaction([&] { return connection_->Execute(sql).status(); });
  }
  absl::Status status = InTransaction([] { return absl::OkStatus(); });
  return status.ok() ? connection_->Execute(sql).status() : status;
}

absl::Status RestoreTarget::SetFamilies(const std::vector<std::string>& families) {
  return InTransaction([&] {
    absl::Status status = connection_->Execute("DELETE FROM families").status();
    for (const std::string& family : families) {
      if (!status.ok()) break;
      status = connection_->Execute("INSERT INTO families (name) VALUES (?)", {family}).status();
    }
    return status;
  });
}

absl::Status RestoreTarget::Insert(const TableSchema& schema,
                                   absl::Span<const absl::Span<const ValueView>> rows) {
  // Not REPLACE: a key that comes twice must be found.
  std::string columns, places;
  for (const Field& field : schema.fields()) {
    absl::StrAppend(&columns, columns.empty() ? "" : ",", Quoted(field.name));
    absl::StrAppend(&places, places.empty() ? "?" : ",?");
  }
  const std::string sql = absl::StrCat("INSERT INTO ", Quoted(SqlTableName(schema.name())), " (",
                                       columns, ") VALUES (", places, ")");
  return InTransaction([&] { return connection_->ExecuteMany(sql, rows); });
}

absl::StatusOr<bool> RestoreTarget::LedgerHas(int64_t sequence) {
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(target_, options_);
  if (!connection.ok()) return connection.status();
  connection_ = *std::move(connection);
  return HasRows(absl::StrCat("ctlstore_dml_ledger WHERE seq = ", sequence));
}

absl::Status RestoreTarget::Finish(int64_t first, int64_t last, const std::string& statement) {
  absl::Status status = connection_->BeginWrite();
  if (!status.ok()) return status;
  status =
      connection_->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {"ledger"}).status();
  if (status.ok()) status = CheckMark();
  if (status.ok()) {
    absl::StatusOr<bool> ledger = HasRows("ctlstore_dml_ledger");
    status = ledger.status();
    if (ledger.ok() && *ledger) {
      status = absl::AbortedError("others have written to the ledger during the restore");
    }
  }
  for (const int64_t sequence : {first, last}) {
    if (!status.ok()) break;
    status = connection_
                 ->Execute("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (?, ?)",
                           {sequence, statement})
                 .status();
  }
  // An executive that has seen the empty ctldb sees by this that it has other tables now.
  if (status.ok()) {
    status = connection_->Execute("UPDATE locks SET clock = clock + 1 WHERE id = ?", {"schema"})
                 .status();
  }
  if (status.ok()) {
    status = connection_->Execute("DELETE FROM locks WHERE id = ?", {kRestoreMark}).status();
  }
  if (status.ok()) status = connection_->Commit();
  connection_->Rollback();
  if (ErrorReason(status) != reason::kOutcomeUnknown) return status;
  absl::StatusOr<bool> committed = LedgerHas(last);
  if (committed.ok() && *committed) return absl::OkStatus();
  return status;
}

}  // namespace ctlstore::cli
