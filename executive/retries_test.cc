#include "executive/retries.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

absl::Status Unavailable(absl::string_view error_reason) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, error_reason, "put in by the test");
}

TEST(RetriesTest, WhatTheCtldbRefusesForTheMomentMayBeTriedAgain) {
  EXPECT_TRUE(MayRetry(Unavailable(reason::kCtldbBusy)));
  EXPECT_TRUE(MayRetry(Unavailable(reason::kCtldbUnavailable)));
  // It may have been applied.
  EXPECT_FALSE(MayRetry(Unavailable(reason::kOutcomeUnknown)));
  EXPECT_FALSE(MayRetry(absl::UnavailableError("without a reason")));
  EXPECT_FALSE(MayRetry(absl::OkStatus()));
}

TEST(RetriesTest, ErrorsThatOtherDefinitionsCouldExplainAreKnown) {
  EXPECT_TRUE(MayBeStaleTable(absl::NotFoundError("")));
  EXPECT_TRUE(MayBeStaleTable(absl::InvalidArgumentError("")));
  EXPECT_TRUE(MayBeStaleTable(absl::InternalError("")));
  EXPECT_FALSE(MayBeStaleTable(absl::AbortedError("")));
  EXPECT_FALSE(MayBeStaleTable(Unavailable(reason::kCtldbBusy)));
  EXPECT_FALSE(MayBeStaleTable(absl::OkStatus()));
}

TEST(RetriesTest, ACallerIsToldWhenToComeAgainAndWhenOnlyTimeWasLacking) {
  const absl::Time past = absl::Now() - absl::Seconds(1);
  const absl::Time future = absl::InfiniteFuture();
  for (const char* error_reason : {reason::kCtldbBusy, reason::kCtldbUnavailable}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(ForCaller(Unavailable(error_reason), past)));
    const absl::Status told = ForCaller(Unavailable(error_reason), future);
    EXPECT_TRUE(HasReason(told, error_reason)) << told;
    EXPECT_GT(RetryDelay(told).value_or(absl::ZeroDuration()), absl::ZeroDuration());
  }
  // However late: an outcome that is not known is told as such.
  const absl::Status unknown = ForCaller(Unavailable(reason::kOutcomeUnknown), past);
  EXPECT_TRUE(HasReason(unknown, reason::kOutcomeUnknown)) << unknown;
  EXPECT_TRUE(RetryDelay(unknown).has_value());

  const absl::Status delayed = WithRetryDelay(Unavailable(reason::kCtldbBusy), absl::Seconds(77));
  EXPECT_EQ(RetryDelay(ForCaller(delayed, future)), absl::Seconds(77));
  const absl::Status invalid = InvalidField("field", reason::kInvalidValue, "is wrong");
  EXPECT_EQ(ForCaller(invalid, past), invalid);
  EXPECT_TRUE(ForCaller(absl::OkStatus(), past).ok());
}

}  // namespace
}  // namespace ctlstore::executive
