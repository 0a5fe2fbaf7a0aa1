#include "common/ldb/proven_ledger.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ctlstore::ldb {
namespace {

constexpr int64_t kFirstSequence = 1000000;
constexpr char kTime[] = "2024-02-29 23:59:58";
// Many fields make rows slow.
constexpr int64_t kMaxAdded = 6;

}  // namespace

ProvenLedger::ProvenLedger(std::vector<ProvenTable> tables, ReadHistory* history, uint32_t seed)
    : tables_(std::move(tables)),
      history_(history),
      random_(seed),
      states_(tables_.size()),
      last_(kFirstSequence) {}

std::vector<LedgerEntry> ProvenLedger::Next() {
  statements_.clear();
  facts_.clear();
  const size_t table = Random(tables_.size());
  const int64_t groups = tables_[table].groups;
  const int64_t members = tables_[table].members;
  const int64_t group = static_cast<int64_t>(Random(groups));
  const size_t kind = Random(1000);
  // A transaction of one statement has no markers.
  marked_ = states_[table].exists ? kind < 500 : kind < 900;
  if (!states_[table].exists) {
    if (marked_ || kind < 950) Create(table);
    // Most of its rows at once.
    if (marked_) {
      for (int64_t i = 0; i < groups * members; ++i) {
        if (Random(4) != 0) Upsert(table, i / members, i % members);
      }
    }
    if (statements_.empty()) Statement("DROP TABLE IF EXISTS fam___other");
  } else if (kind < 250) {
    // All of a group, as one.
    for (int64_t member = 0; member < members; ++member) Upsert(table, group, member);
  } else if (kind < 300) {
    for (int64_t member = 0; member < members; ++member) Delete(table, group, member);
  } else if (kind < 480) {
    for (size_t i = Random(12); i > 0; --i) Something(Random(tables_.size()));
  } else if (kind < 490) {
    Drop(table);
    Create(table);
    for (int64_t member = 0; member < members; ++member) Upsert(table, group, member);
  } else if (kind < 495) {
    Clear(table);
    for (int64_t member = 0; member < members; ++member) Upsert(table, group, member);
  } else if (kind < 500) {
    AddField(table);
    for (int64_t member = 0; member < members; ++member) Upsert(table, group, member);
  } else if (kind < 505) {
    Drop(table);
  } else if (kind < 510) {
    Clear(table);
  } else if (kind < 515) {
    AddField(table);
    if (statements_.empty()) Clear(table);
  } else {
    Something(table);
  }
  std::vector<LedgerEntry> entries;
  if (marked_) entries.push_back({++last_, kTime, kBeginMarker});
  for (std::string& statement : statements_) {
    entries.push_back({++last_, kTime, std::move(statement)});
  }
  if (marked_) entries.push_back({++last_, kTime, kCommitMarker});
  history_->Record(last_, facts_);
  return entries;
}

void ProvenLedger::Something(size_t table) {
  if (!states_[table].exists) return;
  const int64_t group = static_cast<int64_t>(Random(tables_[table].groups));
  const int64_t member = static_cast<int64_t>(Random(tables_[table].members));
  const size_t kind = Random(100);
  if (kind < 65) {
    Upsert(table, group, member);
  } else if (kind < 90) {
    Delete(table, group, member);
  } else if (kind < 94) {
    UpsertSome(table, group);
  } else if (kind < 97) {
    ChangeSome(table, group);
  } else {
    DeleteSome(table, group);
  }
}

std::vector<LedgerEntry> ProvenLedger::Whole() const {
  std::vector<std::string> statements = {kBeginMarker};
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (!states_[i].exists) continue;
    statements.push_back(CreateText(i));
    for (const auto& [subject, statement] : states_[i].rows) statements.push_back(statement);
  }
  statements.push_back(kCommitMarker);
  std::vector<LedgerEntry> entries;
  int64_t sequence = last_ - static_cast<int64_t>(statements.size());
  for (std::string& statement : statements) {
    entries.push_back({++sequence, kTime, std::move(statement)});
  }
  return entries;
}

int64_t ProvenLedger::Version(bool in_transaction) const {
  return last_ + static_cast<int64_t>(statements_.size()) + (in_transaction ? 2 : 1);
}

std::string ProvenLedger::CreateText(size_t table) const {
  const TableState& state = states_[table];
  const std::string generation = absl::StrCat("\"gen", state.generation, "\" INTEGER");
  std::string text = absl::StrCat("CREATE TABLE fam___", tables_[table].name, " (");
  // Columns are not always where they were, nor is the key.
  if (state.generation % 2 == 0) absl::StrAppend(&text, generation, ", \"filler\" TEXT, ");
  absl::StrAppend(&text,
                  "\"grp\" INTEGER, \"member\" VARCHAR(191), \"version\" INTEGER, "
                  "\"added\" INTEGER, \"proof\" INTEGER");
  if (state.generation % 2 == 1) absl::StrAppend(&text, ", \"filler\" TEXT, ", generation);
  for (int64_t i = 1; i <= state.added; ++i) absl::StrAppend(&text, ", \"f", i, "\" INTEGER");
  return absl::StrCat(text, ", PRIMARY KEY(\"grp\",\"member\"));");
}

std::string ProvenLedger::Columns(size_t table) const {
  const TableState& state = states_[table];
  std::string text =
      absl::StrCat("\"grp\",\"member\",\"version\",\"added\",\"filler\",\"proof\",\"gen",
                   state.generation, "\"");
  for (int64_t i = 1; i <= state.added; ++i) absl::StrAppend(&text, ",\"f", i, "\"");
  return text;
}

