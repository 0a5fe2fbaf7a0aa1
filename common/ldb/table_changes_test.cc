// Tables that are dropped, created again with other columns, and cleared: what the writer makes of
// them, and what readers see that are open all the while.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

using testing::ElementsAre;

std::vector<Value> ColumnsOf(const RowView& row) {
  std::vector<Value> columns;
  for (size_t i = 0; i < row.size(); ++i) columns.emplace_back(row.value(i));
  return columns;
}

bool IsTableNotFound(const absl::Status& status) {
  return absl::IsNotFound(status) && ErrorReason(status) == reason::kTableNotFound;
}

class TableChangesTest : public testing::Test {
 protected:
  void Apply(const std::vector<std::string>& statements) {
    for (const std::string& statement : statements) ledger_.Add(statement);
    const absl::Status status = writer_->Apply(ledger_.Take());
    ASSERT_TRUE(status.ok()) << status;
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  std::unique_ptr<LdbWriter> writer_ = OpenWriter(path_);
  TestLedger ledger_;
};

// Statements of a few tables that are made, changed, cleared and dropped all the time. They use few
// names and types, so that statements of the same text meet tables that differ.
class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed) {}

  std::string Next() {
    const size_t which = random_.Below(tables_.size());
    absl::optional<TableSchema>& table = tables_[which];
    if (!table.has_value()) {
      table = NewTable(absl::StrCat("tbl", which));
      return sql::CreateTableStatement(*table);
    }
    switch (random_.Below(20)) {
      case 0:
        return sql::ClearTableStatement(table->name());
      case 1: {
        const std::string drop = sql::DropTableStatement(table->name());
        table.reset();
        return drop;
      }
      case 2: {
        std::vector<Field> added;
        const Field field{"more", random_.Type()};
        if (table->FindField("more").has_value()) break;
        table = *table->WithFields({field}, &added);
        return sql::AddFieldStatement(table->name(), field);
      }
      default:
        break;
    }
    std::vector<Value> row;
    for (size_t i = 0; i < table->fields().size(); ++i) {
      row.push_back(ValueOf(table->fields()[i].type, !table->is_key(i)));
    }
    const std::vector<ValueView> values(row.begin(), row.end());
    if (!random_.OneIn(4)) return sql::UpsertStatement(*table, values);
    std::vector<ValueView> key;
    for (const size_t position : table->key_positions()) key.push_back(values[position]);
    return sql::DeleteStatement(*table, key);
  }

  sql::RandomData* random() { return &random_; }

 private:
  TableSchema NewTable(const std::string& name) {
    std::vector<Field> fields = {{"a", random_.KeyType()}, {"b", random_.KeyType()}};
    if (random_.OneIn(2)) fields.push_back({"c", random_.Type()});
    if (random_.OneIn(2)) std::swap(fields.front(), fields.back());
    std::vector<std::string> key = {"a"};
    if (random_.OneIn(2)) key.push_back("b");
    if (random_.OneIn(2)) std::swap(key.front(), key.back());
    return *TableSchema::Create("fam", name, std::move(fields), key);
  }

  // Few different ones, so that keys meet.
  Value ValueOf(FieldType type, bool nullable) {
    if (nullable && random_.OneIn(5)) return Value::Null();
    const int64_t number = static_cast<int64_t>(random_.Below(6));
    switch (KindOf(type)) {
      case ValueKind::kInteger:
        return Value::Integer(number);
      case ValueKind::kDecimal:
        return Value::Decimal(static_cast<double>(number) / 2);
      case ValueKind::kBytes:
        return Value::Bytes(absl::StrCat(number));
      default:
        return Value::Text(absl::StrCat(number));
    }
  }

  sql::RandomData random_;
  std::array<absl::optional<TableSchema>, 3> tables_;
};

