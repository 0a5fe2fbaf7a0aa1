#include "cli/restore/restorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/verify/verifier_test_base.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "common/sql/random_data.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {
namespace {

using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MATCHER_P2(Fails, code, message, "") {
  *result_listener << arg;
  return arg.code() == code && testing::Value(std::string(arg.message()), message);
}
MATCHER_P(HasReasonOf, reason, "") {
  *result_listener << arg;
  return HasReason(arg, reason);
}

// The ctldb of the base class is the one that is lost; the LDB is what is left of it.
class RestorerTest : public VerifierTest {
 protected:
  RestorerTest() : restored_(ctldb::testing::NewTarget(GetParam())) {}

  RestoreOptions Options() const {
    RestoreOptions options;
    options.ldb_path = ldb_path_;
    options.ctldb = restored_;
    options.connection = options_;
    return options;
  }
  std::unique_ptr<ctldb::Connection> OpenRestored() const {
    return ctldb::testing::MustOpen(restored_, options_);
  }
  std::unique_ptr<ctldb::ConnectionPool> NewRestoredPool() const {
    return std::make_unique<ctldb::ConnectionPool>(
        [this] { return ctldb::Connection::Open(restored_, options_); }, 3);
  }

  // Three tables of two families, one of them empty; the same each time.
  void Fill() {
    const TableSchema flags = MustSchema(
        "shop", "flags", {{"name", FieldType::kString}, {"on", FieldType::kInteger}}, {"name"});
    const TableSchema notes = MustSchema(
        "other", "notes", {{"id", FieldType::kInteger}, {"text", FieldType::kText}}, {"id"});
    executive_->Create(flags);
    executive_->Create(notes);
    executive_->Create(MustSchema("shop", "empty", {{"id", FieldType::kBytestring}}, {"id"}));
    std::vector<TableRow> rows;
    for (int64_t i = 0; i < 10; ++i) {
      rows.push_back({Value::Text(absl::StrCat("flag", i)), Value::Integer(i)});
    }
    ASSERT_TRUE(executive_->Write(flags, rows));
    ASSERT_TRUE(executive_->Write(notes, {{Value::Integer(1), Value::Text("one")}}));
    Reflect();
  }

  int64_t LastSequence(ctldb::Connection* connection) {
    return MustQuery(connection, "SELECT COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger")[0][0]
        .integer();
  }

