#include "cli/verify/verifier.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "cli/verify/table_comparison.h"
#include "common/ctldb/catalog.h"
#include "common/schema/errors.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(2);
constexpr absl::Duration kLastPause = absl::Milliseconds(100);

std::string ShownName(const std::string& sql_table) {
  absl::StatusOr<TableName> name = ParseSqlTableName(sql_table);
  return name.ok() ? absl::StrCat(name->family, ".", name->table) : sql_table;
}

// What a query of the LDB shows in its first column; nothing where there is no such table.
absl::StatusOr<std::vector<Value>> LdbValues(sqlite::Database* ldb, absl::string_view table,
                                             absl::string_view sql) {
  absl::StatusOr<absl::optional<TableDefinition>> definition =
      ldb::ReadTableDefinition(ldb, std::string(table));
  if (!definition.ok()) return definition.status();
  std::vector<Value> values;
  if (!definition->has_value()) return values;
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = ldb->Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row;
  while ((row = (*statement)->Step()).ok() && *row) values.emplace_back((*statement)->Column(0));
  if (!row.ok()) return row.status();
  return values;
}

absl::StatusOr<Value> StateOf(sqlite::Database* ldb, absl::string_view name) {
  absl::StatusOr<std::vector<Value>> values = LdbValues(
      ldb, "_ldb_state", absl::StrCat("SELECT value FROM _ldb_state WHERE name = '", name, "'"));
  if (!values.ok()) return values.status();
  return values->empty() ? Value() : values->front();
}

Snapshots::Options SnapshotOptions(const Verifier::Options& options) {
  Snapshots::Options result;
  result.ldb_path = options.ldb_path;
  result.ctldb = options.ctldb;
  result.connection = options.connection;
  result.max_wait = options.max_wait;
  result.max_keys = options.max_changed_keys;
  result.clock = options.clock;
  return result;
}

absl::Status InTable(const std::string& sql_table, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status result(status.code(), absl::StrCat(ShownName(sql_table), ": ", status.message()));
  status.ForEachPayload([&result](absl::string_view type, const absl::Cord& payload) {
    result.SetPayload(type, payload);
  });
  return result;
}

}  // namespace

Verifier::Verifier(Options options)
    : options_(std::move(options)), snapshots_(SnapshotOptions(options_)) {}

absl::StatusOr<Report> Verifier::Run() {
  absl::Status status = CheckRestriction();
  if (status.ok()) status = ReadState();
  if (status.ok()) status = ListTables();
  if (status.ok()) status = FirstRound();
  if (status.ok()) status = LaterRounds();
  snapshots_.End();
  if (!status.ok()) return status;
  for (auto& [name, work] : works_) {
    if (work.nothing_there) continue;
    if (!work.done() && work.report.undecided.empty()) {
      work.report.undecided =
          work.all ? "it was changed all the time"
                   : absl::StrCat(work.keys.size(), " keys were changed all the time");
    }
    if (work.report.keys_apart > 0) {
      work.report.ldb_digest.clear();
      work.report.ctldb_digest.clear();
    }
    report_.tables.push_back(std::move(work.report));
  }
  std::sort(report_.tables.begin(), report_.tables.end(),
            [](const TableReport& a, const TableReport& b) { return a.name < b.name; });
  return std::move(report_);
}

absl::Status Verifier::CheckRestriction() {
  if (!options_.family.empty()) {
    absl::StatusOr<std::string> family = NormalizeFamilyName("family", options_.family);
    if (!family.ok()) return family.status();
    family_ = *std::move(family);
  }
  if (options_.table.empty()) return absl::OkStatus();
  absl::StatusOr<TableName> name = NormalizeName(options_.family, options_.table);
  if (!name.ok()) return name.status();
  table_ = *std::move(name);
  return absl::OkStatus();
}

bool Verifier::Kept(const std::string& family) const {
  return report_.families.empty() || std::find(report_.families.begin(), report_.families.end(),
                                               family) != report_.families.end();
}

bool Verifier::Asked(const TableName& name) const {
  if (table_.has_value()) return name == *table_;
  return !family_.has_value() || name.family == *family_;
}

