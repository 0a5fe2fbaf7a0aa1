#include "common/ldb/read_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ctlstore::ldb {
namespace {

using testing::Optional;

// Subjects 1 and 2 are written together at 10 and 20; 1 alone is gone at 30 and back at 40.
class ReadHistoryTest : public testing::Test {
 protected:
  ReadHistoryTest() {
    history_.Record(10, {{1, 11}, {2, 12}});
    history_.Record(20, {{1, 21}, {2, 22}});
    history_.Record(30, {{1, 0}});
    history_.Record(40, {{1, 41}});
  }
  ReadHistory history_;
};

TEST_F(ReadHistoryTest, AStateIsExplainedByTheFirstPositionThatHasIt) {
  EXPECT_THAT(history_.Explain({{1, 11}}, 0), Optional(10));
  EXPECT_THAT(history_.Explain({{1, 11}}, 15), Optional(15));
  EXPECT_THAT(history_.Explain({{1, 0}}, 0), Optional(0));
  EXPECT_THAT(history_.Explain({{1, 0}}, 10), Optional(30));
  EXPECT_THAT(history_.Explain({{3, 0}}, 7), Optional(7));
}

TEST_F(ReadHistoryTest, WhatWasReplacedBeforeTheFloorIsNotExplained) {
  EXPECT_EQ(history_.Explain({{1, 11}}, 20), absl::nullopt);
  EXPECT_EQ(history_.Explain({{1, 0}}, 40), absl::nullopt);
}

TEST_F(ReadHistoryTest, WhatWasNeverWrittenIsNotExplained) {
  EXPECT_EQ(history_.Explain({{1, 12}}, 0), absl::nullopt);
  EXPECT_EQ(history_.Explain({{3, 1}}, 0), absl::nullopt);
}

TEST_F(ReadHistoryTest, StatesOfOneLookHaveAPositionInCommon) {
  EXPECT_THAT(history_.Explain({{1, 21}, {2, 22}}, 0), Optional(20));
  EXPECT_THAT(history_.Explain({{1, 0}, {2, 22}}, 0), Optional(30));
  EXPECT_EQ(history_.Explain({{1, 11}, {2, 22}}, 0), absl::nullopt);
  EXPECT_EQ(history_.Explain({{1, 0}, {2, 12}}, 0), absl::nullopt);
}

TEST_F(ReadHistoryTest, PositionsAreTheEndsOfTransactions) {
  EXPECT_TRUE(history_.IsPosition(0));
  EXPECT_TRUE(history_.IsPosition(20));
  EXPECT_FALSE(history_.IsPosition(25));
}

TEST_F(ReadHistoryTest, AMessageNamesTheStatesThatWouldBeRight) {
  EXPECT_EQ(history_.Describe(1, 25), "21 from 20 on, 0 from 30 on, 41 from 40 on");
}

}  // namespace
}  // namespace ctlstore::ldb
