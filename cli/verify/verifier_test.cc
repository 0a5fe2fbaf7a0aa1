#include "cli/verify/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "cli/verify/verifier_test_base.h"
#include "common/base/clock.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/schema_changer.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_position.h"
#include "common/sqlite/database.h"

namespace ctlstore::cli {
namespace {

using ::ctlstore::ctldb::testing::MustSchema;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TableSchema Simple(const std::string& table, const std::string& family = "fam") {
  return MustSchema(family, table, {{"id", FieldType::kInteger}, {"n", FieldType::kText}}, {"id"});
}

// One field of each type; the key has three.
TableSchema Everything() {
  return MustSchema("fam", "everything",
                    {{"d", FieldType::kDecimal},
                     {"s", FieldType::kString},
                     {"t", FieldType::kText},
                     {"i", FieldType::kInteger},
                     {"b", FieldType::kBytestring},
                     {"y", FieldType::kBinary}},
                    {"s", "b", "i"});
}

TableRow Row(const std::string& s, int64_t i, const std::string& b, Value t) {
  return {Value::Decimal(0.1), Value::Text(s),  std::move(t),
          Value::Integer(i),   Value::Bytes(b), Value::Bytes("\x01\x02")};
}

class VerifierExamplesTest : public VerifierTest {
 protected:
  VerifierExamplesTest() : everything_(Everything()), simple_(Simple("simple")) {
    executive_->Create(everything_);
    executive_->Create(simple_);
    std::vector<TableRow> rows;
    rows.push_back(Row("it's", 1, "", Value::Text("as it was")));
    rows.push_back(Row("\"quoted\"", std::numeric_limits<int64_t>::min(), "\xFF", Value::Null()));
    rows.push_back(
        Row("é漢😀", std::numeric_limits<int64_t>::max(), std::string("\0x", 2), Value::Text("")));
    rows.push_back(Row("", 0, "'; --", Value::Text(std::string(3000, 'x'))));
    rows.push_back(Row(" ", 0, "'; --", Value::Text("0")));
    EXPECT_TRUE(executive_->Write(everything_, rows));
    rows.clear();
    for (int64_t id = 1; id <= 300; ++id) {
      rows.push_back({Value::Integer(id), Value::Text(absl::StrCat("number ", id))});
    }
    EXPECT_TRUE(executive_->Write(simple_, rows));
    Reflect();
  }

