#include "common/ldb/read_checker.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kMaxHeld = 6;
// So long a thread may be kept from running before a wait counts as failed.
constexpr absl::Duration kPatience = absl::Minutes(2);
// Less than the usual ReaderOptions::max_hold, after which what is held may fail.
constexpr absl::Duration kSurelyHeld = absl::Seconds(5);

void Raise(std::atomic<int64_t>* number, int64_t to) {
  for (int64_t old = *number; old < to && !number->compare_exchange_weak(old, to);) {
  }
}

}  // namespace

// Something that was read a while ago, to be looked at again.
struct ReadChecker::Held {
  const ProvenTable* table = nullptr;
  absl::Time since = absl::Now();
  // One of these.
  absl::optional<Row> row;
  OwnedRow copy;
  absl::optional<Snapshot> snapshot;
  // The facts that the row had.
  Facts facts;
};

ReadChecker::ReadChecker(const CheckedWorld* world, uint32_t seed)
    : world_(*world), random_(seed) {}

ReadChecker::~ReadChecker() = default;

void ReadChecker::LetGo() { held_.clear(); }

std::string ReadChecker::Look(Reader* reader) {
  ++looks_;
  const uint32_t kind = random_() % 100;
  if (kind < 60) return LookAtRow(reader);
  if (kind < 70) return LookAtList(reader);
  if (kind < 80) return LookAtSnapshot(reader);
  if (kind < 84) return LookAtSchema(reader);
  if (kind < 89) return LookAtPosition(reader);
  if (kind < 91) return LookAfterWaiting(reader);
  return LookAtHeld();
}

std::string ReadChecker::LookAtRow(Reader* reader) {
  const ProvenTable& table = SomeTable();
  const Key key = SomeKey(table);
  const int64_t floor = Floor();
  absl::StatusOr<Row> row =
      reader->GetRow(table.family, table.name, {key.group, MemberName(key.member)});
  Facts facts;
  std::string error;
  if (!row.ok()) {
    error = Failed("GetRow", table, row.status(), &facts);
  } else if (!row->exists()) {
    facts = {{table.Row(key.group, key.member), 0}, {table.Existence(), 1}};
  } else {
    ++rows_;
    Key read;
    error = ReadProvenRow(table, *row, &read.group, &read.member, &facts);
    if (error.empty() && (read.group != key.group || read.member != key.member)) {
      error = "GetRow: another row";
    }
  }
  if (error.empty()) error = Explain("GetRow", facts, floor);
  if (error.empty() && row.ok() && row->exists() && OneIn(8) && held_.size() < kMaxHeld) {
    auto held = std::make_unique<Held>();
    held->table = &table;
    held->facts = std::move(facts);
    if (OneIn(2)) {
      held->copy = row->Copy();
    } else {
      held->row = *std::move(row);
    }
    held_.push_back(std::move(held));
  }
  return error;
}

std::string ReadChecker::LookAtList(Reader* reader) {
  const int64_t floor = Floor();
  Facts facts;
  std::string error = ReadList(reader, SomeTable(), &facts);
  return error.empty() ? Explain("ListRows", facts, floor) : error;
}

std::string ReadChecker::LookAtSchema(Reader* reader) {
  const int64_t floor = Floor();
  Facts facts;
  std::string error =
      OneIn(3) ? ReadTables(reader, &facts) : ReadSchema(reader, SomeTable(), &facts);
  return error.empty() ? Explain("GetTable or ListTables", facts, floor) : error;
}

