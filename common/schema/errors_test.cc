#include "common/schema/errors.h"

#include <gtest/gtest.h>

namespace ctlstore {
namespace {

TEST(ErrorsTest, AFieldsErrorNamesIt) {
  const absl::Status status = InvalidField("values.code", reason::kTooLarge, "is too long");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "values.code: is too long");
  EXPECT_EQ(ErrorReason(status), "TOO_LARGE");
  EXPECT_EQ(ErrorField(status), "values.code");
  EXPECT_EQ(RetryDelay(status), absl::nullopt);
}

TEST(ErrorsTest, ACallerPutsItsPathInFront) {
  const absl::Status status =
      WithRetryDelay(InvalidField("code", reason::kInvalidValue, "is wrong"), absl::Seconds(2));
  const absl::Status outer = UnderField("mutations[3].", UnderField("values.", status));
  EXPECT_EQ(outer.message(), "mutations[3].values.code: is wrong");
  EXPECT_EQ(ErrorField(outer), "mutations[3].values.code");
  EXPECT_EQ(ErrorReason(outer), "INVALID_VALUE");
  EXPECT_EQ(RetryDelay(outer), absl::Seconds(2));
}

TEST(ErrorsTest, WithoutAFieldNothingIsPutInFront) {
  const absl::Status status =
      ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound, "no such table");
  EXPECT_EQ(UnderField("x.", status), status);
  EXPECT_EQ(UnderField("x.", absl::OkStatus()), absl::OkStatus());
  EXPECT_EQ(ErrorReason(status), "TABLE_NOT_FOUND");
  EXPECT_EQ(ErrorField(status), absl::nullopt);
}

TEST(ErrorsTest, AStatusWithoutDetailsHasNone) {
  const absl::Status status = absl::InternalError("x");
  EXPECT_EQ(ErrorReason(status), absl::nullopt);
  EXPECT_EQ(ErrorField(status), absl::nullopt);
  EXPECT_EQ(RetryDelay(status), absl::nullopt);
  EXPECT_EQ(RetryDelay(absl::OkStatus()), absl::nullopt);
}

TEST(ErrorsTest, AReasonIsKnownByItsWholeName) {
  const absl::Status status =
      ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound, "no such table");
  EXPECT_TRUE(HasReason(status, reason::kTableNotFound));
  EXPECT_FALSE(HasReason(status, reason::kFamilyNotFound));
  EXPECT_FALSE(HasReason(status, "TABLE_NOT"));
  EXPECT_FALSE(HasReason(status, ""));
  EXPECT_FALSE(HasReason(absl::NotFoundError("TABLE_NOT_FOUND"), reason::kTableNotFound));
  EXPECT_FALSE(HasReason(absl::OkStatus(), ""));
}

TEST(ErrorsTest, DelaysAreKeptToTheMillisecond) {
  EXPECT_EQ(RetryDelay(WithRetryDelay(absl::UnavailableError("x"), absl::Milliseconds(1500))),
            absl::Milliseconds(1500));
}

}  // namespace
}  // namespace ctlstore