TEST_F(TableChangesTest, PreparedStatementsMeanTheSameAsTextWhateverTheTablesAreByNow) {
  RandomHistory history(7);
  std::unique_ptr<sqlite::Database> plain = OpenPlain(":memory:", /*read_only=*/false);
  int64_t applied = 0;
  for (int round = 0; round < 400; ++round) {
    for (size_t count = 1 + history.random()->Below(30); count > 0; --count) {
      ledger_.Add(history.Next());
    }
    std::vector<LedgerEntry> entries = ledger_.Take();
    for (const LedgerEntry& entry : entries) {
      ASSERT_TRUE(plain->Execute(entry.statement).ok()) << entry.statement;
    }
    if (history.random()->OneIn(3)) {
      // All of it, changes of tables too, is rolled back at a statement that fails, as when a disk
      // is full.
      std::vector<LedgerEntry> failing = entries;
      const int64_t last = failing.back().sequence;
      failing.insert(failing.begin(), {applied, failing.front().leader_time, kBeginMarker});
      failing.push_back({last + 1, failing.front().leader_time, "DELETE FROM fam___nowhere"});
      failing.push_back({last + 2, failing.front().leader_time, kCommitMarker});
      for (size_t i = 0; i < failing.size(); ++i) failing[i].sequence = applied + 1 + i;
      ASSERT_FALSE(writer_->Apply(failing).ok());
      ASSERT_EQ(writer_->applied_sequence(), applied);
    }
    const absl::Status status = writer_->Apply(entries);
    ASSERT_TRUE(status.ok()) << status;
    applied = entries.back().sequence;
    ASSERT_EQ(Contents(OpenPlain(path_).get()), Contents(plain.get())) << "round " << round;
  }
}

TEST_F(TableChangesTest, EveryConnectionOfAReaderForgetsATableThatIsDropped) {
  constexpr int kConnections = 8;
  const std::string create_one =
      "CREATE TABLE fam___one (\"k\" VARCHAR(191), \"v\" INTEGER, PRIMARY KEY(\"k\"));";
  Apply({create_one, "REPLACE INTO fam___one (\"k\",\"v\") VALUES('x',1)",
         "CREATE TABLE fam___pin (\"k\" INTEGER, PRIMARY KEY(\"k\"));",
         "REPLACE INTO fam___pin (\"k\") VALUES(1)"});
  Reader reader(path_);
  // Each row keeps a connection, so that the next call takes another one.
  const auto on_each_connection = [&reader](const std::function<void()>& look) {
    std::vector<Row> pinned;
    for (int i = 0; i < kConnections; ++i) {
      look();
      absl::StatusOr<Row> row = reader.GetRow("fam", "pin", {1});
      ASSERT_TRUE(row.ok() && row->exists()) << row.status();
      pinned.push_back(*std::move(row));
    }
  };
  const auto sees = [&reader](const std::vector<ValueView>& key, const std::vector<Value>& row) {
    // Twice: once as the connection knows the table, once as it has learnt it.
    for (int i = 0; i < 2; ++i) {
      absl::StatusOr<Row> found = reader.GetRow("fam", "one", key);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(ColumnsOf(*found), row);
      RowIterator rows = reader.ListRows("fam", "one", {});
      ASSERT_TRUE(rows.Next()) << rows.status();
      EXPECT_EQ(ColumnsOf(rows.row()), row);
      RowIterator prefixed = reader.ListRows("fam", "one", {key[0]});
      ASSERT_TRUE(prefixed.Next()) << prefixed.status();
      EXPECT_EQ(ColumnsOf(prefixed.row()), row);
    }
  };
  on_each_connection([&] { sees({"x"}, {Value::Text("x"), Value::Integer(1)}); });

  Apply({"DELETE FROM fam___one"});
  on_each_connection([&] {
    EXPECT_FALSE(reader.GetRow("fam", "one", {"x"})->exists());
    RowIterator rows = reader.ListRows("fam", "one", {});
    EXPECT_FALSE(rows.Next());
    EXPECT_TRUE(rows.status().ok()) << rows.status();
  });

  Apply({"DROP TABLE IF EXISTS fam___one"});
  on_each_connection([&] {
    for (int i = 0; i < 2; ++i) {
      const absl::Status status = reader.GetRow("fam", "one", {"x"}).status();
      EXPECT_TRUE(IsTableNotFound(status)) << status;
      EXPECT_TRUE(IsTableNotFound(reader.ListRows("fam", "one", {}).status()));
      EXPECT_TRUE(IsTableNotFound(reader.ListRows("fam", "one", {"x"}).status()));
      EXPECT_TRUE(IsTableNotFound(reader.GetTable("fam", "one").status()));
    }
  });

  // The same columns in other places and with other types, and the same kind of key.
  Apply(
      {"CREATE TABLE fam___one (\"v\" BLOB, \"k\" TEXT, \"new\" REAL, \"key\" VARCHAR(191), "
       "PRIMARY KEY(\"key\"));",
       "REPLACE INTO fam___one (\"v\",\"k\",\"new\",\"key\") VALUES(x'00ff','y',2.0,'x')"});
  on_each_connection([&] {
    sees({"x"}, {Value::Bytes(std::string("\x00\xff", 2)), Value::Text("y"), Value::Decimal(2),
                 Value::Text("x")});
    EXPECT_EQ(reader.GetTable("fam", "one")->fields()[0], (Field{"v", FieldType::kBinary}));
  });

  // Dropped and made again between two looks, with another kind of key, and then as it was first.
  Apply({"DROP TABLE IF EXISTS fam___one",
         "CREATE TABLE fam___one (\"k\" INTEGER, \"v\" INTEGER, PRIMARY KEY(\"k\",\"v\"));",
         "REPLACE INTO fam___one (\"k\",\"v\") VALUES(1,2)"});
  on_each_connection([&] {
    const absl::Status status = reader.GetRow("fam", "one", {"x"}).status();
    EXPECT_EQ(ErrorReason(status), reason::kInvalidKey) << status;
    sees({1, 2}, {Value::Integer(1), Value::Integer(2)});
  });
  Apply({"DROP TABLE IF EXISTS fam___one", create_one,
         "REPLACE INTO fam___one (\"k\",\"v\") VALUES('x',3)"});
  on_each_connection([&] { sees({"x"}, {Value::Text("x"), Value::Integer(3)}); });
}

