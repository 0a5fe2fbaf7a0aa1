#include "executive/mutation_plan.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::executive {
namespace {

class MutationPlanTest : public testing::Test {
 protected:
  absl::StatusOr<MutationPlan> Plan(const MutateRequest& request) {
    return MutationPlan::Create(
        request,
        [this](const TableName& name) -> absl::StatusOr<std::shared_ptr<const TableSchema>> {
          ++lookups_;
          if (name == schema_->name()) return schema_;
          return absl::NotFoundError("no such table");
        });
  }

  MutateRequest Request(std::vector<Mutation> mutations) {
    MutateRequest request;
    request.family = "fam";
    request.mutations = std::move(mutations);
    return request;
  }

  // The key goes across the table's order.
  const std::shared_ptr<const TableSchema> schema_ =
      std::make_shared<const TableSchema>(*TableSchema::Create("fam", "tbl",
                                                               {{"a", FieldType::kInteger},
                                                                {"b", FieldType::kText},
                                                                {"c", FieldType::kString},
                                                                {"d", FieldType::kDecimal}},
                                                               {"c", "a"}));
  int lookups_ = 0;
};

TEST_F(MutationPlanTest, AnUpsertHasAllFieldsInTableOrder) {
  const absl::StatusOr<MutationPlan> plan =
      Plan(Request({{"tbl", false, {{"c", "x"}, {"a", 1}, {"d", 2}}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->statements(),
            std::vector<std::string>(
                {R"(REPLACE INTO fam___tbl ("a","b","c","d") VALUES(1,NULL,'x',2.0))"}));
}

TEST_F(MutationPlanTest, ADeleteHasTheKeyInKeyOrder) {
  const absl::StatusOr<MutationPlan> plan = Plan(Request({{"tbl", true, {{"a", 1}, {"c", "x"}}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->statements(),
            std::vector<std::string>({R"(DELETE FROM fam___tbl WHERE "c" = 'x' AND "a" = 1)"}));
}

TEST_F(MutationPlanTest, NamesMayBeWrittenWithCapitals) {
  MutateRequest request = Request({{"TBL", false, {{"A", 1}, {"C", "x"}}}});
  request.family = "Fam";
  EXPECT_TRUE(Plan(request).ok()) << Plan(request).status();
}

TEST_F(MutationPlanTest, EachTableIsLookedUpOnce) {
  const absl::StatusOr<MutationPlan> plan = Plan(Request({{"tbl", false, {{"a", 1}, {"c", "x"}}},
                                                          {"Tbl", true, {{"a", 1}, {"c", "x"}}},
                                                          {"tbl", true, {{"a", 2}, {"c", "x"}}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(lookups_, 1);
  EXPECT_EQ(plan->tables().size(), 1);
  EXPECT_EQ(plan->statements().size(), 3);
}

TEST_F(MutationPlanTest, TellsItsSizeItsCookiesAndTheTablesThatGetRows) {
  MutateRequest request =
      Request({{"tbl", true, {{"a", 1}, {"c", "x"}}}, {"tbl", true, {{"a", 2}, {"c", "x"}}}});
  absl::StatusOr<MutationPlan> plan = Plan(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->upserted_tables().empty());
  EXPECT_EQ(plan->bytes(), plan->statements()[0].size() + plan->statements()[1].size());
  EXPECT_FALSE(plan->cookie().has_value());
  EXPECT_FALSE(plan->check_cookie().has_value());

  request.mutations.push_back({"TBL", false, {{"a", 1}, {"c", "x"}}});
  request.mutations.push_back({"tbl", false, {{"a", 2}, {"c", "x"}}});
  request.cookie = "12345";
  request.check_cookie = "";
  plan = Plan(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->upserted_tables(), std::vector<const TableSchema*>{schema_.get()});
  size_t bytes = 5;
  for (const std::string& statement : plan->statements()) bytes += statement.size();
  EXPECT_EQ(plan->bytes(), bytes);
  EXPECT_EQ(plan->cookie(), "12345");
  EXPECT_EQ(plan->check_cookie(), "");
}

TEST_F(MutationPlanTest, ErrorsOfTheLookupAreReturned) {
  EXPECT_EQ(Plan(Request({{"other", false, {{"a", 1}}}})).status(),
            absl::NotFoundError("no such table"));
}

TEST_F(MutationPlanTest, AStatementHasALimit) {
  // What the statement takes besides the text.
  const std::string empty;
  const absl::StatusOr<MutationPlan> shortest =
      Plan(Request({{"tbl", false, {{"a", 1}, {"c", "x"}, {"b", empty}}}}));
  ASSERT_TRUE(shortest.ok());
  const size_t rest = limits::kStatementMaxBytes - shortest->statements()[0].size();
  // Quotes take two bytes each, so that a text within its own limit reaches the statement's.
  const size_t quotes = rest - limits::kValueMaxBytes + 2;
  const std::string fits = std::string(quotes, '\'') + std::string(rest - 2 * quotes, 'x');
  ASSERT_LE(fits.size(), limits::kValueMaxBytes);
  absl::StatusOr<MutationPlan> plan =
      Plan(Request({{"tbl", false, {{"a", 1}, {"c", "x"}, {"b", fits}}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->statements()[0].size(), limits::kStatementMaxBytes);

  const std::string too_long = fits + "x";
  ASSERT_LE(too_long.size(), limits::kValueMaxBytes);
  plan = Plan(Request({{"tbl", true, {{"a", 1}, {"c", "x"}}},
                       {"tbl", false, {{"a", 1}, {"c", "x"}, {"b", too_long}}}}));
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(plan.status()), reason::kTooLarge);
  EXPECT_EQ(ErrorField(plan.status()), "mutations[1]");
  EXPECT_NE(plan.status().message().find("786432"), absl::string_view::npos) << plan.status();
  EXPECT_NE(plan.status().message().find("786433"), absl::string_view::npos) << plan.status();
}

TEST_F(MutationPlanTest, ErrorsStaySmallHoweverLongANameIs) {
  const std::string name = std::string(63, 'x') + std::string(100000, '\xC3') + "tail";
  const absl::Status status =
      Plan(Request({{"tbl", false, {{"a", 1}, {"c", "x"}, {name, 1}}}})).status();
  EXPECT_EQ(ErrorReason(status), reason::kUnknownField);
  EXPECT_LT(status.message().size(), 300);
}

TEST_F(MutationPlanTest, APathIsNotCutWithinACharacter) {
  // The 64th byte is in the middle of the last character shown.
  const std::string name = std::string(63, 'x') + "\xC3\xA9" + "tail";
  EXPECT_EQ(MutationValuePath(7, name),
            absl::StrCat("mutations[7].values.", std::string(63, 'x'), "..."));
  EXPECT_EQ(MutationValuePath(0, std::string(64, 'x')),
            absl::StrCat("mutations[0].values.", std::string(64, 'x')));
}

}  // namespace
}  // namespace ctlstore::executive