  // A host whose LDB is `path` plays the restored ledger; then both say the same.
  void ExpectHostAgrees(const std::string& path) {
    TestReflector reflector(OpenRestored(), path);
    reflector.CatchUp();
    Verifier::Options options = HastyOptions();
    options.ldb_path = path;
    options.ctldb = restored_;
    absl::StatusOr<Report> report = Run(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(Findings(*report), IsEmpty());
    EXPECT_EQ(report->verdict(), Verdict::kEqual);
  }
  std::string CopyOfLdb(const std::string& name) {
    const std::string copy = absl::StrCat(folder_, "/", name);
    std::filesystem::copy_file(ldb_path_, copy, std::filesystem::copy_options::overwrite_existing);
    return copy;
  }

  // How a database tells that it was told to make each of the families' tables.
  std::vector<std::string> Definitions(ctldb::Connection* connection) {
    std::vector<std::string> definitions;
    const std::vector<TableSchema> tables = *ctldb::ReadTables(connection, "");
    for (const TableSchema& table : tables) {
      const std::string name = SqlTableName(table.name());
      definitions.push_back(
          is_mariadb()
              ? MustQuery(connection, absl::StrCat("SHOW CREATE TABLE ", name))[0][1].data()
              : MustQuery(connection, "SELECT sql FROM sqlite_master WHERE name = ?", {name})[0][0]
                    .data());
    }
    return definitions;
  }

  const ctldb::Target restored_;
};

CTLSTORE_FOR_BOTH_KINDS(RestorerTest);

// Values at the ends of what each type can hold.
std::vector<TableRow> ExtremeRows() {
  using Integers = std::numeric_limits<int64_t>;
  using Decimals = std::numeric_limits<double>;
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) all_bytes.push_back(static_cast<char>(byte));
  std::string wide;
  for (size_t i = 0; i < limits::kStringMaxCharacters; ++i) wide += "\xF0\x9F\x98\x80";
  std::vector<TableRow> rows;
  const auto add = [&rows](int64_t integer, double decimal, std::string string, std::string text,
                           std::string bytes) {
    rows.push_back({Value::Text(std::move(string)), Value::Integer(integer),
                    Value::Bytes(bytes.substr(0, 255)), Value::Decimal(decimal),
                    Value::Text(std::move(text)), Value::Bytes(bytes)});
  };
  add(Integers::max(), Decimals::max(), wide, std::string(limits::kValueMaxBytes, 'x'), all_bytes);
  add(Integers::min(), Decimals::lowest(), "", "", "");
  add(0, Decimals::denorm_min(), "a", "it's \"quoted\"; -- \\ \r\n\t\x01\x7f", std::string(1, 0));
  add(9007199254740993, 0.1 + 0.2, "A", "\xEF\xBF\xBD\xF4\x8F\xBF\xBF", "\xff");
  add(-1, -Decimals::min(), "a ", " ", std::string(limits::kValueMaxBytes, '\0'));
  add(1, 5.0, "a\xCC\x81", "\xC3\xA1", "'");
  add(2, 1e300, "\xC3\xA1", "null", "NULL");
  rows.push_back(
      {Value::Text("nulls"), Value::Integer(0), Value::Bytes("k"), Value(), Value(), Value()});
  return rows;
}

TEST_P(RestorerTest, EveryTableAndValueComesBackExactly) {
  sql::RandomData random(is_mariadb() ? 41 : 42);
  const std::vector<std::string> families = {"fam", "family_two", "ctlstore"};
  for (int i = 0; i < 9; ++i) {
    const TableSchema schema = random.Table(families[i % 3], absl::StrCat("table", i));
    executive_->Create(schema);
    for (int transaction = 0; transaction < 3; ++transaction) {
      std::vector<TableRow> rows;
      for (size_t row = 1 + random.Below(60); row > 0; --row) {
        rows.emplace_back();
        for (size_t field = 0; field < schema.fields().size(); ++field) {
          rows.back().push_back(random.Of(schema.fields()[field].type, !schema.is_key(field)));
        }
      }
      ASSERT_TRUE(executive_->Write(schema, rows));
    }
  }
  const TableSchema extremes = MustSchema("fam", "extremes",
                                          {{"s", FieldType::kString},
                                           {"i", FieldType::kInteger},
                                           {"y", FieldType::kBytestring},
                                           {"d", FieldType::kDecimal},
                                           {"t", FieldType::kText},
                                           {"b", FieldType::kBinary}},
                                          {"y", "s", "i"});
  executive_->Create(extremes);
  for (const TableRow& row : ExtremeRows()) ASSERT_TRUE(executive_->Write(extremes, {row}));
  executive_->AddField(extremes.name(), {"later", FieldType::kInteger});
  Reflect();
  const int64_t sequence = LastSequence(connection_.get());

  RestoreOptions options = Options();
  options.batch_rows = 7;
  std::vector<RestoreProgress> told;
  options.on_progress = [&told](const RestoreProgress& progress) { told.push_back(progress); };
  const absl::StatusOr<RestoreResult> result = Restore(options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->snapshot_sequence, sequence);
  EXPECT_EQ(result->first_sequence, sequence + 1);
  EXPECT_EQ(result->last_sequence, sequence + 1000000);
  EXPECT_EQ(result->families, 3);
  EXPECT_EQ(result->tables, 10);
  EXPECT_EQ(told.back().rows, result->rows);
  EXPECT_EQ(told.back().tables, 10);
  EXPECT_EQ(told.back().stage, RestoreProgress::Stage::kComparing);

  const auto connection = OpenRestored();
  EXPECT_EQ(*ctldb::ListFamilies(connection.get()), *ctldb::ListFamilies(connection_.get()));
  EXPECT_EQ(*ctldb::ReadTables(connection.get(), ""), *ctldb::ReadTables(connection_.get(), ""));
  ExpectHostAgrees(CopyOfLdb("host.db"));

  // What an executive makes of the same tables in a ctldb of its own.
  const ctldb::Target fresh = ctldb::testing::NewTarget(GetParam());
  const auto fresh_connection = ctldb::testing::MustOpen(fresh, options_);
  ASSERT_TRUE(ctldb::EnsureOwnTables(fresh_connection.get()).ok());
  TestExecutive executive(std::make_unique<ctldb::ConnectionPool>(
      [&] { return ctldb::Connection::Open(fresh, options_); }, 3));
  const std::vector<TableSchema> tables = *ctldb::ReadTables(connection.get(), "");
  for (const TableSchema& table : tables) executive.Create(table);
  EXPECT_EQ(Definitions(connection.get()), Definitions(fresh_connection.get()));
}

TEST_P(RestorerTest, WritesGoOnBehindTheJumpAndHostsFollow) {
  Fill();
  const int64_t sequence = LastSequence(connection_.get());
  RestoreOptions options = Options();
  options.sequence_jump = 50;
  ASSERT_TRUE(Restore(options).ok());
  const auto connection = OpenRestored();
  EXPECT_EQ(LastSequence(connection.get()), sequence + 50);

  const TableSchema added = MustSchema("shop", "added", {{"id", FieldType::kInteger}}, {"id"});
  TestExecutive executive(NewRestoredPool());
  executive.Create(added);
  ASSERT_TRUE(executive.Write(added, {{Value::Integer(1)}}));
  EXPECT_EQ(LastSequence(connection.get()), sequence + 52);
  ExpectHostAgrees(CopyOfLdb("host.db"));
}

TEST_P(RestorerTest, EachHostIsToldWhatItsPositionIsWorth) {
  Fill();
  const auto position_at = [this](int64_t sequence) {
    const auto row = MustQuery(connection_.get(),
                               "SELECT leader_ts, statement FROM ctlstore_dml_ledger WHERE seq = ?",
                               {sequence})[0];
    return PositionAfter({sequence, row[0].data(), row[1].data()});
  };
  const int64_t sequence = LastSequence(connection_.get());
  // What is lost: entries behind the snapshot that some hosts have.
  executive_->Create(MustSchema("shop", "lost1", {{"id", FieldType::kInteger}}, {"id"}));
  executive_->Create(MustSchema("shop", "lost2", {{"id", FieldType::kInteger}}, {"id"}));
  executive_->Create(MustSchema("shop", "lost3", {{"id", FieldType::kInteger}}, {"id"}));
  ASSERT_EQ(LastSequence(connection_.get()), sequence + 3);
  ASSERT_TRUE(Restore(Options()).ok());

  ctldb::LedgerReader reader(restored_, options_);
  const auto read = [&](const LedgerPosition& position) {
    return reader.ReadAfter(position, 100, 1 << 20);
  };
  const auto at_snapshot = read(position_at(sequence));
  ASSERT_TRUE(at_snapshot.ok()) << at_snapshot.status();
  ASSERT_EQ(at_snapshot->entries.size(), 2);
  EXPECT_EQ(at_snapshot->entries[0].sequence, sequence + 1);
  EXPECT_EQ(at_snapshot->entries[1].sequence, sequence + 1000000);

  EXPECT_THAT(read(position_at(sequence + 1)).status(), HasReasonOf(reason::kLedgerDiverged));
  EXPECT_THAT(read(position_at(sequence + 2)).status(), HasReasonOf(reason::kLedgerPruned));
  EXPECT_THAT(read(position_at(sequence + 3)).status(), HasReasonOf(reason::kLedgerPruned));
  EXPECT_THAT(read(position_at(sequence - 1)).status(), HasReasonOf(reason::kLedgerPruned));
  EXPECT_THAT(read(LedgerPosition()).status(), HasReasonOf(reason::kLedgerPruned));
}

TEST_P(RestorerTest, TheEntriesDropNoTableThatIsThere) {
  const TableSchema mark =
      MustSchema("ctlstore", "restore_mark", {{"id", FieldType::kInteger}}, {"id"});
  executive_->Create(mark);
  ASSERT_TRUE(executive_->Write(mark, {{Value::Integer(1)}}));
  Reflect();
  ASSERT_TRUE(Restore(Options()).ok());
  ExpectHostAgrees(CopyOfLdb("host.db"));
}

TEST_P(RestorerTest, AHostOfOneFamilyPlaysTheEntriesToo) {
  Fill();
  ASSERT_TRUE(Restore(Options()).ok());
  ldb::LdbWriter::Options options;
  options.families = {"shop"};
  auto writer = *ldb::LdbWriter::Open(folder_ + "/shop.db", options);
  for (const auto& row : MustQuery(OpenRestored().get(),
                                   "SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger")) {
    const absl::Status applied = writer->Apply({{row[0].integer(), row[1].data(), row[2].data()}});
    EXPECT_TRUE(applied.ok()) << applied;
  }
}

TEST_P(RestorerTest, ACtldbThatIsNotEmptyIsLeftAlone) {
  Fill();
  const auto connection = OpenRestored();
  ASSERT_TRUE(ctldb::EnsureOwnTables(connection.get()).ok());
  const auto expect_refused = [&](const std::string& what) {
    for (const bool resume : {false, true}) {
      RestoreOptions options = Options();
      options.resume = resume;
      EXPECT_THAT(Restore(options).status(),
                  Fails(absl::StatusCode::kFailedPrecondition,
                        AllOf(HasSubstr("is not empty"), HasSubstr(what))));
      EXPECT_THAT(CheckRestoreTarget(options),
                  Fails(absl::StatusCode::kFailedPrecondition, HasSubstr(what)));
    }
    EXPECT_THAT(MustQuery(connection.get(), "SELECT 1 FROM locks WHERE id = 'restore'"), IsEmpty());
  };
  const auto run = [&](const std::string& sql) {
    const absl::Status status = connection->Execute(sql).status();
    ASSERT_TRUE(status.ok()) << status;
  };
  run("INSERT INTO families (name) VALUES ('fam')");
  expect_refused("families");
  run("DELETE FROM families");
  run("CREATE TABLE fam___tbl (id INTEGER PRIMARY KEY)");
  expect_refused("the tables fam___tbl");
  run("DROP TABLE fam___tbl");
  run("INSERT INTO ctlstore_dml_ledger (seq, statement) VALUES (1, 'x')");
  expect_refused("ledger entries");
  run("DELETE FROM ctlstore_dml_ledger");
  run("INSERT INTO ctlstore_schema_intents (statements) VALUES ('x')");
  expect_refused("a schema change under way");
  run("DELETE FROM ctlstore_schema_intents");
  // Writers may be there already.
  run("INSERT INTO mutators (writer, secret, clock) VALUES ('writer', 'x', 0)");
  EXPECT_TRUE(CheckRestoreTarget(Options()).ok());
  EXPECT_TRUE(Restore(Options()).ok());
  expect_refused("ledger entries");
}

TEST_P(RestorerTest, AnLdbThatIsNotAllOfACtldbIsRefused) {
  Fill();
  const auto expect_refused = [&](const std::string& what) {
    EXPECT_THAT(Restore(Options()).status(),
                Fails(absl::StatusCode::kFailedPrecondition, HasSubstr(what)));
    // Nothing was begun.
    EXPECT_TRUE(CheckRestoreTarget(Options()).ok());
  };
  InLdb("UPDATE _ldb_state SET value = 'shop' WHERE name = 'families'");
  expect_refused("only the families shop");
  InLdb("UPDATE _ldb_state SET value = '' WHERE name = 'families'");
  InLdb("INSERT INTO _ldb_skipped (seq) VALUES (3)");
  expect_refused("skip 1 ledger entries");
  InLdb("DELETE FROM _ldb_skipped");
  InLdb("CREATE TABLE stray (id INTEGER PRIMARY KEY)");
  expect_refused("stray");
  InLdb("DROP TABLE stray");
  InLdb("CREATE TABLE shop___odd (id NUMERIC PRIMARY KEY)");
  expect_refused("its column id is NUMERIC");
  InLdb("DROP TABLE shop___odd");
  InLdb("CREATE TABLE shop___nokey (id INTEGER)");
  expect_refused("shop___nokey");
  InLdb("DROP TABLE shop___nokey");
  InLdb("UPDATE _ldb_seq SET seq = 0");
  expect_refused("not applied a single ledger entry");
  InLdb("DROP TABLE _ldb_seq");
  expect_refused("is no local database");

  RestoreOptions options = Options();
  options.ldb_path = folder_ + "/nothing.db";
  EXPECT_EQ(Restore(options).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(RestorerTest, AValueThatNoCtldbCanHoldIsNamed) {
  Fill();
  InLdb("UPDATE other___notes SET text = ?", {Value::Text(std::string("a\0b", 3))});
  EXPECT_THAT(
      Restore(Options()).status(),
      Fails(absl::StatusCode::kFailedPrecondition,
            AllOf(HasSubstr("id = integer 1"), HasSubstr("other.notes.text"), HasSubstr("NUL"))));
}

TEST_P(RestorerTest, AJumpBeyondTheLedgersNumbersIsRefused) {
  Fill();
  RestoreOptions options = Options();
  for (const int64_t jump : {int64_t{-5}, int64_t{0}, int64_t{1}}) {
    options.sequence_jump = jump;
    EXPECT_THAT(Restore(options).status(),
                Fails(absl::StatusCode::kInvalidArgument, HasSubstr("at least 2")));
  }
  options.sequence_jump = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(Restore(options).status(),
              Fails(absl::StatusCode::kInvalidArgument, HasSubstr("smaller jump")));
  if (is_mariadb()) {
    // As a Go executive makes it.
    const auto connection = OpenRestored();
    ASSERT_TRUE(connection
                    ->Execute("CREATE TABLE ctlstore_dml_ledger (seq INTEGER AUTO_INCREMENT "
                              "PRIMARY KEY, leader_ts DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, "
                              "statement MEDIUMTEXT NOT NULL)")
                    .ok());
    options.sequence_jump = std::numeric_limits<int32_t>::max();
    EXPECT_THAT(Restore(options).status(),
                Fails(absl::StatusCode::kInvalidArgument,
                      AllOf(HasSubstr("2147483647"), HasSubstr("smaller jump"))));
  }
  EXPECT_TRUE(CheckRestoreTarget(Options()).ok());
  EXPECT_TRUE(Restore(Options()).ok());
}

TEST_P(RestorerTest, WhatAnInterruptedRestoreLeavesIsRefusedAndCanBeCompleted) {
  Fill();
  // Until the restore comes to its end without the fault.
  bool finished = false;
  for (int fault = 0; !finished; ++fault) {
    SCOPED_TRACE(absl::StrCat("fault ", fault));
    const ctldb::Target target = ctldb::testing::NewTarget(GetParam());
    RestoreOptions options = Options();
    options.ctldb = target;
    options.batch_rows = 4;
    int points = 0;
    std::string died_at;
    options.fault_point = [&](absl::string_view point) -> absl::Status {
      if (points++ < fault) return absl::OkStatus();
      died_at = std::string(point);
      return absl::InternalError("died");
    };
    const absl::Status status = Restore(options).status();
    finished = status.ok();
    SCOPED_TRACE(died_at);

    ctldb::ConnectionPool pool([&] { return ctldb::Connection::Open(target, options_); }, 3);
    if (died_at == "checked") {
      // Not begun.
      EXPECT_TRUE(CheckRestoreTarget(options).ok());
      continue;
    }
    {
      auto lease = *pool.Acquire(Late());
      ASSERT_TRUE(ctldb::EnsureOwnTables(lease.get()).ok());
    }
    ctldb::SchemaChanger changer(&pool);
    const absl::Status executive = changer.CompletePending(Late());
    if (finished || died_at == "finished") {
      EXPECT_TRUE(executive.ok()) << executive;
    } else {
      EXPECT_THAT(executive, Fails(absl::StatusCode::kUnavailable, HasSubstr("--resume")));
      options.fault_point = nullptr;
      EXPECT_THAT(Restore(options).status(),
                  Fails(absl::StatusCode::kFailedPrecondition, HasSubstr("--resume")));
      options.resume = true;
      EXPECT_TRUE(CheckRestoreTarget(options).ok());
      const absl::StatusOr<RestoreResult> resumed = Restore(options);
      ASSERT_TRUE(resumed.ok()) << resumed.status();
      EXPECT_EQ(resumed->rows, 11);
      EXPECT_TRUE(changer.CompletePending(Late()).ok());
    }
    const std::string host = CopyOfLdb(absl::StrCat("host", fault, ".db"));
    TestReflector(ctldb::testing::MustOpen(target, options_), host).CatchUp();
    Verifier::Options verifier = HastyOptions();
    verifier.ldb_path = host;
    verifier.ctldb = target;
    absl::StatusOr<Report> report = Run(verifier);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(Findings(*report), IsEmpty());
    EXPECT_EQ(report->verdict(), Verdict::kEqual);
    EXPECT_EQ(report->tables.size(), 3);
  }
}

TEST_P(RestorerTest, ARestoreCanBeCompletedFromAnotherSnapshot) {
  Fill();
  const std::string older = CopyOfLdb("older.db");
  const TableSchema notes = MustSchema(
      "other", "notes", {{"id", FieldType::kInteger}, {"text", FieldType::kText}}, {"id"});
  ASSERT_TRUE(executive_->Write(notes, {{Value::Integer(2), Value::Text("two")}}));
  executive_->Create(MustSchema("third", "extra", {{"id", FieldType::kInteger}}, {"id"}));
  Reflect();

  RestoreOptions options = Options();
  options.fault_point = [](absl::string_view point) {
    return point == "compared" ? absl::InternalError("died") : absl::OkStatus();
  };
  ASSERT_FALSE(Restore(options).ok());
  options.fault_point = nullptr;
  options.resume = true;
  options.ldb_path = older;
  const absl::StatusOr<RestoreResult> resumed = Restore(options);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_THAT(*ctldb::ListFamilies(OpenRestored().get()), ElementsAre("other", "shop"));
  ExpectHostAgrees(older);
}

TEST_P(RestorerTest, OneThatWasTakenUpByAnotherWritesNoMore) {
  Fill();
  RestoreOptions options = Options();
  options.batch_rows = 3;
  bool taken = false;
  options.fault_point = [&](absl::string_view point) -> absl::Status {
    if (point != "inserted" || taken) return absl::OkStatus();
    taken = true;
    RestoreOptions other = Options();
    other.resume = true;
    const absl::Status status = Restore(other).status();
    EXPECT_TRUE(status.ok()) << status;
    return absl::OkStatus();
  };
  EXPECT_THAT(Restore(options).status(),
              Fails(absl::StatusCode::kAborted, HasSubstr("another process")));
  EXPECT_TRUE(taken);
  ExpectHostAgrees(CopyOfLdb("host.db"));
}

TEST_P(RestorerTest, WhatIsChangedOnTheWayIsFoundBeforeTheLedgerBegins) {
  Fill();
  RestoreOptions options = Options();
  options.fault_point = [&](absl::string_view point) -> absl::Status {
    if (point != "copied") return absl::OkStatus();
    return OpenRestored()
        ->Execute("UPDATE shop___flags SET \"on\" = 99 WHERE name = 'flag3'")
        .status();
  };
  EXPECT_THAT(Restore(options).status(),
              Fails(absl::StatusCode::kDataLoss,
                    AllOf(HasSubstr("shop.flags"), HasSubstr("1 rows differ"))));
  EXPECT_EQ(LastSequence(OpenRestored().get()), 0);
}

}  // namespace
}  // namespace ctlstore::cli