absl::Status Verifier::ReadState() {
  absl::Status status = snapshots_.Begin({}, /*wait=*/false);
  if (!status.ok()) return status;
  report_.first_sequence = report_.last_sequence = snapshots_.ldb_sequence();
  sqlite::Database* const ldb = snapshots_.ldb();

  absl::StatusOr<Value> families = StateOf(ldb, "families");
  if (!families.ok()) return families.status();
  report_.families = absl::StrSplit(families->data(), ',', absl::SkipEmpty());
  if (family_.has_value() && !Kept(*family_)) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.ldb_path, " does not keep the family ", *family_, ", only ",
                     absl::StrJoin(report_.families, ", ")));
  }

  absl::StatusOr<std::vector<Value>> skipped =
      LdbValues(ldb, "_ldb_skipped", "SELECT COUNT(*) FROM _ldb_skipped");
  if (!skipped.ok()) return skipped.status();
  if (!skipped->empty()) report_.skipped_entries = skipped->front().integer();

  // The digest is that of the applied position only where it was written together with it.
  absl::StatusOr<Value> sequence = StateOf(ldb, "sequence");
  if (!sequence.ok()) return sequence.status();
  absl::StatusOr<Value> digest = StateOf(ldb, "digest");
  if (!digest.ok()) return digest.status();
  if (sequence->kind() == ValueKind::kInteger && digest->kind() == ValueKind::kBytes &&
      sequence->integer() == snapshots_.ldb_sequence()) {
    absl::StatusOr<bool> same = snapshots_.LedgerHas(sequence->integer(), digest->data());
    if (!same.ok()) return same.status();
    report_.ledger_differs = !*same;
  }
  return absl::OkStatus();
}

absl::Status Verifier::ListTables() {
  absl::StatusOr<std::vector<TableSchema>> schemas =
      ctldb::ReadTables(snapshots_.ctldb(), family_.value_or(""));
  if (!schemas.ok()) return schemas.status();
  for (const TableSchema& schema : *schemas) {
    if (Kept(schema.name().family) && Asked(schema.name())) works_[SqlTableName(schema.name())];
  }
  absl::StatusOr<std::vector<Value>> tables = LdbValues(
      snapshots_.ldb(), "_ldb_seq", "SELECT name FROM sqlite_master WHERE type = 'table'");
  if (!tables.ok()) return tables.status();
  for (const Value& table : *tables) {
    const std::string& sql_table = table.data();
    if (absl::StartsWith(sql_table, "_ldb_") || absl::StartsWith(sql_table, "sqlite_")) continue;
    absl::StatusOr<TableName> name = ParseSqlTableName(sql_table);
    const bool restricted = family_.has_value();
    if (name.ok() ? !Asked(*name) : restricted) continue;
    Work& work = works_[sql_table];
    if (!name.ok()) {
      work.report.definition = {"only the LDB has this table, and its name is none of a family's"};
    } else if (!Kept(name->family)) {
      work.report.definition = {absl::StrCat("the LDB has this table, but keeps only the families ",
                                             absl::StrJoin(report_.families, ", "))};
    } else {
      continue;
    }
    work.all = false;
  }
  for (auto& [name, work] : works_) {
    work.report.name = ShownName(name);
    work.report.first_sequence = work.report.last_sequence = snapshots_.ldb_sequence();
  }
  if (!works_.empty()) return absl::OkStatus();
  if (table_.has_value()) {
    return ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound,
                           absl::StrCat("neither the ctldb nor the local database has a table ",
                                        table_->family, ".", table_->table));
  }
  return family_.has_value() ? ctldb::CheckFamilyExists(snapshots_.ctldb(), *family_)
                             : absl::OkStatus();
}

absl::Status Verifier::Open(absl::Span<const std::string> sql_tables, bool wait, bool* open) {
  absl::Status status = snapshots_.Begin(sql_tables, wait);
  *open = status.ok();
  // A table was changed between the two steps that look at it.
  if (!status.ok() && ErrorReason(status) == reason::kCtldbBusy) return absl::OkStatus();
  if (!status.ok()) return status;
  report_.last_sequence = std::max(report_.last_sequence, snapshots_.ldb_sequence());
  return absl::OkStatus();
}

absl::Status Verifier::FirstRound() {
  for (auto& [sql_table, work] : works_) {
    if (work.done()) continue;
    bool open = false;
    absl::Status status = Open({sql_table}, /*wait=*/false, &open);
    if (status.ok() && open) status = Compare(sql_table, &work);
    if (!status.ok()) return InTable(sql_table, status);
  }
  return absl::OkStatus();
}