  const TableSchema everything_;
  const TableSchema simple_;
};

CTLSTORE_FOR_BOTH_KINDS(VerifierExamplesTest);

TEST_P(VerifierExamplesTest, AnLdbThatSaysTheSameIsEqual) {
  const Report report = Verify();
  EXPECT_THAT(Findings(report), IsEmpty());
  EXPECT_EQ(report.verdict(), Verdict::kEqual);
  ASSERT_EQ(report.tables.size(), 2u);
  EXPECT_EQ(report.tables[0].name, "fam.everything");
  EXPECT_EQ(report.tables[0].rows, 5);
  EXPECT_EQ(report.tables[1].rows, 300);
  for (const TableReport& table : report.tables) {
    EXPECT_EQ(table.ldb_digest.size(), 32u);
    EXPECT_EQ(table.ldb_digest, table.ctldb_digest);
    EXPECT_EQ(table.keys_apart, 0);
    EXPECT_EQ(table.last_sequence, report.last_sequence);
  }
  EXPECT_GT(report.last_sequence, 300);
  EXPECT_EQ(report.first_sequence, report.last_sequence);
  EXPECT_EQ(report.skipped_entries, 0);
}

TEST_P(VerifierExamplesTest, DigestsTellHostsApartAndNothingElseDoes) {
  const Report one = Verify();
  std::filesystem::remove(ldb_path_);
  EXPECT_TRUE(executive_->Write(simple_, {{Value::Integer(7), Value::Text("other")}}));
  Reflect();
  const Report two = Verify();
  EXPECT_EQ(TableOf(one, "fam.everything").ldb_digest, TableOf(two, "fam.everything").ldb_digest);
  EXPECT_NE(TableOf(one, "fam.simple").ldb_digest, TableOf(two, "fam.simple").ldb_digest);
}

TEST_P(VerifierExamplesTest, EveryKindOfDifferenceInARowIsNamed) {
  const std::string key = "fam.everything: s=text \"it's\",b=bytes x'',i=integer 1: ";
  const struct {
    const char* set;
    std::string found;
  } kFaults[] = {
      {"t = 'as it wat'", "t is text \"as it was\", in the LDB text \"as it wat\""},
      {"t = t || ' '", "t is text \"as it was\", in the LDB text \"as it was \""},
      {"t = NULL", "t is text \"as it was\", in the LDB null"},
      {"t = ''", "t is text \"as it was\", in the LDB text \"\""},
      {"t = CAST(t AS BLOB)", "t is text \"as it was\", in the LDB bytes x'617320697420776173'"},
      {"d = 0.1 + 1.4e-17",
       "d is decimal 0.10000000000000001, in the LDB decimal "
       "0.10000000000000002"},
      {"d = NULL", "d is decimal 0.10000000000000001, in the LDB null"},
      {"d = '0.1x'", "d is decimal 0.10000000000000001, in the LDB text \"0.1x\""},
      {"y = x'0102' || x''", "y is bytes x'0102', in the LDB text \"\\x01\\x02\""},
      {"y = x'0103'", "y is bytes x'0102', in the LDB bytes x'0103'"},
      {"t = 'u', y = NULL",
       "t is text \"as it was\", in the LDB text \"u\": y is bytes x'0102', in the LDB null"},
  };
  for (const auto& fault : kFaults) {
    SCOPED_TRACE(fault.set);
    InLdb(absl::StrCat("UPDATE fam___everything SET ", fault.set, " WHERE s = 'it''s'"));
    const Report report = Verify();
    EXPECT_THAT(Findings(report), ElementsAre(key + fault.found));
    EXPECT_EQ(report.verdict(), Verdict::kDiffers);
    EXPECT_NE(TableOf(report, "fam.everything").ldb_digest,
              TableOf(report, "fam.everything").ctldb_digest);
    EXPECT_EQ(TableOf(report, "fam.simple").verdict(), Verdict::kEqual);
    InLdb("UPDATE fam___everything SET t = 'as it was', d = 0.1, y = x'0102' WHERE s = 'it''s'");
  }
  EXPECT_THAT(Findings(Verify()), IsEmpty());
}

TEST_P(VerifierExamplesTest, AnEmptyTextIsNotNullAndZeroIsNotText) {
  InLdb("UPDATE fam___everything SET t = '' WHERE s = '\"quoted\"'");
  InLdb("UPDATE fam___everything SET t = NULL WHERE i = 9223372036854775807");
  InLdb("UPDATE fam___simple SET n = CAST('number 7' AS BLOB) WHERE id = 7");
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.everything: s=text \"\\\"quoted\\\"\",b=bytes x'ff',i=integer "
                          "-9223372036854775808: t is null, in the LDB text \"\"",
                          "fam.everything: s=text \"é漢😀\",b=bytes x'0078',i=integer "
                          "9223372036854775807: t is text \"\", in the LDB null",
                          "fam.simple: id=integer 7: n is text \"number 7\", in the LDB bytes "
                          "x'6e756d6265722037'"));
}

TEST_P(VerifierExamplesTest, MissingAndExtraRowsAreNamed) {
  InLdb("DELETE FROM fam___simple WHERE id IN (1, 150, 300)");
  InLdb("INSERT INTO fam___simple VALUES (0, 'new'), (-5, NULL), (301, '')");
  InLdb("DELETE FROM fam___everything WHERE s = ' '");
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.everything: s=text \" \",b=bytes x'273b202d2d',i=integer 0: not in "
                          "the LDB",
                          "fam.simple: id=integer -5: not in the ctldb",
                          "fam.simple: id=integer 0: not in the ctldb",
                          "fam.simple: id=integer 1: not in the LDB",
                          "fam.simple: id=integer 150: not in the LDB",
                          "fam.simple: id=integer 300: not in the LDB",
                          "fam.simple: id=integer 301: not in the ctldb"));
  EXPECT_EQ(TableOf(Verify(), "fam.simple").differing_rows, 6);
}