std::string ProvenLedger::Values(size_t table, int64_t group, int64_t member,
                                 int64_t version) const {
  const TableState& state = states_[table];
  std::string text = absl::StrCat("(", group, ",'", MemberName(member), "',", version, ",",
                                  state.added, ",'", FillerOf(version), "',");
  absl::StrAppend(&text, ProofOf(tables_[table].number, group, member, version), ",",
                  state.generation);
  for (int64_t i = 0; i < state.added; ++i) absl::StrAppend(&text, ",", version);
  return absl::StrCat(text, ")");
}

void ProvenLedger::Create(size_t table) {
  TableState& state = states_[table];
  state.exists = true;
  ++state.generation;
  state.added = static_cast<int64_t>(Random(2));
  Statement(CreateText(table));
  facts_.push_back({tables_[table].Existence(), 1});
  facts_.push_back(
      {tables_[table].Shape(), ProvenTable::ShapeState(state.generation, state.added)});
}

void ProvenLedger::Drop(size_t table) {
  states_[table].exists = false;
  Statement(absl::StrCat("DROP TABLE IF EXISTS fam___", tables_[table].name));
  facts_.push_back({tables_[table].Existence(), 0});
  for (const auto& [subject, statement] : states_[table].rows) facts_.push_back({subject, 0});
  states_[table].rows.clear();
}

void ProvenLedger::Clear(size_t table) {
  Statement(absl::StrCat("DELETE FROM fam___", tables_[table].name));
  for (const auto& [subject, statement] : states_[table].rows) facts_.push_back({subject, 0});
  states_[table].rows.clear();
}

void ProvenLedger::AddField(size_t table) {
  TableState& state = states_[table];
  if (state.added >= kMaxAdded) return;
  ++state.added;
  Statement(absl::StrCat("ALTER TABLE fam___", tables_[table].name, " ADD COLUMN \"f", state.added,
                         "\" INTEGER"));
  facts_.push_back(
      {tables_[table].Shape(), ProvenTable::ShapeState(state.generation, state.added)});
}

void ProvenLedger::Upsert(size_t table, int64_t group, int64_t member) {
  const int64_t version = Version(marked_);
  std::string text = absl::StrCat("REPLACE INTO fam___", tables_[table].name, " (", Columns(table),
                                  ") VALUES", Values(table, group, member, version));
  const int64_t subject = tables_[table].Row(group, member);
  states_[table].rows[subject] = text;
  facts_.push_back({subject, version});
  Statement(std::move(text));
}

void ProvenLedger::Delete(size_t table, int64_t group, int64_t member) {
  const int64_t subject = tables_[table].Row(group, member);
  states_[table].rows.erase(subject);
  facts_.push_back({subject, 0});
  Statement(absl::StrCat("DELETE FROM fam___", tables_[table].name, " WHERE \"grp\" = ", group,
                         " AND \"member\" = '", MemberName(member), "'"));
}

void ProvenLedger::UpsertSome(size_t table, int64_t group) {
  const int64_t version = Version(marked_);
  const std::string begin =
      absl::StrCat("fam___", tables_[table].name, " (", Columns(table), ") VALUES");
  std::string text = absl::StrCat("INSERT OR REPLACE INTO ", begin);
  for (int64_t member = 0; member < tables_[table].members && member < 3; ++member) {
    const std::string values = Values(table, group, member, version);
    absl::StrAppend(&text, member == 0 ? "" : ",", values);
    const int64_t subject = tables_[table].Row(group, member);
    states_[table].rows[subject] = absl::StrCat("REPLACE INTO ", begin, values);
    facts_.push_back({subject, version});
  }
  Statement(std::move(text));
}

void ProvenLedger::DeleteSome(size_t table, int64_t group) {
  for (int64_t member = 0; member < tables_[table].members; ++member) {
    const int64_t subject = tables_[table].Row(group, member);
    if (states_[table].rows.erase(subject) > 0) facts_.push_back({subject, 0});
  }
  Statement(absl::StrCat("DELETE FROM fam___", tables_[table].name, " WHERE \"grp\" BETWEEN ",
                         group, " AND ", group));
}

void ProvenLedger::ChangeSome(size_t table, int64_t group) {
  // A row that takes another one's key.
  const int64_t from = tables_[table].Row(group, 0);
  const int64_t to = tables_[table].Row(group, 1);
  if (states_[table].rows.count(from) == 0) return Upsert(table, group, 0);
  const int64_t version = Version(marked_);
  const TableState& state = states_[table];
  const std::string name = absl::StrCat("fam___", tables_[table].name);
  std::string text = absl::StrCat("UPDATE OR REPLACE ", name, " SET \"member\" = '", MemberName(1),
                                  "', \"version\" = ", version, ", \"added\" = ", state.added,
                                  ", \"filler\" = '", FillerOf(version), "', ");
  absl::StrAppend(&text, "\"proof\" = ", ProofOf(tables_[table].number, group, 1, version));
  for (int64_t i = 1; i <= state.added; ++i) absl::StrAppend(&text, ", \"f", i, "\" = ", version);
  absl::StrAppend(&text, " WHERE \"grp\" = ", group, " AND \"member\" = '", MemberName(0), "'");
  Statement(std::move(text));
  facts_.push_back({from, 0});
  facts_.push_back({to, version});
  states_[table].rows.erase(from);
  states_[table].rows[to] = absl::StrCat("REPLACE INTO ", name, " (", Columns(table), ") VALUES",
                                         Values(table, group, 1, version));
}

}  // namespace ctlstore::ldb
