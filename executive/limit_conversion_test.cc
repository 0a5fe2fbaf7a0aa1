#include "executive/limit_conversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

absl::StatusOr<int64_t> PerMinute(int64_t rows, absl::Duration period) {
  return RowsPerMinute("limit.rows", rows, "limit.period", period);
}

void ExpectInvalid(const absl::Status& status, const std::string& field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorReason(status), reason::kInvalidRequest);
  EXPECT_EQ(ErrorField(status), field);
  EXPECT_LT(status.message().size(), 300);
}

TEST(RowsPerMinuteTest, RoundsDownButNotToNothing) {
  EXPECT_EQ(*PerMinute(1000, absl::Minutes(1)), 1000);
  EXPECT_EQ(*PerMinute(1000, absl::Hours(1)), 16);
  EXPECT_EQ(*PerMinute(59, absl::Hours(1)), 1);
  EXPECT_EQ(*PerMinute(1, kMaxRatePeriod), 1);
  EXPECT_EQ(*PerMinute(1, absl::Seconds(1)), 60);
  EXPECT_EQ(*PerMinute(10, absl::Seconds(90)), 6);
  EXPECT_EQ(*PerMinute(11, absl::Seconds(90)), 7);
  EXPECT_EQ(*PerMinute(7, absl::Milliseconds(1500)), 280);
  EXPECT_EQ(*PerMinute(1, absl::Nanoseconds(1)), 60'000'000'000);
  EXPECT_EQ(*PerMinute(1, absl::Nanoseconds(1) / 4), 240'000'000'000);
}

TEST(RowsPerMinuteTest, RefusesWhatIsNoLimit) {
  for (const int64_t rows : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min()}) {
    ExpectInvalid(PerMinute(rows, absl::Minutes(1)).status(), "limit.rows");
  }
  for (const absl::Duration period :
       {absl::ZeroDuration(), -absl::Seconds(1), -absl::InfiniteDuration(),
        absl::InfiniteDuration(), kMaxRatePeriod + absl::Nanoseconds(1), absl::Seconds(kMost)}) {
    ExpectInvalid(PerMinute(5, period).status(), "limit.period");
  }
  EXPECT_EQ(*PerMinute(kMaxRowsPerMinute, absl::Minutes(1)), kMaxRowsPerMinute);
  ExpectInvalid(PerMinute(kMaxRowsPerMinute + 1, absl::Minutes(1)).status(), "limit.rows");
  EXPECT_EQ(*PerMinute(kMaxRowsPerMinute * 60, absl::Hours(1)), kMaxRowsPerMinute);
  ExpectInvalid(PerMinute(kMost, absl::Nanoseconds(1) / 4).status(), "limit.rows");
  ExpectInvalid(PerMinute(kMost, kMaxRatePeriod).status(), "limit.rows");
}

TEST(CheckTableSizeLimitTest, WantsAWarningBeforeTheMaximum) {
  const auto check = [](int64_t warn, int64_t max) {
    return CheckTableSizeLimit("warn-size", "max-size", {warn, max});
  };
  EXPECT_TRUE(check(1, 1).ok());
  EXPECT_TRUE(check(1, 2).ok());
  EXPECT_TRUE(check(kMost, kMost).ok());
  ExpectInvalid(check(0, 1), "warn-size");
  ExpectInvalid(check(-5, 1), "warn-size");
  ExpectInvalid(check(1, 0), "max-size");
  ExpectInvalid(check(1, -5), "max-size");
  ExpectInvalid(check(3, 2), "warn-size");
  EXPECT_THAT(check(3, 2).message(), HasSubstr("at most the maximum of 2 bytes, is 3"));
}

TEST(PeriodTest, ReadsTextAsGoDoes) {
  const std::pair<const char*, absl::Duration> kPeriods[] = {
      {"1m", absl::Minutes(1)},
      {"90s", absl::Seconds(90)},
      {"1h30m", absl::Minutes(90)},
      {"1h0m0s", absl::Hours(1)},
      {"1.5h", absl::Minutes(90)},
      {".5s", absl::Milliseconds(500)},
      {"+1m", absl::Minutes(1)},
      {"250ms", absl::Milliseconds(250)},
      {"3us", absl::Microseconds(3)},
      {"3\xC2\xB5s", absl::Microseconds(3)},
      {"3\xCE\xBCs", absl::Microseconds(3)},
      {"7ns", absl::Nanoseconds(7)},
      {"7.9ns", absl::Nanoseconds(7)},
      {"8784h", kMaxRatePeriod},
  };
  for (const auto& [text, expected] : kPeriods) {
    absl::StatusOr<absl::Duration> period = ParsePeriod("period", text);
    ASSERT_TRUE(period.ok()) << text << " " << period.status();
    EXPECT_EQ(*period, expected) << text;
  }
}

TEST(PeriodTest, RefusesTextThatIsNoPeriod) {
  for (const char* text : {"",      "1",    "60",   "m",        "1 m",
                           " 1m",   "1m ",  "1d",   "1mm",      "one minute",
                           "1m\n",  "--1m", "0",    "0s",       "-1m",
                           "0.5ns", "inf",  "-inf", "8784h1ns", "99999999999999999999999h",
                           "1e3s",  "1h30", "\xFFs"}) {
    SCOPED_TRACE(text);
    ExpectInvalid(ParsePeriod("period", text).status(), "period");
  }
  ExpectInvalid(ParsePeriod("period", std::string(100000, '9') + "h").status(), "period");
}

TEST(PeriodTest, ConvertsNanosecondsBothWays) {
  for (const int64_t nanoseconds :
       {int64_t{1}, int64_t{999}, int64_t{60'000'000'000}, int64_t{8784} * 3600 * 1'000'000'000}) {
    absl::StatusOr<absl::Duration> period = PeriodFromNanoseconds("period", nanoseconds);
    ASSERT_TRUE(period.ok()) << period.status();
    EXPECT_EQ(PeriodToNanoseconds(*period), nanoseconds);
  }
  for (const int64_t nanoseconds : {int64_t{0}, int64_t{-1}, kMost}) {
    ExpectInvalid(PeriodFromNanoseconds("period", nanoseconds).status(), "period");
  }
}

TEST(PeriodTest, SurvivesAnyText) {
  std::mt19937 random(1);
  const std::string kAlphabet = "0123456789.+-hmsunif \xC2\xB5\xCE\xBC";
  int valid = 0;
  for (int i = 0; i < 200000; ++i) {
    std::string text(random() % 12, '\0');
    for (char& c : text) c = kAlphabet[random() % kAlphabet.size()];
    absl::StatusOr<absl::Duration> period = ParsePeriod("period", text);
    if (!period.ok()) {
      ExpectInvalid(period.status(), "period");
      continue;
    }
    ++valid;
    EXPECT_GT(*period, absl::ZeroDuration()) << text;
    EXPECT_LE(*period, kMaxRatePeriod) << text;
    EXPECT_EQ(*PeriodFromNanoseconds("period", PeriodToNanoseconds(*period)), *period) << text;
  }
  EXPECT_GT(valid, 100);
}

}  // namespace
}  // namespace ctlstore::executive