TEST_F(TableChangesTest, RowsThatAreHeldStayAsTheyAreWhenTheirTableIsDropped) {
  Apply({"CREATE TABLE fam___one (\"k\" INTEGER, \"v\" TEXT, PRIMARY KEY(\"k\"));"});
  for (int i = 0; i < 100; ++i) {
    Apply({absl::StrCat("REPLACE INTO fam___one (\"k\",\"v\") VALUES(", i, ",'old')")});
  }
  Reader reader(path_);
  absl::StatusOr<Row> row = reader.GetRow("fam", "one", {7});
  ASSERT_TRUE(row.ok()) << row.status();
  RowIterator rows = reader.ListRows("fam", "one", {});
  ASSERT_TRUE(rows.Next());
  Apply({"DROP TABLE IF EXISTS fam___one",
         "CREATE TABLE fam___one (\"v\" INTEGER, \"k\" INTEGER, PRIMARY KEY(\"k\"));",
         "REPLACE INTO fam___one (\"v\",\"k\") VALUES(1,1)"});
  ASSERT_TRUE(writer_->Checkpoint().ok());
  EXPECT_THAT(ColumnsOf(*reader.GetRow("fam", "one", {1})),
              ElementsAre(Value::Integer(1), Value::Integer(1)));
  EXPECT_EQ(row->name(1), "v");
  EXPECT_EQ(*row->GetText("v"), "old");
  int count = 0;
  do {
    EXPECT_EQ(*rows.row().GetInteger("k"), count++);
    EXPECT_EQ(*rows.row().GetText("v"), "old");
  } while (rows.Next());
  EXPECT_TRUE(rows.status().ok()) << rows.status();
  EXPECT_EQ(count, 100);
}