TEST_P(VerifierExamplesTest, AKeyOfAnotherKindIsAnotherKey) {
  InLdb("UPDATE fam___everything SET s = CAST(s AS BLOB) WHERE s = 'it''s'");
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.everything: s=text \"it's\",b=bytes x'',i=integer 1: not in the LDB",
                          "fam.everything: s=bytes x'69742773',b=bytes x'',i=integer 1: not in "
                          "the ctldb"));
}

TEST_P(VerifierExamplesTest, OneByteThatIsWrongInTheFileIsFound) {
  std::string content;
  {
    std::ifstream file(ldb_path_, std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  const size_t place = content.find("number 217");
  ASSERT_NE(place, std::string::npos);
  std::fstream file(ldb_path_, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(place) + 3);
  file.put('B');
  file.close();
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.simple: id=integer 217: n is text \"number 217\", in the LDB text "
                          "\"numBer 217\""));
}

// Of a table that is kept in the order of its keys, and of one that has them in an index as well.
TEST_P(VerifierExamplesTest, AWrongByteInAKeyIsFoundAndNothingElseIsReported) {
  const TableSchema keys[] = {
      MustSchema("fam", "only_keys", {{"k", FieldType::kString}, {"n", FieldType::kInteger}},
                 {"k"}),
      MustSchema("fam", "indexed", {{"k", FieldType::kString}, {"t", FieldType::kText}}, {"k"})};
  for (const TableSchema& schema : keys) {
    executive_->Create(schema);
    std::vector<TableRow> rows;
    for (int i = 100; i < 200; ++i) {
      const std::string k = absl::StrCat("key-", i);
      rows.push_back({Value::Text(k), i % 2 != 0 ? Value::Null()
                                      : schema.fields()[1].type == FieldType::kText
                                          ? Value::Text(k + "-text")
                                          : Value::Integer(i)});
    }
    ASSERT_TRUE(executive_->Write(schema, rows));
  }
  Reflect();
  ASSERT_THAT(Findings(Verify()), IsEmpty());
  std::string content;
  {
    std::ifstream file(ldb_path_, std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  // Each place where the key is, one at a time: a table's row, or an index.
  int places = 0;
  for (size_t place = content.find("key-150"); place != std::string::npos;
       place = content.find("key-150", place + 1)) {
    ++places;
    std::string damaged = content;
    damaged[place + 4] = '9';
    std::ofstream(ldb_path_, std::ios::binary) << damaged;
    const Report report = Verify();
    EXPECT_EQ(report.verdict(), Verdict::kDiffers);
    for (const std::string& finding : Findings(report)) {
      EXPECT_TRUE(absl::StrContains(finding, "key-150") || absl::StrContains(finding, "key-950"))
          << finding;
    }
    EXPECT_LE(Findings(report).size(), 2u);
  }
  EXPECT_GE(places, 2);
}

TEST_P(VerifierExamplesTest, ExtraAndMissingTablesAreNamed) {
  InLdb("CREATE TABLE fam___extra (id INTEGER PRIMARY KEY)");
  InLdb("CREATE TABLE \"odd one\" (id INTEGER PRIMARY KEY)");
  InLdb("DROP TABLE fam___everything");
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.everything: the LDB lacks this table",
                          "fam.extra: only the LDB has this table",
                          "odd one: only the LDB has this table, and its name is none of a "
                          "family's"));
}

