// The C interface against a local database that its own writer writes.

#include "bindings/c/ctlstore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bindings/c/ctlstore_pickler.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore {
namespace {

using ldb::LdbWriter;
using testing::ElementsAre;
using testing::HasSubstr;

class CtlstoreTest : public testing::Test {
 protected:
  CtlstoreTest() : folder_(testing::TempDir() + "/c-XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
    path_ = folder_ + "/ldb.db";
    towns_ = *TableSchema::Create("geo", "towns",
                                  {{"country", FieldType::kString},
                                   {"number", FieldType::kInteger},
                                   {"tag", FieldType::kBytestring},
                                   {"ratio", FieldType::kDecimal},
                                   {"notes", FieldType::kText},
                                   {"data", FieldType::kBinary}},
                                  {"country", "number", "tag"});
  }
  ~CtlstoreTest() override {
    ctlstore_close(reader_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // A local database with the empty table, and a reader of it.
  void Start() {
    writer_ = *LdbWriter::Open(path_, {});
    Apply({sql::CreateTableStatement(*towns_)});
    Open();
  }

  void Open(const ctlstore_options* options = nullptr) {
    ASSERT_EQ(ctlstore_open(path_.c_str(), options, &reader_, &error_), CTLSTORE_OK)
        << error_.message;
  }

  void Apply(const std::vector<std::string>& statements) {
    std::vector<LedgerEntry> entries;
    if (statements.size() > 1) entries.push_back({++sequence_, kTime, kBeginMarker});
    for (const std::string& statement : statements) {
      entries.push_back({++sequence_, kTime, statement});
    }
    if (statements.size() > 1) entries.push_back({++sequence_, kTime, kCommitMarker});
    ASSERT_TRUE(writer_->Apply(entries).ok());
  }

  std::string Town(absl::string_view country, int64_t number, absl::string_view notes) {
    return sql::UpsertStatement(
        *towns_, {country, number, ValueView::Bytes(""), ValueView(), notes, ValueView()});
  }

  static std::vector<ctlstore_value> Key(const char* country, int64_t number) {
    return {ctlstore_text(country), ctlstore_integer(number), ctlstore_bytes("", 0)};
  }

  int32_t Get(const std::vector<ctlstore_value>& key, ctlstore_row** row) {
    return ctlstore_get_row(reader_, "geo", "towns", key.data(), key.size(), row, &error_);
  }

  // The text column of a row that must be there.
  static std::string Notes(const ctlstore_row* row) {
    ctlstore_value value;
    const int32_t code = ctlstore_row_get(row, "notes", &value);
    if (code != CTLSTORE_OK) return absl::StrCat("error ", code);
    return std::string(value.data, value.size);
  }

  std::vector<std::string> ReadAll(ctlstore_rows* rows) {
    std::vector<std::string> notes;
    const ctlstore_row* row = nullptr;
    int32_t code;
    while ((code = ctlstore_rows_next(rows, &row, &error_)) == CTLSTORE_OK && row != nullptr) {
      notes.push_back(Notes(row));
    }
    if (code != CTLSTORE_OK) notes.push_back(error_.reason);
    return notes;
  }

  static constexpr char kTime[] = "2024-02-29 23:59:58";
  std::string folder_;
  std::string path_;
  absl::StatusOr<TableSchema> towns_;
  std::unique_ptr<LdbWriter> writer_;
  int64_t sequence_ = 0;
  ctlstore_reader* reader_ = nullptr;
  ctlstore_error error_ = {};
};

TEST_F(CtlstoreTest, ARowHasItsValuesOfAllTypes) {
  Start();
  const std::string data("\0\xff\n", 3);
  const std::string large(500 * 1024, '\xfe');
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  Apply({sql::UpsertStatement(
      *towns_, {"NZ", lowest, ValueView::Bytes(data), -0.1, "", ValueView::Bytes(large)})});
  const std::vector<ctlstore_value> key = {ctlstore_text("NZ"), ctlstore_integer(lowest),
                                           ctlstore_bytes(data.data(), data.size())};
  ctlstore_row* row = nullptr;
  ASSERT_EQ(Get(key, &row), CTLSTORE_OK) << error_.message;
  ASSERT_EQ(ctlstore_row_exists(row), 1);
  ASSERT_EQ(ctlstore_row_size(row), 6);
  EXPECT_STREQ(ctlstore_row_name(row, 0), "country");
  EXPECT_STREQ(ctlstore_row_name(row, 5), "data");
  EXPECT_EQ(ctlstore_row_name(row, 6), nullptr);

  ctlstore_value value;
  ASSERT_EQ(ctlstore_row_value(row, 0, &value), CTLSTORE_OK);
  EXPECT_EQ(value.type, CTLSTORE_TEXT);
  EXPECT_EQ(std::string(value.data, value.size), "NZ");
  ASSERT_EQ(ctlstore_row_value(row, 1, &value), CTLSTORE_OK);
  EXPECT_EQ(value.type, CTLSTORE_INTEGER);
  EXPECT_EQ(value.integer, lowest);
  ASSERT_EQ(ctlstore_row_get(row, "TAG", &value), CTLSTORE_OK);
  EXPECT_EQ(value.type, CTLSTORE_BYTES);
  EXPECT_EQ(std::string(value.data, value.size), data);
  ASSERT_EQ(ctlstore_row_get(row, "ratio", &value), CTLSTORE_OK);
  EXPECT_EQ(value.type, CTLSTORE_DECIMAL);
  EXPECT_EQ(value.decimal, -0.1);
  ASSERT_EQ(ctlstore_row_get(row, "notes", &value), CTLSTORE_OK);
  EXPECT_EQ(value.type, CTLSTORE_TEXT);
  EXPECT_EQ(value.size, 0);
  ASSERT_EQ(ctlstore_row_get(row, "data", &value), CTLSTORE_OK);
  EXPECT_EQ(std::string(value.data, value.size), large);
  EXPECT_EQ(ctlstore_row_get(row, "nothing", &value), CTLSTORE_NOT_FOUND);
  EXPECT_EQ(ctlstore_row_value(row, 6, &value), CTLSTORE_OUT_OF_RANGE);
  ctlstore_row_free(row);
}

TEST_F(CtlstoreTest, ARowCanBeReadIntoAgain) {
  Start();
  Apply({Town("NZ", 1, "one"), Town("NZ", 2, "two")});
  ctlstore_row* row = nullptr;
  ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "one");
  ctlstore_row* const first = row;
  ASSERT_EQ(Get(Key("NZ", 2), &row), CTLSTORE_OK);
  EXPECT_EQ(row, first);
  EXPECT_EQ(Notes(row), "two");

  ASSERT_EQ(Get(Key("NZ", 3), &row), CTLSTORE_OK);
  EXPECT_EQ(ctlstore_row_exists(row), 0);
  EXPECT_EQ(ctlstore_row_size(row), 0);
  ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "one");
  // On failure it shows nothing, rather than what it showed before.
  EXPECT_EQ(ctlstore_get_row(reader_, "geo", "rivers", nullptr, 0, &row, &error_),
            CTLSTORE_NOT_FOUND);
  EXPECT_STREQ(error_.reason, "TABLE_NOT_FOUND");
  EXPECT_EQ(ctlstore_row_exists(row), 0);
  ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
  ctlstore_row_clear(row);
  EXPECT_EQ(ctlstore_row_exists(row), 0);
  ASSERT_EQ(Get(Key("NZ", 2), &row), CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "two");