TEST_F(TableChangesTest, ALostHeartbeatTableIsNoHeartbeat) {
  const std::string create =
      "CREATE TABLE ctlstore___heartbeats (\"name\" VARCHAR(191), \"value\" INTEGER, PRIMARY "
      "KEY(\"name\"));";
  const std::string beat =
      "REPLACE INTO ctlstore___heartbeats (\"name\",\"value\") VALUES('heartbeat',1000000000)";
  Reader reader(path_);
  Apply({create, beat});
  EXPECT_EQ(reader.GetPosition()->heartbeat_time, absl::FromUnixSeconds(1));
  Apply({"DELETE FROM ctlstore___heartbeats"});
  EXPECT_EQ(reader.GetPosition()->heartbeat_time, absl::nullopt);
  Apply({"DROP TABLE IF EXISTS ctlstore___heartbeats"});
  EXPECT_EQ(reader.GetPosition()->heartbeat_time, absl::nullopt);
  EXPECT_EQ(reader.GetPosition()->applied_sequence, 4);
  Apply({create, beat});
  EXPECT_EQ(reader.GetPosition()->heartbeat_time, absl::FromUnixSeconds(1));
}

// A table of which each column's name and each value tells the generation. Their keys are of three
// forms, in other places each.
class Generation {
 public:
  static constexpr int kForms = 3;
  static constexpr int kRows = 5;

  explicit Generation(int64_t number) : number_(number) {}

  TableSchema Schema() const {
    const Field key{"k", number_ % kForms == 1 ? FieldType::kString : FieldType::kInteger};
    std::vector<Field> fields = {{absl::StrCat("i", number_), FieldType::kInteger},
                                 {absl::StrCat("t", number_), FieldType::kText}};
    if (number_ % 2 == 0) fields.push_back({absl::StrCat("d", number_), FieldType::kDecimal});
    fields.insert(fields.begin() + number_ % (fields.size() + 1), key);
    std::vector<std::string> keys = {"k"};
    if (number_ % kForms == 2) {
      fields.insert(fields.begin() + number_ % 2, {"l", FieldType::kString});
      keys.push_back("l");
    }
    return *TableSchema::Create("fam", "one", std::move(fields), keys);
  }

  // The key of a row of a table of this form.
  static std::vector<ValueView> Key(int form, int64_t row) {
    if (form == 1) return {absl::string_view("0123456789").substr(row, 1)};
    if (form == 2) return {row, "l"};
    return {row};
  }

  std::vector<std::string> Fill() const {
    const TableSchema schema = Schema();
    const std::string text = absl::StrCat(number_);
    std::vector<std::string> statements;
    for (int64_t row = 0; row < kRows; ++row) {
      std::vector<ValueView> values;
      const std::vector<ValueView> key = Key(static_cast<int>(number_ % kForms), row);
      for (const Field& field : schema.fields()) {
        switch (field.name[0]) {
          case 'k':
            values.push_back(key[0]);
            break;
          case 'l':
            values.push_back(key[1]);
            break;
          case 'i':
            values.push_back(number_);
            break;
          case 't':
            values.push_back(text);
            break;
          default:
            values.push_back(static_cast<double>(number_));
        }
      }
      statements.push_back(sql::UpsertStatement(schema, values));
    }
    return statements;
  }

  // What is wrong with a row of some generation, or nothing. `*number` becomes its number, and must
  // not go down.
  static std::string Check(const RowView& row, int64_t* number) {
    int64_t seen = -1;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::string_view name = row.name(i);
      int64_t here = 0;
      const ValueView value = row.value(i);
      if (absl::ConsumePrefix(&name, "i")) {
        if (value.kind() != ValueKind::kInteger) return "wrong kind";
        here = value.integer();
      } else if (absl::ConsumePrefix(&name, "t")) {
        if (value.kind() != ValueKind::kText) return "wrong kind";
        if (!absl::SimpleAtoi(value.data(), &here)) return "wrong text";
      } else if (absl::ConsumePrefix(&name, "d")) {
        if (value.kind() != ValueKind::kDecimal) return "wrong kind";
        here = static_cast<int64_t>(value.decimal());
      } else {
        continue;
      }
      if (name != absl::StrCat(here)) return absl::StrCat("column ", row.name(i), " has ", here);
      if (seen >= 0 && seen != here) return absl::StrCat("a mix of ", seen, " and ", here);
      seen = here;
    }
    if (seen < 0) return "no column of a generation";
    const TableSchema schema = Generation(seen).Schema();
    const std::vector<Field>& fields = schema.fields();
    if (row.size() != fields.size()) return absl::StrCat(row.size(), " columns");
    for (size_t i = 0; i < fields.size(); ++i) {
      if (row.name(i) != fields[i].name) return "columns in wrong places";
      if (row.value(i).kind() != KindOf(fields[i].type)) return "a key of the wrong kind";
    }
    if (seen < *number) return absl::StrCat("back from ", *number, " to ", seen);
    *number = seen;
    return "";
  }

 private:
  const int64_t number_;
};

