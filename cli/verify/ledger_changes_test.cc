#include "cli/verify/ledger_changes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/ldb/row_encoding.h"

namespace ctlstore::cli {
namespace {

std::string Key(const std::vector<Value>& values) {
  std::string bytes;
  for (const Value& value : values) ldb::AppendOrdered(value, &bytes);
  return bytes;
}

class LedgerChangesTest : public ctldb::testing::CtldbTest {
 protected:
  LedgerChangesTest() : connection_(OpenReady()) {
    definition_.columns = {
        {"v", FieldType::kText, ""}, {"b", FieldType::kInteger, ""}, {"a", FieldType::kString, ""}};
    definition_.key = {2, 1};
  }

  void Add(int64_t sequence, absl::string_view statement) {
    ASSERT_TRUE(connection_
                    ->Execute("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (?, ?)",
                              {sequence, statement})
                    .ok());
  }

  LedgerChanges Read(int64_t first, int64_t last, size_t max_keys = 100) {
    LedgerChanges changes;
    changes["fam___one"];
    changes["fam___two"];
    const absl::Status status = ReadLedgerChanges(
        connection_.get(), {first, last}, {{"fam___one", &definition_}, {"fam___two", nullptr}},
        max_keys, &changes);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(changes.size(), 2u);
    return changes;
  }

