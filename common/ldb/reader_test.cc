#include "common/ldb/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Value> ColumnsOf(const RowView& row) {
  std::vector<Value> columns;
  for (size_t i = 0; i < row.size(); ++i) columns.emplace_back(row.value(i));
  return columns;
}

Rows AllOf(RowIterator rows) {
  Rows result;
  while (rows.Next()) result.push_back(ColumnsOf(rows.row()));
  EXPECT_TRUE(rows.status().ok()) << rows.status();
  return result;
}

void ExpectError(const absl::Status& status, absl::StatusCode code, absl::string_view reason,
                 absl::string_view part_of_message) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ErrorReason(status).value_or(""), reason) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(part_of_message)));
}

class ReaderTest : public testing::Test {
 protected:
  void Apply(const std::vector<std::string>& statements) {
    if (writer_ == nullptr) writer_ = OpenWriter(path_);
    for (const std::string& statement : statements) ledger_.Add(statement);
    const absl::Status status = writer_->Apply(ledger_.Take());
    ASSERT_TRUE(status.ok()) << status;
  }

  void Create(const TableSchema& schema) { Apply({sql::CreateTableStatement(schema)}); }

  void Upsert(const TableSchema& schema, const std::vector<ValueView>& row) {
    Apply({sql::UpsertStatement(schema, row)});
  }

  // One table with a field of each type, with a key of each kind that can be one.
  static TableSchema AllTypes() {
    return *TableSchema::Create("fam", "all_types",
                                {{"d", FieldType::kDecimal},
                                 {"s", FieldType::kString},
                                 {"i", FieldType::kInteger},
                                 {"t", FieldType::kText},
                                 {"b", FieldType::kBinary},
                                 {"y", FieldType::kBytestring}},
                                {"s", "i", "y"});
  }

  static TableSchema Simple() {
    return *TableSchema::Create(
        "fam", "simple", {{"code", FieldType::kString}, {"n", FieldType::kInteger}}, {"code"});
  }

  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  TestLedger ledger_;
  std::unique_ptr<LdbWriter> writer_;
  Reader reader_{path_};
};

TEST_F(ReaderTest, ReadsARowOfEachType) {
  Create(AllTypes());
  Upsert(AllTypes(), {0.1, "it's", -5, "line\nline",
                      ValueView::Bytes(absl::string_view("\0\xFF", 2)), ValueView::Bytes("key")});
  absl::StatusOr<Row> row =
      reader_.GetRow("fam", "all_types", {"it's", -5, ValueView::Bytes("key")});
  ASSERT_TRUE(row.ok()) << row.status();
  ASSERT_TRUE(row->exists());
  ASSERT_EQ(row->size(), 6u);
  std::vector<std::string> names;
  for (size_t i = 0; i < row->size(); ++i) names.emplace_back(row->name(i));
  EXPECT_THAT(names, ElementsAre("d", "s", "i", "t", "b", "y"));
  EXPECT_EQ(*row->GetDecimal("d"), 0.1);
  EXPECT_EQ(*row->GetText("s"), "it's");
  EXPECT_EQ(*row->GetInteger("i"), -5);
  EXPECT_EQ(*row->GetText("t"), "line\nline");
  EXPECT_EQ(*row->GetBytes("b"), absl::string_view("\0\xFF", 2));
  EXPECT_EQ(*row->GetBytes("y"), "key");
  EXPECT_EQ(*row->Get("I"), ValueView(-5));
}

TEST_F(ReaderTest, NullsAndEmptyValuesAreTold) {
  Create(AllTypes());
  Upsert(AllTypes(), {ValueView(), "", 0, ValueView(), ValueView(), ValueView::Bytes("")});
  Upsert(AllTypes(), {0.0, "", 1, "", ValueView::Bytes(""), ValueView::Bytes("")});
  {
    const Row row = *reader_.GetRow("fam", "all_types", {"", 0, ValueView::Bytes("")});
    EXPECT_THAT(ColumnsOf(row), ElementsAre(Value::Null(), Value::Text(""), Value::Integer(0),
                                            Value::Null(), Value::Null(), Value::Bytes("")));
    EXPECT_EQ(row.GetText("t").status().code(), absl::StatusCode::kFailedPrecondition);
  }
  const Row row = *reader_.GetRow("fam", "all_types", {"", 1, ValueView::Bytes("")});
  EXPECT_THAT(ColumnsOf(row), ElementsAre(Value::Decimal(0), Value::Text(""), Value::Integer(1),
                                          Value::Text(""), Value::Bytes(""), Value::Bytes("")));
}

