#include "common/rpc/http_errors.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;
using nlohmann::json;

TEST(HttpErrorsTest, EachErrorHasItsStatus) {
  using absl::StatusCode;
  const std::vector<std::pair<absl::Status, int>> expected = {
      {absl::OkStatus(), 200},
      {InvalidField("family", reason::kInvalidName, "is too long"), 400},
      {InvalidField("body", reason::kTooLarge, "is too large"), 413},
      {ErrorWithReason(StatusCode::kUnauthenticated, reason::kBadCredentials, ""), 401},
      {ErrorWithReason(StatusCode::kUnauthenticated, reason::kNoRole, ""), 401},
      {ErrorWithReason(StatusCode::kPermissionDenied, reason::kRoleMissing, ""), 403},
      {ErrorWithReason(StatusCode::kFailedPrecondition, reason::kDestructiveDisabled, ""), 403},
      {ErrorWithReason(StatusCode::kNotFound, reason::kFamilyNotFound, ""), 404},
      {ErrorWithReason(StatusCode::kNotFound, reason::kLimitNotFound, ""), 404},
      {ErrorWithReason(StatusCode::kAlreadyExists, reason::kTableDiffers, ""), 409},
      {ErrorWithReason(StatusCode::kAborted, reason::kCookieMismatch, ""), 409},
      {ErrorWithReason(StatusCode::kResourceExhausted, reason::kRateLimited, ""), 429},
      {ErrorWithReason(StatusCode::kResourceExhausted, reason::kTooManyFailures, ""), 429},
      {ErrorWithReason(StatusCode::kResourceExhausted, reason::kTableFull, ""), 507},
      {ErrorWithReason(StatusCode::kOutOfRange, reason::kListTooLong, ""), 416},
      {ErrorWithReason(StatusCode::kAborted, reason::kSnapshotExpired, ""), 503},
      {ErrorWithReason(StatusCode::kResourceExhausted, reason::kQueueFull, ""), 503},
      {ErrorWithReason(StatusCode::kUnavailable, reason::kCtldbUnavailable, ""), 503},
      {ErrorWithReason(StatusCode::kUnavailable, reason::kOutcomeUnknown, ""), 503},
      {absl::DeadlineExceededError(""), 504},
      {absl::CancelledError(""), 499},
      {absl::UnimplementedError(""), 501},
      {absl::InternalError(""), 500},
      {absl::UnknownError(""), 500},
      {absl::DataLossError(""), 500},
  };
  for (const auto& [status, http_status] : expected) {
    EXPECT_EQ(HttpStatusOf(status), http_status) << status;
    EXPECT_EQ(ErrorResponse(status).status, http_status) << status;
  }
}

TEST(HttpErrorsTest, TheBodySaysWhatIsWrongAndWhere) {
  const HttpResponse response =
      ErrorResponse(InvalidField("mutations[3].table", reason::kInvalidName, "is \"wrong\""));
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(json::parse(response.body),
            json::parse(R"({"error":{"reason":"INVALID_NAME","field":"mutations[3].table",
                           "message":"mutations[3].table: is \"wrong\""}})"));
  EXPECT_EQ(response.headers, Headers());
  EXPECT_EQ(json::parse(ErrorResponse(absl::InternalError("x")).body),
            json::parse(R"({"error":{"message":"x"}})"));
  EXPECT_EQ(json::parse(ErrorResponse(405, "no").body),
            json::parse(R"({"error":{"message":"no"}})"));
}

TEST(HttpErrorsTest, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(json::parse(ErrorResponse(absl::InternalError("a\xff")).body)["error"]["message"],
            "a\xef\xbf\xbd");
}

TEST(HttpErrorsTest, RetryAfterIsRoundedUpToSeconds) {
  const auto headers = [](absl::Duration delay) {
    return ErrorResponse(WithRetryDelay(absl::UnavailableError(""), delay)).headers;
  };
  EXPECT_EQ(headers(absl::Milliseconds(1)), (Headers{{"Retry-After", "1"}}));
  EXPECT_EQ(headers(absl::Seconds(2)), (Headers{{"Retry-After", "2"}}));
  EXPECT_EQ(headers(absl::Milliseconds(2001)), (Headers{{"Retry-After", "3"}}));
  EXPECT_EQ(headers(absl::ZeroDuration()), (Headers{{"Retry-After", "0"}}));
}

TEST(HttpErrorsTest, ACallerWithoutARoleIsToldHowToProveOne) {
  EXPECT_EQ(ErrorResponse(ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kNoRole, ""))
                .headers,
            (Headers{{"WWW-Authenticate", "Bearer"}}));
}

}  // namespace
}  // namespace ctlstore::rpc