  // Also by another reader.
  ctlstore_reader* other = nullptr;
  ASSERT_EQ(ctlstore_open(path_.c_str(), nullptr, &other, &error_), CTLSTORE_OK);
  const std::vector<ctlstore_value> key = Key("NZ", 1);
  ASSERT_EQ(ctlstore_get_row(other, "geo", "towns", key.data(), key.size(), &row, &error_),
            CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "one");
  ctlstore_close(other);
  EXPECT_EQ(Notes(row), "one");
  ctlstore_row_free(row);
}

TEST_F(CtlstoreTest, WrongKeysAreRefused) {
  Start();
  ctlstore_row* row = nullptr;
  EXPECT_EQ(Get({ctlstore_text("NZ")}, &row), CTLSTORE_INVALID_ARGUMENT);
  EXPECT_STREQ(error_.reason, "INVALID_KEY");
  EXPECT_EQ(Get({ctlstore_text("NZ"), ctlstore_text("1"), ctlstore_bytes("", 0)}, &row),
            CTLSTORE_INVALID_ARGUMENT);
  EXPECT_STREQ(error_.reason, "INVALID_KEY");
  EXPECT_EQ(row, nullptr);
  // More values than any table's key has.
  EXPECT_EQ(Get(std::vector<ctlstore_value>(1000, ctlstore_text("NZ")), &row),
            CTLSTORE_INVALID_ARGUMENT);
}

TEST_F(CtlstoreTest, AListHasItsRowsInOrderAndCanBeTakenUpAgain) {
  Start();
  Apply({Town("NZ", 1, "a"), Town("NZ", 2, "b"), Town("NZ", 3, "c"), Town("AU", 9, "d")});
  const ctlstore_value prefix = ctlstore_text("NZ");
  ctlstore_rows* rows = nullptr;
  ASSERT_EQ(ctlstore_list_rows(reader_, "geo", "towns", &prefix, 1, nullptr, &rows, &error_),
            CTLSTORE_OK);
  EXPECT_THAT(ReadAll(rows), ElementsAre("a", "b", "c"));
  // The end stays the end.
  EXPECT_THAT(ReadAll(rows), ElementsAre());
  ctlstore_rows_close(rows);

  ctlstore_list_options options;
  ctlstore_list_options_init(&options, sizeof(options));
  options.limit = 2;
  ASSERT_EQ(ctlstore_list_rows(reader_, "geo", "towns", nullptr, 0, &options, &rows, &error_),
            CTLSTORE_OK);
  const ctlstore_row* row = nullptr;
  const ctlstore_value* key = nullptr;
  size_t key_size = 0;
  EXPECT_EQ(ctlstore_rows_key(rows, &key, &key_size), CTLSTORE_OUT_OF_RANGE);
  ASSERT_EQ(ctlstore_rows_next(rows, &row, &error_), CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "d");
  ASSERT_EQ(ctlstore_rows_next(rows, &row, &error_), CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "a");
  ASSERT_EQ(ctlstore_rows_key(rows, &key, &key_size), CTLSTORE_OK);
  ASSERT_EQ(key_size, 3);
  EXPECT_EQ(std::string(key[0].data, key[0].size), "NZ");
  EXPECT_EQ(key[1].integer, 1);
  options.after = key;
  options.after_size = key_size;
  ctlstore_rows* rest = nullptr;
  ASSERT_EQ(ctlstore_list_rows(reader_, "geo", "towns", nullptr, 0, &options, &rest, &error_),
            CTLSTORE_OK)
      << error_.message;
  EXPECT_THAT(ReadAll(rows), ElementsAre());
  EXPECT_EQ(ctlstore_rows_key(rows, &key, &key_size), CTLSTORE_OUT_OF_RANGE);
  ctlstore_rows_close(rows);
  EXPECT_THAT(ReadAll(rest), ElementsAre("b", "c"));
  ctlstore_rows_close(rest);

  EXPECT_EQ(ctlstore_list_rows(reader_, "geo", "rivers", nullptr, 0, nullptr, &rest, &error_),
            CTLSTORE_NOT_FOUND);
}

TEST_F(CtlstoreTest, ASnapshotStaysAndReadersGoOn) {
  Start();
  Apply({Town("NZ", 1, "old"), Town("NZ", 2, "old")});
  ctlstore_snapshot* snapshot = nullptr;
  ASSERT_EQ(ctlstore_snapshot_begin(reader_, &snapshot, &error_), CTLSTORE_OK);
  EXPECT_EQ(ctlstore_snapshot_sequence(snapshot), sequence_);
  Apply({Town("NZ", 1, "new"), Town("NZ", 2, "new")});

  const std::vector<ctlstore_value> key = Key("NZ", 1);
  ctlstore_row* row = nullptr;
  ASSERT_EQ(
      ctlstore_snapshot_get_row(snapshot, "geo", "towns", key.data(), key.size(), &row, &error_),
      CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "old");
  ctlstore_rows* rows = nullptr;
  ASSERT_EQ(
      ctlstore_snapshot_list_rows(snapshot, "geo", "towns", nullptr, 0, nullptr, &rows, &error_),
      CTLSTORE_OK);
  // The list keeps what it needs.
  ctlstore_snapshot_end(snapshot);
  EXPECT_THAT(ReadAll(rows), ElementsAre("old", "old"));
  ctlstore_rows_close(rows);
  ASSERT_EQ(Get(key, &row), CTLSTORE_OK);
  EXPECT_EQ(Notes(row), "new");
  ctlstore_row_free(row);
}

TEST_F(CtlstoreTest, SnapshotsAndListsExpire) {
  Start();
  Apply({Town("NZ", 1, "a"), Town("NZ", 2, "b")});
  ctlstore_close(reader_);
  ctlstore_options options;
  ctlstore_options_init(&options, sizeof(options));
  options.max_hold_ms = 1;
  Open(&options);
  ctlstore_snapshot* snapshot = nullptr;
  ASSERT_EQ(ctlstore_snapshot_begin(reader_, &snapshot, &error_), CTLSTORE_OK);
  const std::vector<ctlstore_value> key = Key("NZ", 1);
  ctlstore_row* row = nullptr;
  int32_t code;
  do {
    // Behind the snapshot, so that it is needed.
    Apply({Town("NZ", 1, "new")});
    code =
        ctlstore_snapshot_get_row(snapshot, "geo", "towns", key.data(), key.size(), &row, &error_);
  } while (code == CTLSTORE_OK);
  EXPECT_EQ(code, CTLSTORE_ABORTED);
  EXPECT_STREQ(error_.reason, "SNAPSHOT_EXPIRED");
  EXPECT_EQ(ctlstore_row_exists(row), 0);
  ctlstore_row_free(row);
  ctlstore_snapshot_end(snapshot);
}

TEST_F(CtlstoreTest, ObjectsMayBeFreedInAnyOrder) {
  Start();
  Apply({Town("NZ", 1, "a"), Town("NZ", 2, "b")});
  ctlstore_row* row = nullptr;
  ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
  ctlstore_snapshot* snapshot = nullptr;
  ASSERT_EQ(ctlstore_snapshot_begin(reader_, &snapshot, &error_), CTLSTORE_OK);
  ctlstore_rows* rows = nullptr;
  ASSERT_EQ(ctlstore_list_rows(reader_, "geo", "towns", nullptr, 0, nullptr, &rows, &error_),
            CTLSTORE_OK);
  ctlstore_pickler* pickler = ctlstore_pickler_new(reader_);
  ctlstore_close(reader_);
  reader_ = nullptr;
  EXPECT_EQ(Notes(row), "a");
  EXPECT_EQ(ctlstore_snapshot_sequence(snapshot), sequence_);
  ctlstore_snapshot_end(snapshot);
  EXPECT_THAT(ReadAll(rows), ElementsAre("a", "b"));
  ctlstore_rows_close(rows);
  ctlstore_pickler_free(pickler);
  ctlstore_row_free(row);
}

TEST_F(CtlstoreTest, TablesTellTheirFieldsAndKeys) {
  Start();
  ctlstore_tables* tables = nullptr;
  ASSERT_EQ(ctlstore_get_table(reader_, "GEO", "Towns", &tables, &error_), CTLSTORE_OK);
  ASSERT_EQ(ctlstore_tables_size(tables), 1);
  const ctlstore_table* table = ctlstore_tables_at(tables, 0);
  EXPECT_STREQ(ctlstore_table_family(table), "geo");
  EXPECT_STREQ(ctlstore_table_name(table), "towns");
  ASSERT_EQ(ctlstore_table_size(table), 6);
  std::vector<std::string> fields;
  for (size_t i = 0; i < 6; ++i) {
    fields.push_back(absl::StrCat(ctlstore_table_field_name(table, i), " ",
                                  ctlstore_table_field_type(table, i)));
  }
  EXPECT_THAT(fields, ElementsAre("country string", "number integer", "tag bytestring",
                                  "ratio decimal", "notes text", "data binary"));
  EXPECT_EQ(ctlstore_table_field_name(table, 6), nullptr);
  EXPECT_EQ(ctlstore_table_field_type(table, 6), nullptr);
  ASSERT_EQ(ctlstore_table_key_size(table), 3);
  EXPECT_STREQ(ctlstore_table_key_name(table, 2), "tag");
  EXPECT_EQ(ctlstore_table_key_name(table, 3), nullptr);
  ctlstore_tables_free(tables);

  Apply({sql::CreateTableStatement(
      *TableSchema::Create("fam", "tab", {{"a", FieldType::kString}}, {"a"}))});
  ASSERT_EQ(ctlstore_list_tables(reader_, &tables, &error_), CTLSTORE_OK);
  ASSERT_EQ(ctlstore_tables_size(tables), 2);
  EXPECT_STREQ(ctlstore_table_name(ctlstore_tables_at(tables, 0)), "tab");
  EXPECT_EQ(ctlstore_tables_at(tables, 2), nullptr);
  ctlstore_tables_free(tables);
  EXPECT_EQ(ctlstore_get_table(reader_, "geo", "rivers", &tables, &error_), CTLSTORE_NOT_FOUND);
}

TEST_F(CtlstoreTest, PositionsAreTold) {
  Start();
  int64_t sequence = 0;
  ASSERT_EQ(ctlstore_get_sequence(reader_, &sequence, &error_), CTLSTORE_OK);
  EXPECT_EQ(sequence, 1);
  ctlstore_position position = {};
  position.struct_size = sizeof(position);
  ASSERT_EQ(ctlstore_get_position(reader_, &position, &error_), CTLSTORE_OK);
  EXPECT_EQ(position.applied_sequence, 1);
  EXPECT_EQ(position.applied_entry_time_ns, int64_t{1709251198} * 1000000000);
  EXPECT_EQ(position.heartbeat_time_ns, CTLSTORE_UNKNOWN);
  EXPECT_GT(position.lag_ns, 0);

  EXPECT_EQ(ctlstore_wait_for_sequence(reader_, 1, 0, &error_), CTLSTORE_OK);
  EXPECT_EQ(ctlstore_wait_for_sequence(reader_, 2, 1, &error_), CTLSTORE_DEADLINE_EXCEEDED);
  EXPECT_THAT(error_.message, HasSubstr("sequence 2"));
  std::thread writing([this] { Apply({Town("NZ", 1, "a")}); });
  EXPECT_EQ(ctlstore_wait_for_sequence(reader_, 2, -1, &error_), CTLSTORE_OK);
  writing.join();
}

TEST_F(CtlstoreTest, RowsReadAgainComeFromTheCache) {
  Start();
  Apply({Town("NZ", 1, "a")});
  ctlstore_row* row = nullptr;
  ctlstore_stats stats = {};
  stats.struct_size = sizeof(stats);
  do {
    ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
    ASSERT_EQ(ctlstore_get_stats(reader_, &stats, &error_), CTLSTORE_OK);
  } while (stats.cache_hits == 0);
  EXPECT_EQ(stats.has_freshness_page, 1);
  EXPECT_GT(stats.cache_bytes, 0);
  EXPECT_EQ(stats.cache_max_bytes, 64 << 20);
  ctlstore_row_free(row);
}

TEST_F(CtlstoreTest, ThreadsShareAReader) {
  Start();
  Apply({Town("NZ", 1, "0"), Town("NZ", 2, "0")});
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      ctlstore_row* row = nullptr;
      int last = 0;
      const std::vector<ctlstore_value> key = Key("NZ", 1);
      while (!stop) {
        if (ctlstore_get_row(reader_, "geo", "towns", key.data(), key.size(), &row, nullptr) !=
            CTLSTORE_OK) {
          ++wrong;
          continue;
        }
        const int now = std::stoi(Notes(row));
        if (now < last) ++wrong;
        last = now;
      }
      ctlstore_row_free(row);
    });
  }
  for (int i = 1; i <= 200; ++i) {
    Apply({Town("NZ", 1, absl::StrCat(i)), Town("NZ", 2, absl::StrCat(i))});
    ctlstore_row* row = nullptr;
    ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
    EXPECT_EQ(Notes(row), absl::StrCat(i));
    ctlstore_row_free(row);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// What a forked child finds wrong, as its exit status; 0 for nothing.
int Child(const char* path, ctlstore_reader* reader, ctlstore_row* row, ctlstore_rows* rows,
          ctlstore_snapshot* snapshot) {
  ctlstore_error error;
  const ctlstore_value key[] = {ctlstore_text("NZ"), ctlstore_integer(1), ctlstore_bytes("", 0)};
  ctlstore_row* other = nullptr;
  const ctlstore_row* listed = nullptr;
  int64_t sequence = 0;
  if (ctlstore_get_row(reader, "geo", "towns", key, 3, &other, &error) !=
          CTLSTORE_FAILED_PRECONDITION ||
      std::string(error.reason) != "FORKED") {
    return 1;
  }
  if (ctlstore_rows_next(rows, &listed, &error) != CTLSTORE_FAILED_PRECONDITION) return 2;
  if (ctlstore_snapshot_get_row(snapshot, "geo", "towns", key, 3, &other, &error) !=
      CTLSTORE_FAILED_PRECONDITION) {
    return 3;
  }
  if (ctlstore_wait_for_sequence(reader, 1, -1, &error) != CTLSTORE_FAILED_PRECONDITION) return 4;
  if (ctlstore_get_sequence(reader, &sequence, &error) != CTLSTORE_FAILED_PRECONDITION) return 5;
  ctlstore_rows_close(rows);
  ctlstore_snapshot_end(snapshot);
  ctlstore_close(reader);
  ctlstore_row_free(row);

  ctlstore_reader* own = nullptr;
  if (ctlstore_open(path, nullptr, &own, &error) != CTLSTORE_OK) return 6;
  if (ctlstore_get_row(own, "geo", "towns", key, 3, &other, &error) != CTLSTORE_OK) return 7;
  if (ctlstore_row_exists(other) != 1) return 8;
  ctlstore_row_free(other);
  ctlstore_close(own);
  return 0;
}

TEST_F(CtlstoreTest, AForkedChildOpensAReaderOfItsOwn) {
  Start();
  Apply({Town("NZ", 1, "a"), Town("NZ", 2, "b")});
  ctlstore_row* row = nullptr;
  ASSERT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_OK);
  ctlstore_rows* rows = nullptr;
  ASSERT_EQ(ctlstore_list_rows(reader_, "geo", "towns", nullptr, 0, nullptr, &rows, &error_),
            CTLSTORE_OK);
  ctlstore_snapshot* snapshot = nullptr;
  ASSERT_EQ(ctlstore_snapshot_begin(reader_, &snapshot, &error_), CTLSTORE_OK);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(Child(path_.c_str(), reader_, row, rows, snapshot));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);

  EXPECT_EQ(Notes(row), "a");
  EXPECT_THAT(ReadAll(rows), ElementsAre("a", "b"));
  ctlstore_rows_close(rows);
  ctlstore_snapshot_end(snapshot);
  ctlstore_row_free(row);
}

