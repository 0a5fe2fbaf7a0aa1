// `ctlstore verify` as its users meet it: the real binary, its output and its exit status.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/subprocess.h"
#include "cli/verify/verifier_test_base.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr char kDigest[] = "[0-9a-f]+";

class VerifyCommandTest : public VerifierTest {
 protected:
  struct Outcome {
    int status = -1;
    std::string output;
    std::string errors;
  };

  VerifyCommandTest() {
    const TableSchema countries = ctldb::testing::MustSchema(
        "geo", "countries",
        {{"code", FieldType::kString}, {"name", FieldType::kText}, {"area", FieldType::kDecimal}},
        {"code"});
    executive_->Create(countries);
    executive_->Create(ctldb::testing::MustSchema(
        "geo", "cities",
        {{"id", FieldType::kInteger}, {"part", FieldType::kBytestring}, {"n", FieldType::kText}},
        {"id", "part"}));
    EXPECT_TRUE(executive_->Write(
        countries,
        {{Value::Text("NZ"), Value::Text("New Zealand / Aotearoa"), Value::Decimal(268021.5)},
         {Value::Text("it's"), Value::Text("it's"), Value::Null()},
         {Value::Text("AX"), Value::Text("Åland"), Value::Decimal(1580)}}));
    Reflect();
  }

  Outcome Run(std::vector<std::string> flags) {
    std::vector<std::string> all = {
        absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore"), "verify",
        "--ldb=" + ldb_path_, "--ctldb=" + target_.ToString(), "--catch_up_seconds=0"};
    all.insert(all.end(), flags.begin(), flags.end());
    Subprocess process(folder_, all);
    Outcome outcome;
    outcome.status = process.WaitForExit(absl::Minutes(2));
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }
};

CTLSTORE_FOR_BOTH_KINDS(VerifyCommandTest);

TEST_P(VerifyCommandTest, SaysThatBothAreEqual) {
  const Outcome outcome = Run({});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(outcome.errors, "");
  EXPECT_THAT(outcome.output,
              MatchesRegex(absl::StrCat("TABLE +ROWS +DIGEST +RESULT\n"
                                        "geo.cities +0 +",
                                        kDigest,
                                        " +equal\n"
                                        "geo.countries +3 +",
                                        kDigest,
                                        " +equal\n"
                                        "equal: 2 tables, 3 rows, at sequence 7\n")));
  const json report = json::parse(Run({"--json"}).output);
  EXPECT_EQ(report["result"], "equal");
  EXPECT_EQ(report["first_sequence"], 7);
  EXPECT_EQ(report["last_sequence"], 7);
  EXPECT_EQ(report["skipped_entries"], 0);
  EXPECT_EQ(report["tables"].size(), 2u);
  EXPECT_EQ(report["tables"][1]["table"], "geo.countries");
  EXPECT_EQ(report["tables"][1]["rows"], 3);
  EXPECT_EQ(report["tables"][1]["ldb_digest"].get<std::string>().size(), 64u);
  EXPECT_EQ(report["tables"][1]["ldb_digest"], report["tables"][1]["ctldb_digest"]);
}

