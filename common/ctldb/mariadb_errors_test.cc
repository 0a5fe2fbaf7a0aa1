#include "common/ctldb/mariadb_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

MariadbError Classify(unsigned int code) {
  return ClassifyMariadbError(code, "message with 'SECRET'", "the ctldb x at y:1 for user z");
}

TEST(MariadbErrorsTest, LostConnectionsAreUnavailableAndLeaveACommitOpen) {
  for (unsigned int code : {2002u, 2003u, 2005u, 2006u, 2013u, 2026u, 2055u, 1047u, 1053u, 1927u,
                            4031u, 5013u, 5014u}) {
    const MariadbError error = Classify(code);
    EXPECT_EQ(ErrorReason(error.status), reason::kCtldbUnavailable) << code;
    EXPECT_TRUE(error.connection_broken) << code;
    EXPECT_TRUE(error.outcome_unknown) << code;
  }
  for (unsigned int code : {1040u, 1203u, 1226u, 1290u, 1836u, 1049u}) {
    const MariadbError error = Classify(code);
    EXPECT_EQ(ErrorReason(error.status), reason::kCtldbUnavailable) << code;
    EXPECT_TRUE(error.connection_broken) << code;
    EXPECT_FALSE(error.outcome_unknown) << code;
  }
}

TEST(MariadbErrorsTest, OtherTransactionsInTheWayAreBusy) {
  for (unsigned int code : {1205u, 1213u, 1020u, 1412u, 1689u}) {
    const MariadbError error = Classify(code);
    EXPECT_EQ(ErrorReason(error.status), reason::kCtldbBusy) << code;
    EXPECT_TRUE(RetryDelay(error.status).has_value()) << code;
    EXPECT_TRUE(error.transaction_lost) << code;
    EXPECT_FALSE(error.connection_broken) << code;
    EXPECT_FALSE(error.outcome_unknown) << code;
  }
}

TEST(MariadbErrorsTest, TheRestHasItsCode) {
  const struct {
    absl::StatusCode status;
    std::vector<unsigned int> codes;
  } kCases[] = {
      {absl::StatusCode::kNotFound, {1146, 1051}},
      {absl::StatusCode::kAlreadyExists, {1062, 1050, 1060}},
      {absl::StatusCode::kInvalidArgument,
       {1406, 1264, 1366, 1265, 1292, 1118, 1071, 1117, 1074, 1048, 2020}},
      {absl::StatusCode::kPermissionDenied, {1044, 1045, 1142, 1130, 1698}},
      {absl::StatusCode::kFailedPrecondition, {1792}},
      {absl::StatusCode::kInternal, {1064, 1054, 1114, 9999, 2014}},
  };
  for (const auto& c : kCases) {
    for (unsigned int code : c.codes) EXPECT_EQ(Classify(code).status.code(), c.status) << code;
  }
}

TEST(MariadbErrorsTest, RepeatsNoMessageOfTheServer) {
  for (unsigned int code = 1000; code < 2000; ++code) {
    const std::string message(Classify(code).status.message());
    ASSERT_THAT(message, Not(HasSubstr("SECRET")));
    ASSERT_THAT(message, HasSubstr(std::to_string(code)));
    ASSERT_THAT(message, HasSubstr("the ctldb x at y:1 for user z"));
  }
  EXPECT_THAT(std::string(Classify(3819).status.message()), Not(HasSubstr("SECRET")));
  EXPECT_THAT(std::string(Classify(2003).status.message()), HasSubstr("SECRET"));
}

}  // namespace
}  // namespace ctlstore::ctldb
