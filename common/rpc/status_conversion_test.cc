#include "common/rpc/status_conversion.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/time/time.h"
#include "common/schema/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ctlstore::rpc {
namespace {

TEST(StatusConversion, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(StatusConversion, EveryCodeAndItsMessageComeBack) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "what went wrong");
    const grpc::Status grpc_status = ToGrpcStatus(status);
    EXPECT_EQ(static_cast<int>(grpc_status.error_code()), code);
    EXPECT_EQ(grpc_status.error_details(), "");
    EXPECT_EQ(FromGrpcStatus(grpc_status), status);
  }
}

TEST(StatusConversion, FieldPathAndReasonAreInTheStandardDetails) {
  const grpc::Status status = ToGrpcStatus(
      InvalidField("mutations[3].values.code", reason::kTooLarge, "has 192 characters"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "mutations[3].values.code: has 192 characters");

  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "TOO_LARGE");
  EXPECT_EQ(info.domain(), "ctlstore");
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(details.details(1).UnpackTo(&bad_request));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "mutations[3].values.code");
  EXPECT_EQ(bad_request.field_violations(0).description(), "has 192 characters");
}

TEST(StatusConversion, RetryDelayIsInTheStandardDetails) {
  const grpc::Status status =
      ToGrpcStatus(WithRetryDelay(absl::UnavailableError("busy"), absl::Milliseconds(1250)));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 1);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(0).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 250000000);
}

TEST(StatusConversion, AllDetailsComeBack) {
  const absl::Status invalid = InvalidField("table.fields[0]", reason::kInvalidName, "is wrong");
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(invalid)), invalid);

  const absl::Status unavailable =
      WithRetryDelay(ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy, "locked"),
                     absl::Milliseconds(300));
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(unavailable)), unavailable);
}

TEST(StatusConversion, DetailsOfOtherFormsAreDropped) {
  const grpc::Status garbage(grpc::StatusCode::NOT_FOUND, "gone", "\xFF\xFFnot a message");
  EXPECT_EQ(FromGrpcStatus(garbage), absl::NotFoundError("gone"));

  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  info.set_reason("SOMETHING");
  info.set_domain("example.com");
  details.add_details()->PackFrom(info);
  const grpc::Status foreign(grpc::StatusCode::NOT_FOUND, "gone", details.SerializeAsString());
  EXPECT_EQ(FromGrpcStatus(foreign), absl::NotFoundError("gone"));
}

}  // namespace
}  // namespace ctlstore::rpc