  const std::unique_ptr<ctldb::Connection> connection_;
  TableDefinition definition_;
};

TEST_P(LedgerChangesTest, NamesTheKeysBetweenTheTwoPositions) {
  Add(1, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('x',1,'before')");
  Add(2, "--- BEGIN");
  Add(3, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES(NULL,1,'it''s')");
  Add(4, "DELETE FROM fam___one WHERE \"a\" = 'é' AND \"b\" = -9223372036854775808");
  Add(5, "REPLACE INTO fam___other (\"a\") VALUES('x')");
  Add(6, "--- COMMIT");
  Add(7, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('x',1,'behind')");
  const LedgerChanges changes = Read(1, 6);
  const TableChanges& one = changes.at("fam___one");
  EXPECT_FALSE(one.definition);
  EXPECT_FALSE(one.all_rows);
  EXPECT_EQ(one.keys.size(), 2u);
  EXPECT_TRUE(one.keys.contains(Key({Value::Text("it's"), Value::Integer(1)})));
  EXPECT_TRUE(one.keys.contains(Key({Value::Text("é"), Value::Integer(INT64_MIN)})));
  EXPECT_FALSE(changes.at("fam___two").definition);
  EXPECT_TRUE(changes.at("fam___two").keys.empty());
}

TEST_P(LedgerChangesTest, ClearedTablesAndKeysThatCannotBeToldAreAllRows) {
  const char* const kStatements[] = {
      "DELETE FROM fam___one",
      "DELETE FROM fam___one WHERE \"a\" = 'x'",
      "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('x','1','x')",
      "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('x',1,NULL)",
  };
  int64_t sequence = 0;
  for (const char* statement : kStatements) {
    Add(++sequence, statement);
    EXPECT_TRUE(Read(sequence - 1, sequence).at("fam___one").all_rows) << statement;
    EXPECT_FALSE(Read(sequence - 1, sequence).at("fam___one").definition) << statement;
    // Behind the positions, rows do not count.
    EXPECT_FALSE(Read(sequence - 1, sequence - 1).at("fam___one").all_rows) << statement;
  }
  Add(++sequence, "REPLACE INTO fam___two (\"a\") VALUES('x')");
  EXPECT_TRUE(Read(sequence - 1, sequence).at("fam___two").all_rows);
}

TEST_P(LedgerChangesTest, TooManyKeysAreAllRows) {
  for (int i = 1; i <= 6; ++i) {
    Add(i, absl::StrCat("DELETE FROM fam___one WHERE \"a\" = 'x' AND \"b\" = ", i));
  }
  EXPECT_EQ(Read(0, 5, 5).at("fam___one").keys.size(), 5u);
  EXPECT_TRUE(Read(0, 6, 5).at("fam___one").all_rows);
  EXPECT_TRUE(Read(0, 6, 5).at("fam___one").keys.empty());
}

TEST_P(LedgerChangesTest, DefinitionsCountUpToTheLedgersEnd) {
  const char* const kStatements[] = {
      "CREATE TABLE fam___one (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));",
      "ALTER TABLE fam___one ADD COLUMN \"c\" TEXT",
      "DROP TABLE IF EXISTS fam___one",
  };
  int64_t sequence = 0;
  for (const char* statement : kStatements) {
    Add(++sequence, statement);
    const LedgerChanges changes = Read(sequence - 1, sequence - 1);
    EXPECT_TRUE(changes.at("fam___one").definition) << statement;
    EXPECT_FALSE(changes.at("fam___two").definition) << statement;
    EXPECT_FALSE(Read(sequence, sequence).at("fam___one").definition) << statement;
  }
  // What it does cannot be told.
  Add(++sequence, "VACUUM");
  EXPECT_TRUE(Read(sequence - 1, sequence - 1).at("fam___one").definition);
  EXPECT_TRUE(Read(sequence - 1, sequence - 1).at("fam___two").definition);
}

TEST_P(LedgerChangesTest, TellsWhatTheLedgerMakesOfRows) {
  const std::vector<Value> x = {Value::Text("x"), Value::Integer(1)};
  const std::vector<Value> y = {Value::Text("y"), Value::Integer(1)};
  const std::vector<Value> z = {Value::Text("z"), Value::Integer(1)};
  Add(1, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('before',1,'z')");
  Add(2, "--- BEGIN");
  Add(3, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('first',1,'x')");
  Add(4, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES('y''s',1,'y')");
  Add(5, "--- COMMIT");
  Add(6, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES(NULL,1,'x')");
  Add(7, "DELETE FROM fam___one WHERE \"a\" = 'y' AND \"b\" = 1");
  Add(8, "REPLACE INTO fam___two (\"a\") VALUES('x')");
  Add(9, "REPLACE INTO fam___one (\"v\",\"b\",\"a\") VALUES(1.5,1,'x')");
  const auto read = [&](int64_t first, int64_t last, size_t max_bytes = 1000) {
    auto rows = ReadLedgerRows(connection_.get(), {first, last}, "fam___one", definition_,
                               {{Key(x), x}, {Key(y), y}, {Key(z), z}}, max_bytes);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return *std::move(rows);
  };
  auto rows = read(1, 5);
  EXPECT_EQ(rows.size(), 2u);
  ASSERT_TRUE(rows.at(Key(x)).known && rows.at(Key(y)).known);
  EXPECT_EQ(*rows.at(Key(x)).values,
            (std::vector<Value>{Value::Text("first"), Value::Integer(1), Value::Text("x")}));
  EXPECT_EQ(rows.at(Key(y)).values->front(), Value::Text("y's"));
  rows = read(0, 8);
  EXPECT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows.at(Key(x)).values->front(), Value::Null());
  EXPECT_TRUE(rows.at(Key(y)).known);
  EXPECT_FALSE(rows.at(Key(y)).values.has_value());
  // Of a kind that the column does not have; too large.
  EXPECT_FALSE(read(0, 9).at(Key(x)).known);
  EXPECT_FALSE(read(0, 5, 100).at(Key(x)).known);
  Add(10, "DELETE FROM fam___one");
  EXPECT_TRUE(read(0, 10).empty());
  EXPECT_EQ(read(0, 9).size(), 3u);
}

TEST_P(LedgerChangesTest, WhatWasTakenOutOfTheLedgerMayHaveBeenAnything) {
  Add(10, "REPLACE INTO fam___other (\"a\") VALUES('x')");
  Add(12, "REPLACE INTO fam___other (\"a\") VALUES('x')");
  EXPECT_TRUE(Read(8, 12).at("fam___one").definition);
  EXPECT_FALSE(Read(9, 12).at("fam___one").definition);
  // A gap within the ledger is one of those that rolled back transactions leave.
  EXPECT_FALSE(Read(10, 12).at("fam___one").definition);
}

TEST_P(LedgerChangesTest, ReadsIntents) {
  EXPECT_TRUE(ReadPendingSchemaChanges(connection_.get())->created.empty());
  const auto add = [this](absl::string_view statements) {
    ASSERT_TRUE(
        connection_
            ->Execute("INSERT INTO ctlstore_schema_intents (statements) VALUES (?)", {statements})
            .ok());
  };
  add("--- BEGIN\n"
      "CREATE TABLE fam___new (\"a\" VARCHAR(191), PRIMARY KEY(\"a\"));\n"
      "ALTER TABLE fam___one ADD COLUMN \"c\" TEXT\n"
      "ALTER TABLE fam___one ADD COLUMN \"d\" TEXT\n"
      "--- COMMIT");
  add("DROP TABLE IF EXISTS fam___two");
  const PendingSchemaChanges pending = *ReadPendingSchemaChanges(connection_.get());
  EXPECT_EQ(pending.created, std::set<std::string>{"fam___new"});
  EXPECT_EQ(pending.dropped, std::set<std::string>{"fam___two"});
  EXPECT_EQ(pending.added_columns.at("fam___one"), (std::set<std::string>{"c", "d"}));
  EXPECT_FALSE(pending.unknown);
  add("ANALYZE");
  EXPECT_TRUE(ReadPendingSchemaChanges(connection_.get())->unknown);
}

TEST_P(LedgerChangesTest, ACtldbWithoutALedgerIsUnavailable) {
  const std::unique_ptr<ctldb::Connection> empty =
      ctldb::testing::MustOpen(ctldb::testing::NewTarget(GetParam()));
  EXPECT_EQ(LastSequence(empty.get()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(*LastSequence(connection_.get()), 0);
  Add(7, "--- BEGIN");
  EXPECT_EQ(*LastSequence(connection_.get()), 7);
}

CTLSTORE_FOR_BOTH_KINDS(LedgerChangesTest);

}  // namespace
}  // namespace ctlstore::cli