TEST_F(ReaderTest, IntegersAtBothEndsAndWholeDecimalsAreExact) {
  const TableSchema schema = *TableSchema::Create(
      "fam", "numbers", {{"k", FieldType::kInteger}, {"d", FieldType::kDecimal}}, {"k"});
  Create(schema);
  for (int64_t k : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(),
                    int64_t{9007199254740993}}) {
    // SQLite stores a whole REAL as an integer.
    Upsert(schema, {k, 42.0});
    const Row row = *reader_.GetRow("fam", "numbers", {k});
    ASSERT_TRUE(row.exists());
    EXPECT_EQ(*row.GetInteger("k"), k);
    EXPECT_EQ(*row.GetDecimal("d"), 42.0);
    EXPECT_EQ(row.GetInteger("d").status().code(), absl::StatusCode::kFailedPrecondition);
  }
  for (double d : {std::numeric_limits<double>::max(), std::numeric_limits<double>::denorm_min(),
                   -0.1, 1e300}) {
    Upsert(schema, {1, d});
    EXPECT_EQ(*reader_.GetRow("fam", "numbers", {1})->GetDecimal("d"), d);
  }
}

TEST_F(ReaderTest, KeysAreTheSameOnlyByteForByte) {
  Create(Simple());
  const std::vector<std::string> keys = {"foo",         "Foo", "foo ", "fóo",
                                         "fo\xCC\x81o", "😀",   "'",    "\\"};
  for (size_t i = 0; i < keys.size(); ++i) Upsert(Simple(), {keys[i], static_cast<int64_t>(i)});
  for (size_t i = 0; i < keys.size(); ++i) {
    const Row row = *reader_.GetRow("fam", "simple", {keys[i]});
    ASSERT_TRUE(row.exists()) << keys[i];
    EXPECT_EQ(*row.GetInteger("n"), static_cast<int64_t>(i));
  }
  EXPECT_FALSE(reader_.GetRow("fam", "simple", {"FOO"})->exists());
  EXPECT_FALSE(reader_.GetRow("fam", "simple", {"foo  "})->exists());
}

