#include "cli/exit_status.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

TEST(ExitStatusTest, TellsKindsOfErrorsApart) {
  EXPECT_EQ(ExitStatusFor(absl::OkStatus()), kExitOk);
  EXPECT_EQ(ExitStatusFor(absl::InternalError("x")), kExitFailed);
  EXPECT_EQ(ExitStatusFor(absl::DataLossError("x")), kExitFailed);
  EXPECT_EQ(ExitStatusFor(UsageError("x")), kExitUsage);
  EXPECT_EQ(ExitStatusFor(absl::NotFoundError("x")), kExitNotFound);
  EXPECT_EQ(ExitStatusFor(absl::InvalidArgumentError("x")), kExitRefused);
  EXPECT_EQ(ExitStatusFor(absl::AlreadyExistsError("x")), kExitRefused);
  EXPECT_EQ(ExitStatusFor(absl::AbortedError("x")), kExitRefused);
  EXPECT_EQ(ExitStatusFor(absl::UnauthenticatedError("x")), kExitRefused);
  EXPECT_EQ(ExitStatusFor(absl::UnavailableError("x")), kExitUnavailable);
  EXPECT_EQ(ExitStatusFor(absl::DeadlineExceededError("x")), kExitUnavailable);
  EXPECT_EQ(ExitStatusFor(absl::ResourceExhaustedError("full")), kExitRefused);
  EXPECT_EQ(
      ExitStatusFor(WithRetryDelay(absl::ResourceExhaustedError("too fast"), absl::Seconds(1))),
      kExitUnavailable);
}

TEST(ExitStatusTest, EveryStatusIsDescribed) {
  for (int status = kExitOk; status <= kExitDiffers; ++status) {
    EXPECT_NE(DescribeExitStatuses().find(absl::StrCat("  ", status, "  ")), std::string::npos);
  }
}

TEST(ExitStatusTest, AnErrorShowsMessageFieldReasonAndDelay) {
  EXPECT_EQ(DescribeError(InvalidField("mutations[3].values.code", reason::kTooLarge, "too long")),
            "ctlstore: mutations[3].values.code: too long\n"
            "  field: mutations[3].values.code\n"
            "  reason: TOO_LARGE\n");
  EXPECT_EQ(DescribeError(WithRetryDelay(absl::UnavailableError("busy"), absl::Seconds(2))),
            "ctlstore: busy\n  try again in: 2s\n");
  EXPECT_EQ(DescribeError(absl::CancelledError("")), "ctlstore: CANCELLED\n");
}

}  // namespace
}  // namespace ctlstore::cli