TEST_P(VerifyCommandTest, SaysWhatDiffers) {
  InLdb("UPDATE geo___countries SET name = 'New Zealand', area = NULL WHERE code = 'NZ'");
  InLdb("DELETE FROM geo___countries WHERE code = 'it''s'");
  InLdb("INSERT INTO geo___cities VALUES (-1, x'00ff', 'n')");
  InLdb("CREATE TABLE geo___extra (id INTEGER PRIMARY KEY)");
  Outcome outcome = Run({});
  EXPECT_EQ(outcome.status, kExitDiffers);
  EXPECT_EQ(outcome.errors, "");
  EXPECT_THAT(outcome.output,
              MatchesRegex(absl::StrCat(
                  "TABLE +ROWS +DIGEST +RESULT\n"
                  "geo.cities +0 +",
                  kDigest,
                  " +DIFFERS \\(1\\)\n"
                  "geo.countries +3 +",
                  kDigest,
                  " +DIFFERS \\(2\\)\n"
                  "geo.extra +0 +- +DIFFERS \\(definition\\)\n"
                  "geo.cities: id = integer -1, part = bytes x'00ff': only in the LDB\n"
                  "geo.countries: code = text \"NZ\":\n"
                  "  name is text \"New Zealand / Aotearoa\" in the ctldb\n"
                  "          text \"New Zealand\" in the LDB\n"
                  "  area is decimal 268021.5 in the ctldb\n"
                  "          null in the LDB\n"
                  "geo.countries: code = text \"it's\": missing in the LDB\n"
                  "geo.extra: only the LDB has this table\n"
                  "DIFFERS: 3 of 3 tables, 3 rows, at sequence 7\n")));

  outcome = Run({"--max_differences=1"});
  EXPECT_THAT(outcome.output, HasSubstr("... and 2 more rows that differ\n"));

  outcome = Run({"--json"});
  EXPECT_EQ(outcome.status, kExitDiffers);
  const json report = json::parse(outcome.output);
  EXPECT_EQ(report["result"], "differs");
  EXPECT_EQ(report["tables"][0]["differences"][0],
            json::parse(R"({"kind": "missing_in_ctldb", "key": {"id": -1, "part": "AP8="}})"));
  EXPECT_EQ(report["tables"][1]["differing_rows"], 2);
  EXPECT_EQ(report["tables"][1]["differences"][0],
            json::parse(R"({"kind": "values", "key": {"code": "NZ"}, "columns": [
          {"name": "name", "ctldb": "text \"New Zealand / Aotearoa\"",
           "ldb": "text \"New Zealand\""},
          {"name": "area", "ctldb": "decimal 268021.5", "ldb": "null"}]})"));
  EXPECT_EQ(report["tables"][2]["definition"][0], "only the LDB has this table");
  EXPECT_EQ(report["tables"][2]["ldb_digest"], json());

  EXPECT_EQ(Run({"--family=geo", "--table=countries"}).status, kExitDiffers);
  InLdb("DROP TABLE geo___extra");
  InLdb("DELETE FROM geo___cities");
  EXPECT_EQ(Run({"--family=geo", "--table=cities"}).status, kExitOk);
}

TEST_P(VerifyCommandTest, SaysWhatCouldNotBeCompared) {
  const TableSchema cities = ctldb::testing::MustSchema(
      "geo", "cities",
      {{"id", FieldType::kInteger}, {"part", FieldType::kBytestring}, {"n", FieldType::kText}},
      {"id", "part"});
  EXPECT_TRUE(
      executive_->Write(cities, {{Value::Integer(1), Value::Bytes("x"), Value::Text("later")}}));
  InLdb("CREATE TABLE IF NOT EXISTS _ldb_skipped (seq INTEGER PRIMARY KEY, time TEXT, error TEXT)");
  InLdb("INSERT INTO _ldb_skipped VALUES (3, '', '')");
  const Outcome outcome = Run({});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.output, HasSubstr("UNDECIDED: 1 keys were changed all the time\n"));
  EXPECT_THAT(outcome.output, HasSubstr("this local database was told to skip 1 ledger entries\n"));
  EXPECT_THAT(outcome.output,
              HasSubstr("UNDECIDED: 1 of 2 tables, 3 rows, at sequence 7; nothing else differs\n"));
  EXPECT_EQ(json::parse(Run({"--json"}).output)["result"], "undecided");
}

TEST_P(VerifyCommandTest, SaysWhatIsWrongWithItsUse) {
  EXPECT_EQ(Run({"--table=cities"}).status, kExitUsage);
  EXPECT_EQ(Run({"--max_differences=-1"}).status, kExitUsage);
  EXPECT_EQ(Run({"--catch_up_seconds=-1"}).status, kExitUsage);
  EXPECT_EQ(Run({"surplus"}).status, kExitUsage);
  EXPECT_EQ(Run({"--ctldb="}).status, kExitUsage);
  EXPECT_EQ(Run({"--ldb=/nowhere/ldb.db"}).status, kExitNotFound);
  EXPECT_EQ(Run({"--family=nothing"}).status, kExitNotFound);
  EXPECT_EQ(Run({"--family=x y"}).status, kExitRefused);
  const Outcome unreachable = Run({"--ctldb=mysql://root@127.0.0.1:1/none"});
  EXPECT_EQ(unreachable.status, kExitUnavailable);
  const Outcome password = Run({"--ctldb=mysql://root:hush-hush@127.0.0.1:1/none"});
  EXPECT_EQ(password.status, kExitUsage);
  EXPECT_THAT(password.errors, Not(HasSubstr("hush-hush")));
}

}  // namespace
}  // namespace ctlstore::cli