// What is wrong with what a reader sees now, or nothing.
std::string Look(Reader* reader, int form, int64_t* number) {
  absl::StatusOr<Row> row = reader->GetRow("fam", "one", Generation::Key(form, 3));
  if (row.ok()) {
    if (row->exists()) {
      const std::string error = Generation::Check(*row, number);
      if (!error.empty()) return absl::StrCat("GetRow: ", error);
      if (*number % Generation::kForms != form) return "GetRow: a row for another form of key";
    }
  } else if (!IsTableNotFound(row.status()) && ErrorReason(row.status()) != reason::kInvalidKey) {
    return absl::StrCat("GetRow: ", row.status().ToString());
  }

  RowIterator rows = reader->ListRows("fam", "one", {});
  int count = 0;
  int64_t first = -1;
  while (rows.Next()) {
    const std::string error = Generation::Check(rows.row(), number);
    if (!error.empty()) return absl::StrCat("ListRows: ", error);
    if (count++ == 0) first = *number;
    if (*number != first) return "ListRows: rows of two generations";
  }
  if (!rows.status().ok()) {
    return IsTableNotFound(rows.status()) ? "" : absl::StrCat("List: ", rows.status().ToString());
  }
  if (count != 0 && count != Generation::kRows) return absl::StrCat("ListRows: ", count, " rows");

  const absl::StatusOr<TableSchema> table = reader->GetTable("fam", "one");
  if (!table.ok()) {
    return IsTableNotFound(table.status()) ? "" : table.status().ToString();
  }
  int64_t generation = -1;
  for (const Field& field : table->fields()) {
    if (absl::SimpleAtoi(field.name.substr(1), &generation)) break;
  }
  if (generation < 0) return "GetTable: no column of a generation";
  return *table == Generation(generation).Schema() ? "" : "GetTable: a mix";
}

TEST_F(TableChangesTest, ReadersThatAreOpenAllTheWhileSeeEachTableAsItIs) {
  Reader reader(path_);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> rows_seen{0};
  std::vector<std::string> errors(3);
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < errors.size(); ++thread) {
    threads.emplace_back([&, thread] {
      int64_t number = 0;
      for (int i = 0; !stop && errors[thread].empty(); ++i) {
        const int64_t before = number;
        errors[thread] = Look(&reader, i % Generation::kForms, &number);
        if (number != before) ++rows_seen;
      }
    });
  }
  const auto apply = [this] { EXPECT_TRUE(writer_->Apply(ledger_.Take()).ok()); };
  for (int64_t number = 1; number <= 300; ++number) {
    const Generation generation(number);
    const std::string clear = sql::ClearTableStatement({"fam", "one"});
    const std::string drop = sql::DropTableStatement({"fam", "one"});
    const auto add = [this](const std::vector<std::string>& statements) {
      if (statements.size() > 1) ledger_.Begin();
      for (const std::string& statement : statements) ledger_.Add(statement);
      if (statements.size() > 1) ledger_.Commit();
    };
    add({sql::CreateTableStatement(generation.Schema())});
    add(generation.Fill());
    // Many ledger transactions share a transaction of the LDB at times.
    if (number % 3 == 0) apply();
    add({clear});
    if (number % 2 == 0) apply();
    add(generation.Fill());
    apply();
    add({drop});
    if (number % 5 != 0) apply();
    if (number % 20 == 0) {
      EXPECT_TRUE(writer_->Checkpoint().ok());
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  EXPECT_GT(rows_seen, 0);
  ASSERT_TRUE(writer_->Apply(ledger_.Take()).ok());
  EXPECT_TRUE(IsTableNotFound(reader.GetTable("fam", "one").status()));
}

}  // namespace
}  // namespace ctlstore::ldb
