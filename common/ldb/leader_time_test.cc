#include "common/ldb/leader_time.h"

#include <gtest/gtest.h>

namespace ctlstore::ldb {
namespace {

TEST(LeaderTimeTest, ReadsWhatLedgersAndLocalDatabasesHold) {
  const absl::Time second =
      absl::FromCivil(absl::CivilSecond(2024, 2, 29, 23, 59, 58), absl::UTCTimeZone());
  EXPECT_EQ(ParseLeaderTime("2024-02-29 23:59:58"), second);
  EXPECT_EQ(ParseLeaderTime("2024-02-29 23:59:58+00:00"), second);
  EXPECT_EQ(ParseLeaderTime("2024-03-01 01:59:58+02:00"), second);
  EXPECT_EQ(ParseLeaderTime("2024-02-29T23:59:58Z"), second);
  EXPECT_EQ(ParseLeaderTime("2024-02-29 23:59:58.25"), second + absl::Milliseconds(250));
  EXPECT_EQ(ParseLeaderTime("2024-02-29 23:59:58.000001+00:00"), second + absl::Microseconds(1));
}

TEST(LeaderTimeTest, RefusesWhatIsNoTime) {
  for (absl::string_view text : {"", "x", "0000-00-00 00:00:00", "2024-02-30 00:00:00",
                                 "2024-02-29", "2024-02-29 23:59:58 x", "infinite-future"}) {
    EXPECT_EQ(ParseLeaderTime(text), absl::nullopt) << text;
  }
}

TEST(LeaderTimeTest, WritesOneForm) {
  for (auto [text, expected] : {
           std::make_pair("2024-02-29 23:59:58", "2024-02-29 23:59:58+00:00"),
           std::make_pair("2024-02-29 23:59:58.000000", "2024-02-29 23:59:58+00:00"),
           std::make_pair("2024-02-29 23:59:58.5", "2024-02-29 23:59:58.500000+00:00"),
           std::make_pair("2024-02-29 23:59:58.123456789", "2024-02-29 23:59:58.123456+00:00"),
           std::make_pair("1969-12-31 23:59:59.25", "1969-12-31 23:59:59.250000+00:00"),
       }) {
    EXPECT_EQ(FormatLeaderTime(*ParseLeaderTime(text)), expected);
  }
}

}  // namespace
}  // namespace ctlstore::ldb