TEST_F(ReaderTest, ARowThatIsNotThereHasNoColumns) {
  Create(Simple());
  const Row row = *reader_.GetRow("fam", "simple", {"nothing"});
  EXPECT_FALSE(row.exists());
  EXPECT_EQ(row.size(), 0u);
  EXPECT_EQ(row.Get("code").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(row.GetText("code").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReaderTest, GettersTellWhatIsWrong) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  const Row row = *reader_.GetRow("fam", "simple", {"x"});
  EXPECT_EQ(row.Get("nope").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(row.GetBytes("code").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(row.GetDecimal("n").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(row.GetText("n").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ReaderTest, NamesAreTakenInAnyCase) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(reader_.GetRow("FAM", "Simple", {"x"})->exists());
    EXPECT_TRUE(reader_.GetRow("fam", "simple", {"x"})->exists());
  }
  EXPECT_TRUE(reader_.GetTable("Fam", "SIMPLE").ok());
}

TEST_F(ReaderTest, ListsByPrefixInTheOrderOfTheKeysBytes) {
  const TableSchema schema = *TableSchema::Create("fam", "parts",
                                                  {{"n", FieldType::kInteger},
                                                   {"v", FieldType::kText},
                                                   {"s", FieldType::kString},
                                                   {"y", FieldType::kBytestring}},
                                                  {"s", "n", "y"});
  Create(schema);
  const auto add = [&](const char* s, int64_t n, const char* y) {
    Upsert(schema, {n, "v", s, ValueView::Bytes(y)});
  };
  add("b", 10, "x");
  add("b", -1, "x");
  add("b", 9, "y");
  add("b", 9, "x");
  add("b", 9, "");
  add("a", 1, "x");
  add("é", 1, "x");
  add("B", 1, "x");
  add("b ", 1, "x");
  add("", 1, "x");
  const auto keys = [&](std::vector<ValueView> prefix, int64_t limit = kNoLimit) {
    std::vector<std::string> result;
    for (const std::vector<Value>& row :
         AllOf(reader_.ListRows("fam", "parts", prefix, {limit, {}}))) {
      result.push_back(absl::StrCat(row[2].data(), "/", row[0].integer(), "/", row[3].data()));
    }
    return result;
  };
  EXPECT_THAT(keys({}), ElementsAre("/1/x", "B/1/x", "a/1/x", "b/-1/x", "b/9/", "b/9/x", "b/9/y",
                                    "b/10/x", "b /1/x", "é/1/x"));
  EXPECT_THAT(keys({"b"}), ElementsAre("b/-1/x", "b/9/", "b/9/x", "b/9/y", "b/10/x"));
  EXPECT_THAT(keys({"b", 9}), ElementsAre("b/9/", "b/9/x", "b/9/y"));
  EXPECT_THAT(keys({"b", 9, ValueView::Bytes("x")}), ElementsAre("b/9/x"));
  EXPECT_THAT(keys({"c"}), ElementsAre());
  EXPECT_THAT(keys({"b"}, 2), ElementsAre("b/-1/x", "b/9/"));
  EXPECT_THAT(keys({"b"}, 5).size(), 5u);
  EXPECT_THAT(keys({"b"}, 0), ElementsAre());
  EXPECT_THAT(keys({}, 1), ElementsAre("/1/x"));
}

TEST_F(ReaderTest, AnIteratorKeepsItsKeyAndEndsQuietly) {
  const TableSchema schema = *TableSchema::Create(
      "fam", "pairs", {{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"a", "b"});
  Create(schema);
  const std::string group(100, 'g');
  for (int i = 0; i < 300; ++i) Upsert(schema, {group, i});
  auto key = std::make_unique<std::string>(group);
  RowIterator rows = reader_.ListRows("fam", "pairs", {*key});
  EXPECT_FALSE(rows.row().exists());
  key = nullptr;
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(rows.Next());
    ASSERT_EQ(*rows.row().GetInteger("b"), i);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(rows.Next());
    EXPECT_FALSE(rows.row().exists());
    EXPECT_TRUE(rows.status().ok());
  }
}

TEST_F(ReaderTest, ManyRowsAndIteratorsLiveSideBySide) {
  Create(Simple());
  for (int i = 0; i < 50; ++i) Upsert(Simple(), {absl::StrCat("key", i), i});
  std::vector<Row> rows;
  for (int i = 0; i < 50; ++i)
    rows.push_back(*reader_.GetRow("fam", "simple", {absl::StrCat("key", i)}));
  RowIterator one = reader_.ListRows("fam", "simple", {});
  RowIterator two = reader_.ListRows("fam", "simple", {});
  ASSERT_TRUE(one.Next());
  ASSERT_TRUE(one.Next());
  ASSERT_TRUE(two.Next());
  EXPECT_EQ(*one.row().GetText("code"), "key1");
  EXPECT_EQ(*two.row().GetText("code"), "key0");
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(*rows[i].GetInteger("n"), i);
    if (i % 3 == 0) rows[i] = *reader_.GetRow("fam", "simple", {"key7"});
  }
  EXPECT_EQ(*rows[0].GetInteger("n"), 7);
  two = std::move(one);
  EXPECT_EQ(*two.row().GetText("code"), "key1");
  Row moved = std::move(rows[1]);
  EXPECT_FALSE(rows[1].exists());
  EXPECT_EQ(*moved.GetInteger("n"), 1);
}

TEST_F(ReaderTest, EachCallSeesTheNewestStateAndARowKeepsItsOwn) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  const Row old = *reader_.GetRow("fam", "simple", {"x"});
  RowIterator rows = reader_.ListRows("fam", "simple", {});
  Upsert(Simple(), {"x", 2});
  Upsert(Simple(), {"y", 2});
  EXPECT_EQ(*old.GetInteger("n"), 1);
  EXPECT_EQ(*reader_.GetRow("fam", "simple", {"x"})->GetInteger("n"), 2);
  EXPECT_EQ(AllOf(std::move(rows)), (Rows{{Value::Text("x"), Value::Integer(1)}}));
}

TEST_F(ReaderTest, WrongKeysAreNamed) {
  Create(AllTypes());
  for (int i = 0; i < 2; ++i) {
    ExpectError(reader_.GetRow("fam", "all_types", {"x"}).status(),
                absl::StatusCode::kInvalidArgument, reason::kInvalidKey,
                "3 fields (s string, i integer, y bytestring), given were 1 values");
    ExpectError(reader_.GetRow("fam", "all_types", {}).status(), absl::StatusCode::kInvalidArgument,
                reason::kInvalidKey, "given were 0 values");
    ExpectError(reader_.ListRows("fam", "all_types", {"x", 1, ValueView::Bytes("y"), 2}).status(),
                absl::StatusCode::kInvalidArgument, reason::kInvalidKey, "given were 4 values");
    ExpectError(reader_.GetRow("fam", "all_types", {"x", "1", ValueView::Bytes("y")}).status(),
                absl::StatusCode::kInvalidArgument, reason::kInvalidKey,
                "key[1]: the key field i is of type integer and takes integer, not text");
    ExpectError(reader_.GetRow("fam", "all_types", {"x", 1, "y"}).status(),
                absl::StatusCode::kInvalidArgument, reason::kInvalidKey, "key[2]");
    ExpectError(reader_.ListRows("fam", "all_types", {ValueView()}).status(),
                absl::StatusCode::kInvalidArgument, reason::kInvalidKey, "key_prefix[0]");
    EXPECT_EQ(ErrorField(reader_.GetRow("fam", "all_types", {"x", 1.5, "y"}).status()), "key[1]");
    RowIterator rows = reader_.ListRows("fam", "all_types", {1});
    EXPECT_FALSE(rows.Next());
    ExpectError(rows.status(), absl::StatusCode::kInvalidArgument, reason::kInvalidKey,
                "key_prefix[0]");
    // The same again with what is known of the table by then.
    EXPECT_FALSE(reader_.GetRow("fam", "all_types", {"x", 1, ValueView::Bytes("y")})->exists());
  }
}

TEST_F(ReaderTest, WhatIsNotThereIsNotFound) {
  Create(Simple());
  for (int i = 0; i < 2; ++i) {
    ExpectError(reader_.GetRow("fam", "nothing", {"x"}).status(), absl::StatusCode::kNotFound,
                reason::kTableNotFound, "fam.nothing");
    ExpectError(reader_.ListRows("nothing", "simple", {}).status(), absl::StatusCode::kNotFound,
                reason::kTableNotFound, "nothing.simple");
    ExpectError(reader_.GetTable("fam", "nothing").status(), absl::StatusCode::kNotFound,
                reason::kTableNotFound, "fam.nothing");
  }
  for (auto [family, table] :
       {std::make_pair("f", "simple"), std::make_pair("fam", "s\"; DROP TABLE x"),
        std::make_pair("", ""), std::make_pair("fam", "_simple"),
        std::make_pair("fam_", "_simple")}) {
    EXPECT_EQ(reader_.GetRow(family, table, {"x"}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(ReaderTest, ANameIsNotSplitElsewhere) {
  const TableSchema schema =
      *TableSchema::Create("fam_", "simple", {{"code", FieldType::kString}}, {"code"});
  Create(schema);
  Upsert(schema, {"x"});
  EXPECT_TRUE(reader_.GetRow("fam_", "simple", {"x"})->exists());
  EXPECT_FALSE(reader_.GetRow("fam", "_simple", {"x"}).ok());
}

TEST_F(ReaderTest, TellsATablesDefinition) {
  Create(AllTypes());
  EXPECT_EQ(*reader_.GetTable("fam", "all_types"), AllTypes());
  Apply({"ALTER TABLE fam___all_types ADD COLUMN \"more\" TEXT"});
  EXPECT_EQ(reader_.GetTable("fam", "all_types")->fields().back(),
            (Field{"more", FieldType::kText}));
}

TEST_F(ReaderTest, WithoutAFileAllCallsAreUnavailableUntilItIsThere) {
  for (int i = 0; i < 2; ++i) {
    ExpectError(reader_.GetRow("fam", "simple", {"x"}).status(), absl::StatusCode::kUnavailable,
                reason::kLdbUnavailable, path_);
    ExpectError(reader_.ListRows("fam", "simple", {}).status(), absl::StatusCode::kUnavailable,
                reason::kLdbUnavailable, path_);
    ExpectError(reader_.GetTable("fam", "simple").status(), absl::StatusCode::kUnavailable,
                reason::kLdbUnavailable, path_);
    ExpectError(reader_.GetPosition().status(), absl::StatusCode::kUnavailable,
                reason::kLdbUnavailable, path_);
    ExpectError(reader_.WaitForSequence(1, absl::Now()), absl::StatusCode::kUnavailable,
                reason::kLdbUnavailable, path_);
  }
  // Reading creates nothing.
  EXPECT_FALSE(std::filesystem::exists(path_));
  // An empty file is a database to SQLite, and no LDB.
  std::ofstream(path_).close();
  ExpectError(reader_.GetRow("fam", "simple", {"x"}).status(), absl::StatusCode::kUnavailable,
              reason::kLdbUnavailable, "no local database");
  ExpectError(reader_.GetPosition().status(), absl::StatusCode::kUnavailable,
              reason::kLdbUnavailable, "no local database");
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  EXPECT_TRUE(reader_.GetRow("fam", "simple", {"x"})->exists());
  EXPECT_EQ(reader_.GetPosition()->applied_sequence, 2);
}

TEST_F(ReaderTest, AFolderOrAnEmptyPathIsUnavailable) {
  for (const std::string& path :
       {folder_.Path(""), std::string(), std::string("/nowhere/ldb.db")}) {
    Reader reader(path);
    EXPECT_EQ(reader.GetRow("fam", "simple", {"x"}).status().code(), absl::StatusCode::kUnavailable)
        << path;
    EXPECT_EQ(reader.GetPosition().status().code(), absl::StatusCode::kUnavailable) << path;
  }
}

TEST_F(ReaderTest, DamagedFilesAreDataLoss) {
  Create(Simple());
  std::vector<std::string> statements;
  for (int i = 0; i < 3000; ++i) {
    statements.push_back(
        sql::UpsertStatement(Simple(), {absl::StrCat("key", i, std::string(100, 'x')), i}));
  }
  Apply(statements);
  ASSERT_TRUE(writer_->Checkpoint().ok());
  writer_ = nullptr;

  const std::string garbage = folder_.Path("garbage.db");
  std::ofstream(garbage) << std::string(20000, 'x');
  const std::string truncated = folder_.Path("truncated.db");
  std::filesystem::copy_file(path_, truncated);
  std::filesystem::resize_file(truncated, std::filesystem::file_size(path_) / 2 + 100);
  const std::string overwritten = folder_.Path("overwritten.db");
  std::filesystem::copy_file(path_, overwritten);
  {
    std::fstream file(overwritten, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(std::filesystem::file_size(path_) - 4096, '\x5A');
  }
  for (const std::string& path : {garbage, truncated, overwritten}) {
    Reader reader(path);
    for (int i = 0; i < 2; ++i) {
      RowIterator rows = reader.ListRows("fam", "simple", {});
      while (rows.Next()) {
      }
      EXPECT_EQ(rows.status().code(), absl::StatusCode::kDataLoss) << path << rows.status();
    }
    // Every answer is either an error or a row; none is a crash.
    for (int i = 0; i < 3000; i += 100) {
      reader.GetRow("fam", "simple", {absl::StrCat("key", i, std::string(100, 'x'))})
          .status()
          .IgnoreError();
    }
    reader.GetPosition().status().IgnoreError();
    reader.GetTable("fam", "simple").status().IgnoreError();
  }
  EXPECT_EQ(Reader(garbage).GetPosition().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Reader(garbage).GetRow("fam", "simple", {"x"}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ReaderTest, AFileThatIsCutWhileItIsReadGivesAnError) {
  Create(Simple());
  std::vector<std::string> statements;
  for (int i = 0; i < 20000; ++i) {
    statements.push_back(
        sql::UpsertStatement(Simple(), {absl::StrCat("key", i, std::string(150, 'x')), i}));
  }
  Apply(statements);
  ASSERT_TRUE(writer_->Checkpoint().ok());
  RowIterator rows = reader_.ListRows("fam", "simple", {});
  ASSERT_TRUE(rows.Next());
  ASSERT_EQ(truncate(path_.c_str(), 100000), 0);
  while (rows.Next()) {
  }
  EXPECT_FALSE(rows.status().ok());
  EXPECT_FALSE(rows.row().exists());
}

TEST_F(ReaderTest, PositionHasWhatTheLdbHas) {
  writer_ = OpenWriter(path_);
  {
    const Position position = *reader_.GetPosition();
    EXPECT_EQ(position.applied_sequence, 0);
    EXPECT_EQ(position.applied_entry_time, absl::nullopt);
    EXPECT_EQ(position.heartbeat_time, absl::nullopt);
    EXPECT_EQ(position.Lag(absl::Now()), absl::nullopt);
  }
  Create(Simple());
  const absl::Time entry_time =
      absl::FromCivil(absl::CivilSecond(2024, 2, 29, 23, 59, 58), absl::UTCTimeZone());
  {
    const Position position = *reader_.GetPosition();
    EXPECT_EQ(position.applied_sequence, 1);
    EXPECT_EQ(position.applied_entry_time, entry_time);
    EXPECT_EQ(position.heartbeat_time, absl::nullopt);
    EXPECT_EQ(position.Lag(entry_time + absl::Seconds(3)), absl::Seconds(3));
    EXPECT_EQ(position.Lag(entry_time - absl::Seconds(3)), absl::ZeroDuration());
  }
  const TableSchema heartbeats = *TableSchema::Create(
      "ctlstore", "heartbeats", {{"name", FieldType::kString}, {"value", FieldType::kInteger}},
      {"name"});
  Create(heartbeats);
  EXPECT_EQ(reader_.GetPosition()->heartbeat_time, absl::nullopt);
  const absl::Time heartbeat_time = entry_time + absl::Seconds(1) + absl::Nanoseconds(123456789);
  Upsert(heartbeats, {"heartbeat", absl::ToUnixNanos(heartbeat_time)});
  {
    const Position position = *reader_.GetPosition();
    EXPECT_EQ(position.applied_sequence, 3);
    EXPECT_EQ(position.heartbeat_time, heartbeat_time);
    EXPECT_EQ(position.Lag(heartbeat_time + absl::Seconds(3)), absl::Seconds(3));
  }
  Apply({"DROP TABLE IF EXISTS ctlstore___heartbeats"});
  EXPECT_EQ(reader_.GetPosition()->heartbeat_time, absl::nullopt);
  EXPECT_EQ(reader_.GetPosition()->applied_sequence, 4);
}

TEST_F(ReaderTest, WaitsForASequence) {
  Create(Simple());
  EXPECT_TRUE(reader_.WaitForSequence(0, absl::InfinitePast()).ok());
  EXPECT_TRUE(reader_.WaitForSequence(1, absl::InfinitePast()).ok());
  const absl::Status late = reader_.WaitForSequence(2, absl::Now() + absl::Milliseconds(10));
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(late.message()), HasSubstr("sequence 2"));
  absl::Status waited;
  std::thread waiter([&] { waited = reader_.WaitForSequence(3, absl::InfiniteFuture()); });
  Upsert(Simple(), {"x", 1});
  Upsert(Simple(), {"x", 2});
  waiter.join();
  EXPECT_TRUE(waited.ok()) << waited;
}

TEST_F(ReaderTest, AddedColumnsAreSeenByAnOpenReader) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  const Row before = *reader_.GetRow("fam", "simple", {"x"});
  // The connection that goes on to be used knows the old table.
  EXPECT_EQ(reader_.GetRow("fam", "simple", {"x"})->size(), 2u);
  EXPECT_EQ(AllOf(reader_.ListRows("fam", "simple", {})).size(), 1u);
  Apply({"ALTER TABLE fam___simple ADD COLUMN \"more\" REAL",
         "REPLACE INTO fam___simple (\"code\",\"n\",\"more\") VALUES('x',2,5.0)"});
  for (int i = 0; i < 3; ++i) {
    const Row row = *reader_.GetRow("fam", "simple", {"x"});
    ASSERT_EQ(row.size(), 3u);
    EXPECT_EQ(row.name(2), "more");
    EXPECT_EQ(*row.GetDecimal("more"), 5.0);
    EXPECT_EQ(AllOf(reader_.ListRows("fam", "simple", {})),
              (Rows{{Value::Text("x"), Value::Integer(2), Value::Decimal(5)}}));
  }
  EXPECT_EQ(before.size(), 2u);
  EXPECT_EQ(*before.GetInteger("n"), 1);
}

TEST_F(ReaderTest, TablesThatAreMadeAnewAreReadAsTheyAre) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  ASSERT_TRUE(reader_.GetRow("fam", "simple", {"x"})->exists());
  ASSERT_EQ(AllOf(reader_.ListRows("fam", "simple", {"x"})).size(), 1u);
  ASSERT_EQ(AllOf(reader_.ListRows("fam", "simple", {})).size(), 1u);

  Apply({"DROP TABLE IF EXISTS fam___simple"});
  EXPECT_EQ(reader_.GetRow("fam", "simple", {"x"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(reader_.ListRows("fam", "simple", {}).status().code(), absl::StatusCode::kNotFound);

  // Other columns, in other places, another key.
  Apply(
      {"CREATE TABLE fam___simple (\"n\" BLOB, \"other\" INTEGER, \"code\" BLOB(255), PRIMARY "
       "KEY(\"other\",\"code\"));",
       "REPLACE INTO fam___simple (\"n\",\"other\",\"code\") VALUES(x'01',7,x'78')"});
  EXPECT_EQ(reader_.GetRow("fam", "simple", {"x"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const Row row = *reader_.GetRow("fam", "simple", {7, ValueView::Bytes("x")});
  ASSERT_TRUE(row.exists());
  EXPECT_EQ(*row.GetBytes("n"), "\x01");
  EXPECT_EQ(*row.GetInteger("other"), 7);
  EXPECT_EQ(AllOf(reader_.ListRows("fam", "simple", {7})).size(), 1u);

  // The key in the other order: the same count of values, of kinds that still fit.
  const auto recreate = [&](const std::string& create, const std::string& insert) {
    Apply({"DROP TABLE IF EXISTS fam___simple", create, insert});
  };
  recreate("CREATE TABLE fam___simple (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"a\",\"b\"));",
           "REPLACE INTO fam___simple (\"a\",\"b\") VALUES(1,2)");
  EXPECT_TRUE(reader_.GetRow("fam", "simple", {1, 2})->exists());
  EXPECT_FALSE(reader_.GetRow("fam", "simple", {2, 1})->exists());
  recreate("CREATE TABLE fam___simple (\"a\" INTEGER, \"b\" INTEGER, PRIMARY KEY(\"b\",\"a\"));",
           "REPLACE INTO fam___simple (\"a\",\"b\") VALUES(1,2)");
  EXPECT_FALSE(reader_.GetRow("fam", "simple", {1, 2})->exists());
  EXPECT_TRUE(reader_.GetRow("fam", "simple", {2, 1})->exists());
  // A key column that is gone is no text.
  recreate("CREATE TABLE fam___simple (\"a\" INTEGER, \"c\" INTEGER, PRIMARY KEY(\"c\",\"a\"));",
           "REPLACE INTO fam___simple (\"a\",\"c\") VALUES(5,6)");
  EXPECT_TRUE(reader_.GetRow("fam", "simple", {6, 5})->exists());
  EXPECT_THAT(AllOf(reader_.ListRows("fam", "simple", {6})),
              ElementsAre(ElementsAre(Value::Integer(5), Value::Integer(6))));
}

TEST_F(ReaderTest, ReadsWhatAGoReflectorWrites) {
  // Tables with a rowid, values of other types than their columns have.
  ASSERT_TRUE(
      OpenPlain(path_, /*read_only=*/false)
          ->Execute(
              "PRAGMA journal_mode=WAL;"
              "CREATE TABLE _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, seq BIGINT NOT NULL);"
              "CREATE TABLE _ldb_last_update (name STRING PRIMARY KEY NOT NULL, timestamp DATETIME "
              "NOT NULL);"
              "CREATE TABLE fam___simple (\"code\" VARCHAR(191), \"n\" INTEGER, \"d\" REAL, \"b\" "
              "BLOB, PRIMARY KEY(\"code\"));"
              "REPLACE INTO fam___simple VALUES('x',1,2,'text'),('y',1e30,3.5,x'00'),(x'6100',3,4,"
              "NULL);"
              "REPLACE INTO _ldb_seq VALUES(1,7);"
              "REPLACE INTO _ldb_last_update VALUES('ledger','2024-01-01 00:00:00.5+00:00')")
          .ok());
  EXPECT_THAT(
      ColumnsOf(*reader_.GetRow("fam", "simple", {"x"})),
      ElementsAre(Value::Text("x"), Value::Integer(1), Value::Decimal(2), Value::Bytes("text")));
  // What an integer field cannot hold is told as what it is.
  EXPECT_THAT(ColumnsOf(*reader_.GetRow("fam", "simple", {"y"})),
              ElementsAre(Value::Text("y"), Value::Decimal(1e30), Value::Decimal(3.5),
                          Value::Bytes(std::string(1, '\0'))));
  EXPECT_EQ(AllOf(reader_.ListRows("fam", "simple", {}))[2][0], Value::Text(std::string("a\0", 2)));
  const Position position = *reader_.GetPosition();
  EXPECT_EQ(position.applied_sequence, 7);
  EXPECT_EQ(absl::ToUnixMillis(*position.applied_entry_time), 1704067200500);
}

TEST_F(ReaderTest, ColumnsOfOtherTypesAreReadAsTheyAreStored) {
  writer_ = OpenWriter(path_);
  Apply({"CREATE TABLE fam___other (k BIGINT, v DATETIME, PRIMARY KEY(k))",
         "REPLACE INTO fam___other (k,v) VALUES(1,'x')"});
  EXPECT_THAT(ColumnsOf(*reader_.GetRow("fam", "other", {1})),
              ElementsAre(Value::Integer(1), Value::Text("x")));
  EXPECT_EQ(reader_.GetRow("fam", "other", {ValueView()}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader_.GetTable("fam", "other").status().code(), absl::StatusCode::kInternal);
}

TEST_F(ReaderTest, AFileInPlaceOfAnotherIsNoticed) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  const Row held = *reader_.GetRow("fam", "simple", {"x"});
  EXPECT_EQ(*reader_.GetRow("fam", "simple", {"x"})->GetInteger("n"), 1);

  const std::string other = folder_.Path("other.db");
  {
    std::unique_ptr<LdbWriter> writer = OpenWriter(other);
    ASSERT_TRUE(writer
                    ->Apply({{50, "", sql::CreateTableStatement(Simple())},
                             {51, "", sql::UpsertStatement(Simple(), {"x", 2})}})
                    .ok());
    ASSERT_TRUE(writer->Checkpoint().ok());
  }
  writer_ = nullptr;
  for (const char* suffix : {"-wal", "-shm"}) {
    std::filesystem::remove(path_ + suffix);
    std::filesystem::remove(other + suffix);
  }
  std::filesystem::rename(other, path_);
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (*reader_.GetRow("fam", "simple", {"x"})->GetInteger("n") == 1) {
    ASSERT_LT(absl::Now(), deadline);
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(*reader_.GetRow("fam", "simple", {"x"})->GetInteger("n"), 2);
  EXPECT_EQ(reader_.GetPosition()->applied_sequence, 51);
  EXPECT_EQ(*held.GetInteger("n"), 1);
}

TEST_F(ReaderTest, AFileThatIsRemovedIsNoticed) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  EXPECT_TRUE(reader_.GetRow("fam", "simple", {"x"})->exists());
  writer_ = nullptr;
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (reader_.GetRow("fam", "simple", {"x"}).ok()) {
    ASSERT_LT(absl::Now(), deadline);
    absl::SleepFor(absl::Milliseconds(10));
  }
  ExpectError(reader_.GetRow("fam", "simple", {"x"}).status(), absl::StatusCode::kUnavailable,
              reason::kLdbUnavailable, path_);
}

TEST_F(ReaderTest, ReadingChangesNoFile) {
  Create(Simple());
  Upsert(Simple(), {"x", 1});
  writer_ = nullptr;
  struct stat before, after;
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  const auto wal_size = std::filesystem::file_size(path_ + "-wal");
  ASSERT_GT(wal_size, 0u);
  {
    Reader reader(path_);
    EXPECT_TRUE(reader.GetRow("fam", "simple", {"x"})->exists());
  }
  // Also not when the last connection is closed: what is in the WAL stays there.
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  EXPECT_EQ(std::filesystem::file_size(path_ + "-wal"), wal_size);
}

TEST_F(ReaderTest, TheDefaultPathCanBeMovedByTheEnvironment) {
  unsetenv("CTLSTORE_PATH");
  EXPECT_EQ(Reader::DefaultPath(), "/var/spool/ctlstore/ldb.db");
  EXPECT_EQ(Reader().path(), "/var/spool/ctlstore/ldb.db");
  setenv("CTLSTORE_PATH", "/elsewhere", 1);
  EXPECT_EQ(Reader::DefaultPath(), "/elsewhere/ldb.db");
  unsetenv("CTLSTORE_PATH");
}

// Rows of random tables by every key and prefix, beside plain SQL.
TEST_F(ReaderTest, ReadsTheSameAsPlainSqlDoes) {
  sql::RandomData random(1);
  for (int t = 0; t < 40; ++t) {
    const TableSchema schema = random.Table("fam", absl::StrCat("tbl", t));
    const std::string table = SqlTableName(schema.name());
    std::vector<std::string> statements = {sql::CreateTableStatement(schema)};
    std::vector<std::vector<Value>> keys;
    for (int i = 0; i < 60; ++i) {
      std::vector<Value> row;
      for (size_t field = 0; field < schema.fields().size(); ++field) {
        row.push_back(random.Of(schema.fields()[field].type, !schema.is_key(field)));
      }
      // Keys that share their beginning.
      if (!keys.empty() && random.OneIn(2)) {
        const std::vector<Value>& key = keys[random.Below(keys.size())];
        const size_t shared = random.Below(key.size() + 1);
        for (size_t k = 0; k < shared; ++k) row[schema.key_positions()[k]] = key[k];
      }
      std::vector<Value> key;
      for (size_t position : schema.key_positions()) key.push_back(row[position]);
      keys.push_back(key);
      statements.push_back(
          sql::UpsertStatement(schema, std::vector<ValueView>(row.begin(), row.end())));
    }
    Apply(statements);
    std::unique_ptr<sqlite::Database> plain = OpenPlain(path_);
    const auto select = [&](absl::Span<const Value> prefix) {
      std::string order, where;
      for (size_t k = 0; k < schema.key_positions().size(); ++k) {
        absl::StrAppend(&order, k == 0 ? "" : ",", schema.key_field(k).name);
        if (k < prefix.size()) {
          absl::StrAppend(&where, k == 0 ? " WHERE " : " AND ", schema.key_field(k).name, " = ?");
        }
      }
      std::unique_ptr<sqlite::Statement> statement =
          *plain->Prepare(absl::StrCat("SELECT * FROM ", table, where, " ORDER BY ", order));
      for (size_t k = 0; k < prefix.size(); ++k) {
        EXPECT_TRUE(statement->Bind(static_cast<int>(k + 1), prefix[k]).ok());
      }
      Rows rows;
      while (*statement->Step()) {
        rows.emplace_back();
        for (int i = 0; i < statement->column_count(); ++i) {
          rows.back().emplace_back(statement->Column(i));
        }
      }
      return rows;
    };
    for (int i = 0; i < 60; ++i) {
      std::vector<Value> key = keys[random.Below(keys.size())];
      // At times one that is not there.
      if (random.OneIn(4)) key.back() = random.Of(schema.key_field(key.size() - 1).type, false);
      const std::vector<ValueView> views(key.begin(), key.end());
      const Rows expected = select(key);
      absl::StatusOr<Row> row = reader_.GetRow("fam", schema.name().table, views);
      ASSERT_TRUE(row.ok()) << row.status();
      ASSERT_EQ(row->exists(), !expected.empty());
      if (row->exists()) {
        ASSERT_EQ(ColumnsOf(*row), expected[0]);
      }
      for (size_t size = 0; size <= key.size(); ++size) {
        const absl::Span<const ValueView> prefix = absl::MakeConstSpan(views).subspan(0, size);
        Rows rows = select(absl::MakeConstSpan(key).subspan(0, size));
        ASSERT_EQ(AllOf(reader_.ListRows("fam", schema.name().table, prefix)), rows);
        const size_t limit = random.Below(5);
        if (rows.size() > limit) rows.resize(limit);
        ASSERT_EQ(AllOf(reader_.ListRows("fam", schema.name().table, prefix,
                                         {static_cast<int64_t>(limit), {}})),
                  rows);
      }
    }
  }
}

}  // namespace
}  // namespace ctlstore::ldb