std::string ReadChecker::LookAtSnapshot(Reader* reader) {
  const int64_t floor = Floor();
  absl::StatusOr<Snapshot> snapshot = reader->GetSnapshot();
  if (!snapshot.ok()) return absl::StrCat("GetSnapshot: ", snapshot.status().ToString());
  const absl::Time begin = absl::Now();
  Facts facts;
  std::string error;
  for (int reads = random_() % 8; reads >= 0 && error.empty(); --reads) {
    const ProvenTable& table = SomeTable();
    const uint32_t kind = random_() % 10;
    if (kind < 6) {
      error = ReadRow(&*snapshot, table, &facts);
    } else if (kind < 8) {
      error = ReadList(&*snapshot, table, &facts);
    } else if (kind < 9) {
      error = ReadSchema(&*snapshot, table, &facts);
    } else {
      error = ReadTables(&*snapshot, &facts);
    }
    // Another read meanwhile, which goes on to newer states.
    if (error.empty() && OneIn(4)) error = LookAtRow(reader);
  }
  if (!error.empty()) return absl::Now() - begin > kSurelyHeld ? "" : error;
  if (!world_.in_sequences) {
    error = Explain("Snapshot", facts, floor);
  } else {
    const int64_t sequence = snapshot->sequence();
    if (sequence < floor) {
      return absl::StrCat("a snapshot of ", sequence, ", when ", floor, " was known");
    }
    if (!world_.history->IsPosition(sequence)) {
      return absl::StrCat("a snapshot of ", sequence, ", which is inside of a transaction");
    }
    error = ExplainAt("Snapshot", facts, sequence);
  }
  if (error.empty() && OneIn(4) && held_.size() < kMaxHeld) {
    auto held = std::make_unique<Held>();
    held->snapshot = *std::move(snapshot);
    held->since = begin;
    held->facts = std::move(facts);
    held_.push_back(std::move(held));
  }
  return error;
}

std::string ReadChecker::LookAtPosition(Reader* reader) {
  const int64_t floor = Floor();
  absl::StatusOr<int64_t> sequence = reader->GetSequence();
  if (sequence.ok() && OneIn(2)) {
    const absl::StatusOr<Position> position = reader->GetPosition();
    if (!position.ok()) {
      sequence = position.status();
    } else if (position->applied_sequence < *sequence) {
      return absl::StrCat("the position goes back from ", *sequence, " to ",
                          position->applied_sequence);
    } else {
      sequence = position->applied_sequence;
    }
  }
  if (!sequence.ok()) return absl::StrCat("GetSequence: ", sequence.status().ToString());
  if (!world_.in_sequences) return "";
  if (*sequence < floor || !world_.history->IsPosition(*sequence)) {
    return absl::StrCat("the sequence is ", *sequence, ", when ", floor, " was known");
  }
  See(*sequence);
  return "";
}

std::string ReadChecker::LookAfterWaiting(Reader* reader) {
  if (!world_.in_sequences) {
    const int64_t acknowledged = world_.acknowledged == nullptr ? 0 : world_.acknowledged->load();
    const int64_t position = acknowledged >> 32;
    const int64_t sequence = acknowledged & 0xffffffff;
    const absl::Status status = reader->WaitForSequence(sequence, absl::Now() + kPatience);
    if (!status.ok()) return absl::StrCat("WaitForSequence: ", status.ToString());
    const absl::StatusOr<int64_t> reached = reader->GetSequence();
    if (!reached.ok() || *reached < sequence) {
      return absl::StrCat("not at ", sequence,
                          ", which was waited for: ", reached.status().ToString());
    }
    See(position);
    Raise(world_.committed, position);
    return LookAtRow(reader);
  }
  const int64_t sequence = std::max<int64_t>(1, Floor() + random_() % 3 - 1);
  const absl::Duration patience = sequence <= floor_ ? kPatience : absl::Milliseconds(50);
  const absl::Status status = reader->WaitForSequence(sequence, absl::Now() + patience);
  if (absl::IsDeadlineExceeded(status) && sequence > floor_) return "";
  if (!status.ok()) return absl::StrCat("WaitForSequence: ", status.ToString());
  // What is inside of a transaction is there with its end.
  See(sequence);
  return LookAtRow(reader);
}