absl::Status Verifier::LaterRounds() {
  absl::Duration pause = kFirstPause;
  absl::Notification never;
  for (int round = 1; round < options_.max_rounds; ++round) {
    std::vector<std::string> whole, with_keys;
    for (const auto& [sql_table, work] : works_) {
      if (!work.done()) (work.all ? whole : with_keys).push_back(sql_table);
    }
    snapshots_.End();
    if (whole.empty() && with_keys.empty()) return absl::OkStatus();
    // An LDB that did not come near in all this time does not move.
    if (round > 1 && snapshots_.waited_enough()) return absl::OkStatus();
    if (round > 1) {
      options_.clock->SleepOrStop(pause, &never);
      pause = std::min(pause * 2, kLastPause);
    }
    // Whole tables take their time and have a pair of states each; keys are read quickly.
    std::vector<std::vector<std::string>> groups;
    for (const std::string& sql_table : whole) groups.push_back({sql_table});
    if (!with_keys.empty()) groups.push_back(with_keys);
    for (const std::vector<std::string>& group : groups) {
      bool open = false;
      absl::Status status = Open(group, /*wait=*/true, &open);
      if (!status.ok()) return status;
      if (!open) continue;
      for (const std::string& sql_table : group) {
        status = Compare(sql_table, &works_[sql_table]);
        if (!status.ok()) return InTable(sql_table, status);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Verifier::Compare(const std::string& sql_table, Work* work) {
  const Snapshots::Table& table = snapshots_.table(sql_table);
  work->report.undecided.clear();
  if (!DefinitionsAgree(sql_table, table, work)) return absl::OkStatus();
  return CompareRows(sql_table, table, work);
}

bool Verifier::DefinitionsAgree(const std::string& sql_table, const Snapshots::Table& table,
                                Work* work) {
  const PendingSchemaChanges& pending = snapshots_.pending();
  const auto later = [work](absl::string_view why) {
    work->report.undecided = std::string(why);
    return false;
  };
  const auto settled = [this, work](std::vector<std::string> differences) {
    work->all = false;
    work->keys.clear();
    work->report.definition = std::move(differences);
    work->report.last_sequence = snapshots_.ldb_sequence();
    return false;
  };
  work->nothing_there = false;
  if (table.changes.definition) {
    return later("its definition was changed behind the LDB's position");
  }
  if (pending.unknown) return later("a schema change is under way");
  if (!table.ctldb.has_value() && !table.ldb.has_value()) {
    work->nothing_there = true;
    return settled({});
  }
  if (!table.ldb.has_value()) {
    // What is not in the ledger yet is no concern of the LDB.
    work->nothing_there = pending.created.count(sql_table) > 0;
    if (work->nothing_there) return settled({});
    return settled({"the LDB lacks this table"});
  }
  if (!table.ctldb.has_value()) {
    if (pending.dropped.count(sql_table) > 0) return later("it is being dropped");
    return settled({"only the LDB has this table"});
  }
  const auto added = pending.added_columns.find(sql_table);
  std::vector<std::string> differences = DescribeDifferences(
      *table.ctldb, *table.ldb,
      added == pending.added_columns.end() ? std::set<std::string>() : added->second);
  return differences.empty() || settled(std::move(differences));
}

absl::Status Verifier::CompareRows(const std::string& sql_table, const Snapshots::Table& table,
                                   Work* work) {
  if (table.changes.all_rows) {
    work->report.undecided = "its rows were changed behind the LDB's position";
    return absl::OkStatus();
  }
  TableReport& report = work->report;
  const size_t kept_before = report.differences.size();
  // Of all tables together.
  const size_t may_keep = options_.max_differences - differences_kept_ + kept_before;
  TableComparison comparison(snapshots_.ctldb(), snapshots_.ldb(), sql_table, *table.ldb, may_keep,
                             &report);
  absl::Status status;
  if (work->all) {
    status = comparison.CompareAll(table.changes.keys);
    work->all = false;
    work->keys = table.changes.keys;
    report.keys_apart = static_cast<int64_t>(work->keys.size());
    report.first_sequence = snapshots_.ldb_sequence();
    work->keys_since = std::min(snapshots_.ldb_sequence(), snapshots_.ctldb_sequence());
  } else {
    status = CompareKeys(sql_table, table, &comparison, work);
  }
  report.last_sequence = snapshots_.ldb_sequence();
  differences_kept_ += report.differences.size() - kept_before;
  return status;
}

absl::Status Verifier::CompareKeys(const std::string& sql_table, const Snapshots::Table& table,
                                   TableComparison* comparison, Work* work) {
  // Changed again between the two states.
  Keys changed;
  for (const auto& [bytes, key] : work->keys) {
    if (table.changes.keys.contains(bytes)) {
      changed.emplace(bytes, key);
      continue;
    }
    absl::Status status = comparison->CompareKey(key);
    if (!status.ok()) return status;
  }
  work->keys = std::move(changed);
  if (work->keys.empty()) return absl::OkStatus();

  const auto at_ldb =
      snapshots_.LedgerRows(sql_table, {work->keys_since, snapshots_.ldb_sequence()}, work->keys);
  if (!at_ldb.ok()) return at_ldb.status();
  const auto at_ctldb =
      snapshots_.LedgerRows(sql_table, {work->keys_since, snapshots_.ctldb_sequence()}, work->keys);
  if (!at_ctldb.ok()) return at_ctldb.status();
  Keys left;
  for (const auto& [bytes, key] : work->keys) {
    const auto ldb_row = at_ldb->find(bytes), ctldb_row = at_ctldb->find(bytes);
    if (ldb_row == at_ldb->end() || !ldb_row->second.known || ctldb_row == at_ctldb->end() ||
        !ctldb_row->second.known) {
      left.emplace(bytes, key);
      continue;
    }
    absl::Status status =
        comparison->CompareWithLedger(key, ldb_row->second.values, ctldb_row->second.values);
    if (!status.ok()) return status;
  }
  work->keys = std::move(left);
  return absl::OkStatus();
}

}  // namespace ctlstore::cli