TEST_P(VerifierExamplesTest, DifferencesOfColumnsAreNamed) {
  const auto found = [this](const std::string& create) {
    InLdb("DROP TABLE fam___simple");
    InLdb(absl::StrCat("CREATE TABLE fam___simple (", create, ")"));
    return Findings(Verify());
  };
  EXPECT_THAT(found("id INTEGER PRIMARY KEY"),
              ElementsAre("fam.simple: the LDB lacks the column n (text)"));
  EXPECT_THAT(found("id INTEGER PRIMARY KEY, n TEXT, m REAL"),
              ElementsAre("fam.simple: only the LDB has the column m (decimal)"));
  EXPECT_THAT(found("id INTEGER PRIMARY KEY, n BLOB"),
              ElementsAre("fam.simple: the column n is text in the ctldb and binary in the LDB"));
  EXPECT_THAT(found("id INTEGER PRIMARY KEY, n DATE"),
              ElementsAre("fam.simple: the column n is text in the ctldb and DATE in the LDB"));
  EXPECT_THAT(found("id INTEGER, n TEXT, PRIMARY KEY (id, n)"),
              ElementsAre("fam.simple: the key is id in the ctldb and id, n in the LDB"));
  EXPECT_THAT(found("id INTEGER, n TEXT"),
              ElementsAre("fam.simple: the key is id in the ctldb and nothing in the LDB"));
  EXPECT_THAT(found("n TEXT, id INTEGER PRIMARY KEY"),
              ElementsAre("fam.simple: the columns are in the order id, n in the ctldb and n, id "
                          "in the LDB"));
  EXPECT_THAT(found("id INTEGER PRIMARY KEY, n TEXT").size(), 100);
}

TEST_P(VerifierExamplesTest, AChangeOfTheCtldbThatIsNotInTheLedgerIsFound) {
  InCtldb("UPDATE fam___simple SET n = 'by hand' WHERE id = 3");
  EXPECT_THAT(Findings(Verify()), ElementsAre("fam.simple: id=integer 3: n is text \"by hand\", in "
                                              "the LDB text \"number 3\""));
  InCtldb("ALTER TABLE fam___simple ADD COLUMN \"m\" DOUBLE");
  EXPECT_THAT(Findings(Verify()), ElementsAre(HasSubstr("the LDB lacks the column m (")));
  InCtldb("DROP TABLE fam___simple");
  EXPECT_THAT(Findings(Verify()), ElementsAre("fam.simple: only the LDB has this table"));
}

TEST_P(VerifierExamplesTest, DifferencesAreKeptUpToALimitAndAllCounted) {
  InLdb("UPDATE fam___simple SET n = 'x'");
  InLdb("UPDATE fam___everything SET t = 'y'");
  Verifier::Options options = HastyOptions();
  options.max_differences = 7;
  const Report report = *Run(options);
  EXPECT_EQ(TableOf(report, "fam.everything").differing_rows, 5);
  EXPECT_EQ(TableOf(report, "fam.everything").differences.size(), 5u);
  EXPECT_EQ(TableOf(report, "fam.simple").differing_rows, 300);
  EXPECT_EQ(TableOf(report, "fam.simple").differences.size(), 2u);
  options.max_differences = 0;
  EXPECT_EQ(Run(options)->verdict(), Verdict::kDiffers);
}

TEST_P(VerifierExamplesTest, LongValuesAreShownWhereTheyDiffer) {
  InLdb(
      "UPDATE fam___everything SET t = substr(t, 1, 2000) || 'y' || substr(t, 2002) "
      "WHERE length(t) = 3000");
  EXPECT_THAT(Findings(Verify()), ElementsAre(HasSubstr("xxxxxxxxxxyxxxxxxxxx")));
  EXPECT_THAT(Findings(Verify()), ElementsAre(HasSubstr("(bytes 1990 to 2050 of 3000)")));
}