std::string ReadChecker::LookAtHeld() {
  if (held_.empty()) return "";
  std::unique_ptr<Held> held = std::move(held_.front());
  held_.pop_front();
  std::string error;
  if (held->snapshot.has_value()) {
    Facts facts = held->facts;
    for (int reads = random_() % 4; reads >= 0 && error.empty(); --reads) {
      const ProvenTable& table = SomeTable();
      error = OneIn(3) ? ReadList(&*held->snapshot, table, &facts)
                       : ReadRow(&*held->snapshot, table, &facts);
    }
    if (!error.empty()) {
      return absl::Now() - held->since > kSurelyHeld ? "" : absl::StrCat("held snapshot: ", error);
    }
    if (world_.in_sequences) {
      error = ExplainAt("held snapshot", facts, held->snapshot->sequence());
    } else if (!PositionOf(facts, 0).has_value()) {
      error = Contradiction("held snapshot", facts, 0);
    }
  } else {
    Facts facts;
    Key key;
    const RowView& row = held->row.has_value() ? static_cast<const RowView&>(*held->row)
                                               : static_cast<const RowView&>(held->copy);
    error = ReadProvenRow(*held->table, row, &key.group, &key.member, &facts);
    if (error.empty() &&
        (facts[0].subject != held->facts[0].subject || facts[0].state != held->facts[0].state ||
         facts[1].state != held->facts[1].state)) {
      error = "it has become another one";
    }
    if (!error.empty()) error = absl::StrCat("held row: ", error);
  }
  if (error.empty() && OneIn(2)) held_.push_back(std::move(held));
  return error;
}

template <typename Source>
std::string ReadChecker::ReadRow(Source* source, const ProvenTable& table, Facts* facts) {
  const Key key = SomeKey(table);
  absl::StatusOr<Row> row =
      source->GetRow(table.family, table.name, {key.group, MemberName(key.member)});
  if (!row.ok()) return Failed("GetRow", table, row.status(), facts);
  if (!row->exists()) {
    facts->push_back({table.Row(key.group, key.member), 0});
    facts->push_back({table.Existence(), 1});
    return "";
  }
  ++rows_;
  Key read;
  std::string error = ReadProvenRow(table, *row, &read.group, &read.member, facts);
  if (error.empty() && (read.group != key.group || read.member != key.member)) {
    error = "GetRow: another row";
  }
  return error;
}

template <typename Source>
std::string ReadChecker::ReadList(Source* source, const ProvenTable& table, Facts* facts) {
  // The keys that are looked at, as one number each: from `begin` to before `end`.
  const int64_t some = static_cast<int64_t>(random_() % table.groups);
  const bool whole = table.groups * table.members < 100 && OneIn(3);
  int64_t begin = whole ? 0 : some * table.members;
  int64_t end = whole ? table.groups * table.members : begin + table.members;
  ListOptions options;
  std::string after_name;
  std::vector<ValueView> after;
  if (OneIn(3)) {
    const int64_t key = begin + static_cast<int64_t>(random_() % (end - begin));
    after_name = MemberName(key % table.members);
    after = {ValueView(key / table.members), ValueView(after_name)};
    options.after = after;
    begin = key + 1;
  }
  if (OneIn(3)) options.limit = static_cast<int64_t>(random_() % 10);
  std::vector<ValueView> prefix;
  if (!whole) prefix.push_back(ValueView(some));
  RowIterator rows = source->ListRows(table.family, table.name, prefix, options);
  int64_t next = begin;
  int64_t count = 0;
  while (rows.Next()) {
    ++count;
    Key key;
    std::string error = ReadProvenRow(table, rows.row(), &key.group, &key.member, facts);
    if (!error.empty()) return absl::StrCat("ListRows: ", error);
    const int64_t number = key.group * table.members + key.member;
    if (key.member < 0 || key.member >= table.members || number < next || number >= end) {
      return absl::StrCat("ListRows: row ", number, ", not one from ", next, " to ", end);
    }
    for (; next < number; ++next) {
      facts->push_back({table.Row(next / table.members, next % table.members), 0});
    }
    next = number + 1;
    if (OneIn(20)) absl::SleepFor(absl::Microseconds(random_() % 300));
  }
  rows_ += count;
  if (!rows.status().ok()) return Failed("ListRows", table, rows.status(), facts);
  if (options.limit >= 0 && count > options.limit) return "ListRows: more than the limit";
  if (options.limit < 0 || count < options.limit) {
    for (; next < end; ++next) {
      facts->push_back({table.Row(next / table.members, next % table.members), 0});
    }
  }
  if (options.limit != 0) facts->push_back({table.Existence(), 1});
  return "";
}

