#include "executive/json_limits.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

TEST(JsonLimitsTest, ReadsTableSizes) {
  const auto limit = ParseTableSizeLimit(R"({"max-size": 200, "warn-size": 100})");
  ASSERT_TRUE(limit.ok()) << limit.status();
  EXPECT_EQ(*limit, (ctldb::TableSizeLimit{100, 200}));
}

TEST(JsonLimitsTest, ReadsRates) {
  const std::vector<std::pair<std::string, absl::Duration>> periods = {
      {R"("1m")", absl::Minutes(1)},
      {R"("1h30m")", absl::Minutes(90)},
      {R"("500ms")", absl::Milliseconds(500)},
      {"60000000000", absl::Minutes(1)},
      {"1", absl::Nanoseconds(1)}};
  for (const auto& [text, period] : periods) {
    const auto limit = ParseRateLimit(R"({"amount": 5, "period": )" + text + "}");
    ASSERT_TRUE(limit.ok()) << limit.status();
    EXPECT_EQ(limit->rows, 5);
    EXPECT_EQ(limit->period, period);
  }
}

TEST(JsonLimitsTest, ErrorsNameThePlace) {
  const std::vector<std::pair<std::string, std::string>> sizes = {
      {"", "body"},
      {"[]", "body"},
      {R"({"max-size": 200})", "warn-size"},
      {R"({"warn-size": 200})", "max-size"},
      {R"({"max-size": 100, "warn-size": 200})", "warn-size"},
      {R"({"max-size": 1.5, "warn-size": 1})", "max-size"},
      {R"({"max-size": "200", "warn-size": 1})", "max-size"},
      {R"({"max-size": 9223372036854775808, "warn-size": 1})", "max-size"},
      {R"({"max-size": 2, "warn-size": -1})", "warn-size"},
      {R"({"max_size": 2})", "max_size"},
  };
  for (const auto& [body, field] : sizes) {
    EXPECT_EQ(ErrorField(ParseTableSizeLimit(body).status()), field) << body;
  }
  const std::vector<std::pair<std::string, std::string>> rates = {
      {"", "body"},
      {R"({"amount": 1})", "period"},
      {R"({"period": "1m"})", "amount"},
      {R"({"amount": 0, "period": "1m"})", "amount"},
      {R"({"amount": 1, "period": "1 minute"})", "period"},
      {R"({"amount": 1, "period": "inf"})", "period"},
      {R"({"amount": 1, "period": "-1m"})", "period"},
      {R"({"amount": 1, "period": 0})", "period"},
      {R"({"amount": 1, "period": 1.5})", "period"},
      {R"({"amount": 1, "period": true})", "period"},
      {R"({"amount": "1", "period": "1m"})", "amount"},
      {R"({"amount": 1, "period": "1m", "writer": "w"})", "writer"},
  };
  for (const auto& [body, field] : rates) {
    EXPECT_EQ(ErrorField(ParseRateLimit(body).status()), field) << body;
  }
}

TEST(JsonLimitsTest, WritesLimits) {
  TableLimits tables{{50, 100}, {{{"geo", "rivers"}, {1, 9223372036854775807}}}};
  EXPECT_EQ(ToJson(tables),
            R"({"global":{"max-size":100,"warn-size":50},"tables":[)"
            R"({"max-size":9223372036854775807,"warn-size":1,"family":"geo","table":"rivers"}]})");
  tables.tables.clear();
  EXPECT_EQ(ToJson(tables), R"({"global":{"max-size":100,"warn-size":50},"tables":[]})");

  WriterLimits writers{RateLimit{1000, absl::Minutes(1)}, {{"loader \"1\"", 20}}};
  EXPECT_EQ(ToJson(writers),
            R"({"global":{"amount":1000,"period":60000000000},"writers":[{"writer":"loader \"1\"",)"
            R"("rate-limit":{"amount":20,"period":60000000000}}]})");
  EXPECT_EQ(ToJson(WriterLimits{}), R"({"global":{"amount":0,"period":60000000000},"writers":[]})");
}

}  // namespace
}  // namespace ctlstore::executive