TEST_P(VerifierExamplesTest, OneFamilyOrTableCanBeAskedFor) {
  executive_->Create(Simple("simple", "other"));
  Reflect();
  InLdb("UPDATE fam___simple SET n = 'x' WHERE id = 1");
  InLdb("CREATE TABLE other___extra (id INTEGER PRIMARY KEY)");
  Verifier::Options options = HastyOptions();
  options.family = "FAM";
  Report report = *Run(options);
  EXPECT_EQ(report.tables.size(), 2u);
  EXPECT_EQ(Findings(report).size(), 1u);
  options.table = "everything";
  report = *Run(options);
  EXPECT_EQ(report.tables.size(), 1u);
  EXPECT_EQ(report.verdict(), Verdict::kEqual);
  options.family = "other";
  options.table = "extra";
  EXPECT_EQ(Run(options)->verdict(), Verdict::kDiffers);

  options.table = "nothing";
  EXPECT_EQ(ErrorReason(Run(options).status()), reason::kTableNotFound);
  options.family = "third";
  options.table = "";
  EXPECT_EQ(ErrorReason(Run(options).status()), reason::kFamilyNotFound);
  options.family = "no family";
  EXPECT_EQ(Run(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(VerifierExamplesTest, AnLdbOfSomeFamiliesIsComparedInThese) {
  executive_->Create(Simple("simple", "other"));
  executive_->Create(Simple("simple", "third"));
  Reflect();
  InLdb("CREATE TABLE IF NOT EXISTS _ldb_state (name TEXT PRIMARY KEY NOT NULL, value)");
  InLdb("REPLACE INTO _ldb_state VALUES ('families', '')");
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  EXPECT_EQ(Verify().tables.size(), 4u);
  InLdb("REPLACE INTO _ldb_state VALUES ('families', 'fam,third')");
  EXPECT_THAT(Findings(Verify()), ElementsAre("other.simple: the LDB has this table, but keeps "
                                              "only the families fam, third"));
  InLdb("DROP TABLE other___simple");
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  EXPECT_EQ(Verify().tables.size(), 3u);
  EXPECT_THAT(Verify().families, ElementsAre("fam", "third"));
  InLdb("DROP TABLE third___simple");
  EXPECT_THAT(Findings(Verify()), ElementsAre("third.simple: the LDB lacks this table"));
  Verifier::Options options = HastyOptions();
  options.family = "other";
  EXPECT_EQ(Run(options).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(VerifierExamplesTest, SkippedEntriesAreCounted) {
  InLdb("CREATE TABLE IF NOT EXISTS _ldb_skipped (seq INTEGER PRIMARY KEY, time TEXT, error TEXT)");
  EXPECT_EQ(Verify().skipped_entries, 0);
  InLdb("INSERT INTO _ldb_skipped VALUES (3, '', ''), (9, '', '')");
  EXPECT_EQ(Verify().skipped_entries, 2);
  EXPECT_THAT(Findings(Verify()), IsEmpty());
}

TEST_P(VerifierExamplesTest, AnotherLedgerIsKnownByItsDigest) {
  const int64_t sequence = Verify().last_sequence;
  const auto row = ctldb::testing::MustQuery(
      connection_.get(), "SELECT leader_ts, statement FROM ctlstore_dml_ledger WHERE seq = ?",
      {sequence})[0];
  const std::string digest = DigestOf({sequence, row[0].data(), row[1].data()});
  InLdb("CREATE TABLE IF NOT EXISTS _ldb_state (name TEXT PRIMARY KEY NOT NULL, value)");
  InLdb("REPLACE INTO _ldb_state VALUES ('sequence', ?)", {Value::Integer(sequence)});
  InLdb("REPLACE INTO _ldb_state VALUES ('digest', ?)", {Value::Bytes(digest)});
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  InLdb("REPLACE INTO _ldb_state VALUES ('digest', ?)", {Value::Bytes(std::string(16, 'x'))});
  EXPECT_THAT(Findings(Verify()), ElementsAre("another ledger"));
  EXPECT_EQ(Verify().verdict(), Verdict::kDiffers);
  // A digest of another position says nothing.
  InLdb("REPLACE INTO _ldb_state VALUES ('sequence', ?)", {Value::Integer(sequence - 1)});
  EXPECT_THAT(Findings(Verify()), IsEmpty());
}

TEST_P(VerifierExamplesTest, WhatAnLdbThatStandsStillHasNotGotYetIsNoDifference) {
  ASSERT_TRUE(executive_->Write(
      simple_,
      {{Value::Integer(1), Value::Text("later")}, {Value::Integer(1000), Value::Text("later")}},
      {{Value::Integer(2)}, {Value::Integer(2000)}}));
  InLdb("UPDATE fam___simple SET n = 'wrong' WHERE id = 3");
  Report report = Verify();
  EXPECT_THAT(Findings(report),
              ElementsAre("fam.simple: id=integer 3: n is text \"number 3\", in the LDB text "
                          "\"wrong\"",
                          "fam.simple? 4 keys were changed all the time"));
  EXPECT_EQ(TableOf(report, "fam.simple").keys_apart, 4);
  EXPECT_EQ(TableOf(report, "fam.simple").ldb_digest, "");
  InLdb("UPDATE fam___simple SET n = 'number 3' WHERE id = 3");
  EXPECT_EQ(Verify().verdict(), Verdict::kUndecided);

  // A change that concerns the whole table.
  executive_->Clear(everything_.name());
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.everything? its rows were changed behind the LDB's position",
                          HasSubstr("fam.simple? ")));
  executive_->AddField(everything_.name(), {"added", FieldType::kText});
  executive_->Create(Simple("new"));
  executive_->Drop(simple_.name());
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.everything? its definition was changed behind the LDB's position",
                          "fam.new? its definition was changed behind the LDB's position",
                          "fam.simple? its definition was changed behind the LDB's position"));
  // More keys than may be kept.
  Reflect();
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  ASSERT_TRUE(executive_->Write(
      Simple("new"), {{Value::Integer(1), Value::Null()}, {Value::Integer(2), Value::Null()}}));
  Verifier::Options options = HastyOptions();
  options.max_changed_keys = 1;
  EXPECT_THAT(Findings(*Run(options)),
              ElementsAre("fam.new? its rows were changed behind the LDB's position"));
}

// Does something while others wait, instead of letting time pass.
class BusyClock final : public Clock {
 public:
  explicit BusyClock(std::function<void()> work) : work_(std::move(work)) {}
  absl::Time Now() override { return Clock::Real()->Now(); }
  bool SleepOrStop(absl::Duration, absl::Notification*) override {
    work_();
    return false;
  }

 private:
  const std::function<void()> work_;
};

TEST_P(VerifierExamplesTest, RowsThatChangeMeanwhileAreComparedWhenTheLdbHasThem) {
  BusyClock clock([this] { Reflect(); });
  Verifier::Options options = VerifierOptions();
  options.clock = &clock;
  const std::vector<TableRow> rows = {{Value::Integer(1), Value::Text("later")},
                                      {Value::Integer(1000), Value::Text("later")}};
  const std::vector<TableRow> keys = {{Value::Integer(2)}, {Value::Integer(2000)}};
  ASSERT_TRUE(executive_->Write(simple_, rows, keys));
  absl::StatusOr<Report> report = Run(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(Findings(*report), IsEmpty());
  EXPECT_EQ(TableOf(*report, "fam.simple").keys_apart, 4);
  EXPECT_EQ(TableOf(*report, "fam.simple").rows, 300);
  EXPECT_EQ(TableOf(*report, "fam.simple").ldb_digest, "");
  EXPECT_NE(TableOf(*report, "fam.everything").ldb_digest, "");
  EXPECT_GT(report->last_sequence, report->first_sequence);
  EXPECT_EQ(TableOf(*report, "fam.simple").last_sequence, report->last_sequence);
  EXPECT_EQ(TableOf(*report, "fam.simple").first_sequence, report->first_sequence);

  // As a program would do it that applies entries wrongly.
  InLdb(
      "CREATE TRIGGER wrong AFTER INSERT ON fam___simple BEGIN "
      "UPDATE fam___simple SET n = NULL WHERE id = NEW.id AND id = 1; "
      "DELETE FROM fam___simple WHERE id = NEW.id AND id = 1000; END");
  InLdb(
      "CREATE TRIGGER kept AFTER DELETE ON fam___simple WHEN OLD.id = 3 BEGIN "
      "INSERT INTO fam___simple VALUES (3, 'kept'); END");
  ASSERT_TRUE(executive_->Write(simple_, rows, {{Value::Integer(3)}}));
  report = Run(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(Findings(*report),
              testing::UnorderedElementsAre(
                  "fam.simple: id=integer 1: n is text \"later\", in the LDB null",
                  "fam.simple: id=integer 1000: not in the LDB",
                  "fam.simple: id=integer 3: not in the ctldb"));
}

TEST_P(VerifierExamplesTest, TablesThatChangeMeanwhileAreComparedWhenTheLdbHasThem) {
  BusyClock clock([this] { Reflect(); });
  Verifier::Options options = VerifierOptions();
  options.clock = &clock;
  executive_->Create(Simple("new"));
  ASSERT_TRUE(executive_->Write(Simple("new"), {{Value::Integer(1), Value::Text("x")}}));
  executive_->AddField(everything_.name(), {"added", FieldType::kText});
  executive_->Clear(simple_.name());
  const absl::StatusOr<Report> report = Run(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(Findings(*report), IsEmpty());
  EXPECT_EQ(TableOf(*report, "fam.new").rows, 1);
  EXPECT_EQ(TableOf(*report, "fam.everything").rows, 5);
  EXPECT_EQ(TableOf(*report, "fam.simple").rows, 0);
}

TEST_P(VerifierExamplesTest, AnLdbThatIsFurtherThanTheLedgerIsSaid) {
  InLdb("UPDATE _ldb_seq SET seq = seq + 1");
  const absl::Status status = Run(HastyOptions()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(status), reason::kLedgerBehind);
}

TEST_P(VerifierExamplesTest, AnLdbThatIsAheadOfAReplicaIsComparedWhenTheReplicaHasCaughtUp) {
  // What a replica does that is behind: the LDB has a row that the ctldb gets during the run.
  ASSERT_TRUE(executive_->Write(simple_, {{Value::Integer(5), Value::Text("later")}}));
  Reflect();
  const int64_t last = Verify().last_sequence;
  const auto entry = ctldb::testing::MustQuery(
      connection_.get(), "SELECT leader_ts, statement FROM ctlstore_dml_ledger WHERE seq = ?",
      {last})[0];
  InCtldb("DELETE FROM ctlstore_dml_ledger WHERE seq = ?", {Value::Integer(last)});
  InCtldb("UPDATE fam___simple SET n = 'number 5' WHERE id = 5");
  Verifier::Options options = VerifierOptions();
  std::atomic<bool> done{false};
  std::thread run([&] {
    const absl::StatusOr<Report> report = Run(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(Findings(*report), IsEmpty());
    done = true;
  });
  EXPECT_FALSE(done);
  ASSERT_TRUE(connection_->BeginWrite().ok());
  InCtldb("UPDATE fam___simple SET n = 'later' WHERE id = 5");
  InCtldb("INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) VALUES (?, ?, ?)",
          {Value::Integer(last), entry[0], entry[1]});
  ASSERT_TRUE(connection_->Commit().ok());
  run.join();
}

TEST_P(VerifierExamplesTest, SchemaChangesUnderWayAreNoDifferences) {
  if (!is_mariadb()) GTEST_SKIP() << "its schema changes are never half done";
  const auto die_after_ddl = [this](absl::FunctionRef<absl::Status(ctldb::SchemaChanger*)> change) {
    const std::unique_ptr<ctldb::ConnectionPool> pool = NewPool(3);
    ctldb::SchemaChanger changer(pool.get(), [](absl::string_view point) {
      return point == "after_ddl" ? absl::DataLossError("died") : absl::OkStatus();
    });
    EXPECT_EQ(change(&changer), absl::DataLossError("died"));
  };
  const auto complete = [this] {
    ASSERT_TRUE(executive_->changer().CompletePending(Late()).ok());
    Reflect();
    EXPECT_THAT(Findings(Verify()), IsEmpty());
  };

  die_after_ddl([this](ctldb::SchemaChanger* changer) {
    return changer->AddFields(simple_.name(), {{"m", FieldType::kInteger}}, Late()).status();
  });
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  InLdb("UPDATE fam___simple SET n = 'wrong' WHERE id = 3");
  EXPECT_THAT(Findings(Verify()), ElementsAre(HasSubstr("id=integer 3: n is")));
  InLdb("UPDATE fam___simple SET n = 'number 3' WHERE id = 3");
  complete();

  die_after_ddl([](ctldb::SchemaChanger* changer) {
    return changer->CreateTables({Simple("new"), Simple("newer")}, Late()).status();
  });
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  EXPECT_EQ(Verify().tables.size(), 2u);
  complete();
  EXPECT_EQ(Verify().tables.size(), 4u);

  die_after_ddl([this](ctldb::SchemaChanger* changer) {
    return changer->DropTable(simple_.name(), Late()).status();
  });
  EXPECT_THAT(Findings(Verify()), ElementsAre("fam.simple? it is being dropped"));
  complete();
  EXPECT_EQ(Verify().tables.size(), 3u);
}

// As another program may have made them: the order of their keys is not that of the bytes.
TEST_P(VerifierExamplesTest, TablesWithAnotherOrderOfTextsAreComparedAllTheSame) {
  const TableSchema schema = MustSchema(
      "fam", "words", {{"w", FieldType::kString}, {"n", FieldType::kInteger}}, {"w", "n"});
  executive_->Create(schema);
  std::vector<TableRow> rows;
  for (const char* word : {"b", "B", "a", "A", "ä", "Z", "é", "a ", "z"}) {
    rows.push_back({Value::Text(word), Value::Integer(static_cast<int64_t>(rows.size()))});
  }
  ASSERT_TRUE(executive_->Write(schema, rows));
  Reflect();
  if (is_mariadb()) {
    InCtldb("ALTER TABLE fam___words CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci");
  } else {
    InLdb("DROP TABLE fam___words");
    InLdb(
        "CREATE TABLE fam___words (w VARCHAR(191) COLLATE NOCASE, n INTEGER, "
        "PRIMARY KEY (w, n)) WITHOUT ROWID");
    for (const TableRow& row : rows) InLdb("INSERT INTO fam___words VALUES (?, ?)", row);
  }
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  EXPECT_EQ(TableOf(Verify(), "fam.words").rows, 9);
  InLdb("DELETE FROM fam___words WHERE w = 'ä'");
  EXPECT_THAT(Findings(Verify()),
              ElementsAre("fam.words: w=text \"ä\",n=integer 4: not in the LDB"));
}

TEST_P(VerifierExamplesTest, SaysWhatIsWrongWithTheFiles) {
  Verifier::Options options = HastyOptions();
  options.ldb_path = folder_ + "/none.db";
  EXPECT_EQ(Run(options).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(options.ldb_path));
  options.ldb_path = folder_ + "/other.db";
  (*sqlite::Database::Open(options.ldb_path, sqlite::Database::Mode::kReadWrite, absl::Seconds(1)))
      ->Execute("CREATE TABLE t (a)")
      .IgnoreError();
  EXPECT_EQ(Run(options).status().code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(options.ldb_path) << std::string(10000, 'x');
  EXPECT_EQ(Run(options).status().code(), absl::StatusCode::kDataLoss);

  options = HastyOptions();
  options.ctldb = ctldb::testing::NewTarget(GetParam());
  // A SQLite file that is not there, or a database without tables.
  EXPECT_EQ(Run(options).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(VerifierExamplesTest, NothingIsChanged) {
  const auto before = std::filesystem::last_write_time(ldb_path_);
  EXPECT_THAT(Findings(Verify()), IsEmpty());
  EXPECT_EQ(std::filesystem::last_write_time(ldb_path_), before);
  NewReflector()->CatchUp();
}

}  // namespace
}  // namespace ctlstore::cli