template <typename Source>
std::string ReadChecker::ReadSchema(Source* source, const ProvenTable& table, Facts* facts) {
  absl::StatusOr<TableSchema> schema = source->GetTable(table.family, table.name);
  if (!schema.ok()) return Failed("GetTable", table, schema.status(), facts);
  return ReadProvenSchema(table, *schema, facts);
}

template <typename Source>
std::string ReadChecker::ReadTables(Source* source, Facts* facts) {
  absl::StatusOr<std::vector<TableSchema>> schemas = source->ListTables();
  if (!schemas.ok()) return absl::StrCat("ListTables: ", schemas.status().ToString());
  for (const ProvenTable& table : world_.tables) {
    const auto found =
        std::find_if(schemas->begin(), schemas->end(), [&table](const TableSchema& schema) {
          return schema.name() == TableName{table.family, table.name};
        });
    if (found == schemas->end()) {
      facts->push_back({table.Existence(), 0});
      continue;
    }
    std::string error = ReadProvenSchema(table, *found, facts);
    if (!error.empty()) return absl::StrCat("ListTables: ", error);
  }
  return "";
}

std::string ReadChecker::Failed(absl::string_view what, const ProvenTable& table,
                                const absl::Status& status, Facts* facts) const {
  if (!absl::IsNotFound(status) || ErrorReason(status) != reason::kTableNotFound) {
    return absl::StrCat(what, ": ", status.ToString());
  }
  facts->push_back({table.Existence(), 0});
  return "";
}

int64_t ReadChecker::Floor() {
  // At times what others know is left out, so that nothing but the reads themselves orders them.
  if (OneIn(4)) return floor_;
  floor_ = std::max({floor_, world_.committed->load(), world_.seen->load()});
  return floor_;
}

absl::optional<int64_t> ReadChecker::PositionOf(const Facts& facts, int64_t floor) const {
  if (world_.refresh && world_.history->last() < floor) world_.refresh();
  absl::optional<int64_t> position = world_.history->Explain(facts, floor);
  if (!position.has_value() && world_.refresh) {
    world_.refresh();
    position = world_.history->Explain(facts, floor);
  }
  return position;
}

std::string ReadChecker::Explain(absl::string_view what, const Facts& facts, int64_t floor) {
  const absl::optional<int64_t> position = PositionOf(facts, floor);
  if (!position.has_value()) return Contradiction(what, facts, floor);
  See(*position);
  return "";
}

std::string ReadChecker::ExplainAt(absl::string_view what, const Facts& facts, int64_t position) {
  if (PositionOf(facts, position) != position) {
    return Contradiction(absl::StrCat(what, " of ", position), facts, position);
  }
  See(position);
  return "";
}

void ReadChecker::See(int64_t position) {
  floor_ = std::max(floor_, position);
  Raise(world_.seen, position);
}

std::string ReadChecker::Contradiction(absl::string_view what, const Facts& facts,
                                       int64_t floor) const {
  std::string text = absl::StrCat(what, ": wrong from position ", floor, " on:");
  std::set<std::pair<int64_t, int64_t>> told;
  for (const ReadHistory::Fact& fact : facts) {
    if (told.size() >= 20 || !told.insert({fact.subject, fact.state}).second) continue;
    absl::StrAppend(&text, "\n  ", fact.subject, " was seen as ", fact.state, "; it is ",
                    world_.history->Describe(fact.subject, floor));
  }
  return text;
}

const ProvenTable& ReadChecker::SomeTable() {
  return world_.tables[random_() % world_.tables.size()];
}

ReadChecker::Key ReadChecker::SomeKey(const ProvenTable& table) {
  // Some are read more often than others.
  Key key;
  key.group = static_cast<int64_t>(std::min(random_() % table.groups, random_() % table.groups));
  key.member = static_cast<int64_t>(std::min(random_() % table.members, random_() % table.members));
  return key;
}

}  // namespace ctlstore::ldb