TEST_F(CtlstoreTest, LongMessagesAreCutBetweenCharacters) {
  std::string long_path = "/nowhere/";
  for (int i = 0; i < 400; ++i) long_path += "ä";
  ASSERT_EQ(ctlstore_open(long_path.c_str(), nullptr, &reader_, &error_), CTLSTORE_OK);
  ctlstore_row* row = nullptr;
  EXPECT_EQ(Get(Key("NZ", 1), &row), CTLSTORE_UNAVAILABLE);
  const std::string message = error_.message;
  EXPECT_THAT(message, HasSubstr("/nowhere/"));
  EXPECT_LT(message.size(), sizeof(error_.message));
  EXPECT_EQ(message.substr(message.size() - 2), "ä");
}

// What the Python package sends.
std::string Request(absl::string_view family, absl::string_view table) {
  std::string request(family);
  request.push_back('\0');
  absl::StrAppend(&request, table);
  request.push_back('\0');
  return request;
}

TEST_F(CtlstoreTest, BrokenRequestsArePicklersErrors) {
  Start();
  Apply({Town("NZ", 1, "a")});
  ctlstore_pickler* pickler = ctlstore_pickler_new(reader_);
  const std::string good = Request("geo", "towns") + std::string("t\2\0\0\0NZ", 7) +
                           std::string("i\1\0\0\0\0\0\0\0", 9) + std::string("b\0\0\0\0", 5);
  EXPECT_GT(ctlstore_pickle_row(pickler, good.data(), good.size()), 0);
  for (size_t size = 0; size < good.size(); ++size) {
    // On the heap, without anything behind it.
    const std::vector<char> part(good.begin(), good.begin() + size);
    EXPECT_EQ(ctlstore_pickle_row(pickler, part.data(), part.size()), -CTLSTORE_INVALID_ARGUMENT)
        << size;
  }
  std::mt19937 random(20241);
  for (int round = 0; round < 20000; ++round) {
    std::vector<char> changed(good.begin(), good.end());
    for (int i = 0; i < 3; ++i) changed[random() % changed.size()] = static_cast<char>(random());
    changed.resize(changed.size() - random() % 4);
    // Any answer, but no crash.
    ctlstore_pickle_row(pickler, changed.data(), changed.size());
  }
  EXPECT_GT(ctlstore_pickle_row(pickler, good.data(), good.size()), 0);
  ctlstore_pickler_free(pickler);
}

}  // namespace
}  // namespace ctlstore
