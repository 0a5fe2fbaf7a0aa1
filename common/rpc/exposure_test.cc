#include "common/rpc/exposure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ctlstore::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kLocal[] = {
    "127.0.0.1:3000",      "127.0.0.1:0",          "127.255.255.254:80", "[::1]:3000",
    "[0:0:0:0:0:0:0:1]:1", "[::ffff:127.0.0.1]:1", "localhost:3000",     "LocalHost:3000",
    "unix:/run/x.sock",    "unix:///run/x.sock",
};

constexpr const char* kOpen[] = {
    "0.0.0.0:3000",
    "[::]:3000",
    "[::ffff:0.0.0.0]:3000",
    "[::ffff:10.0.0.1]:3000",
    "10.0.0.1:3000",
    "192.168.1.1:3000",
    "126.255.255.255:3000",
    "128.0.0.1:3000",
    "[fe80::1]:3000",
    "[::2]:3000",
    "[::127.0.0.1]:3000",
    "executive.example.com:3000",
    "localhost.example.com:3000",
    "127.0.0.1.example.com:3000",
    "127.1:3000",
    "0x7f000001:3000",
    "2130706433:3000",
    "*:3000",
    "[localhost:3000",
};

constexpr const char* kMalformed[] = {"nonsense", "unix:relative", "", "fe80::1:3000"};

TEST(ExposureTest, TellsLoopbackFromTheRest) {
  for (const char* address : kLocal) EXPECT_TRUE(IsLocalAddress(address)) << address;
  for (const char* address : kOpen) EXPECT_FALSE(IsLocalAddress(address)) << address;
  for (const char* address : kMalformed) {
    EXPECT_FALSE(IsLocalAddress(address)) << address;
    EXPECT_EQ(CheckExposure({address}, {}).code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST(ExposureTest, LoopbackTakesNoProtection) {
  for (const char* address : kLocal) EXPECT_TRUE(CheckExposure({address}, {}).ok()) << address;
}

TEST(ExposureTest, BeyondLoopbackTakesTlsAndRolesOrAWordThatItIsMeant) {
  for (const char* address : kOpen) {
    for (int bits = 0; bits < 8; ++bits) {
      Protection protection;
      protection.tls = (bits & 1) != 0;
      protection.roles = (bits & 2) != 0;
      protection.insecure = (bits & 4) != 0;
      const absl::Status status = CheckExposure({"127.0.0.1:1", address}, protection);
      const bool may = protection.insecure || (protection.tls && protection.roles);
      EXPECT_EQ(status.ok(), may) << address << " " << bits;
      if (may) continue;
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr(address), HasSubstr("--insecure")));
    }
  }
}

TEST(ExposureTest, SaysWhichFlagsAreMissing) {
  const auto message = [](bool tls, bool roles) {
    Protection protection;
    protection.tls = tls;
    protection.roles = roles;
    return std::string(CheckExposure({"0.0.0.0:3000"}, protection).message());
  };
  EXPECT_THAT(message(false, false),
              AllOf(HasSubstr("--tls_cert_file"), HasSubstr("--tls_key_file"),
                    HasSubstr("--admin_token_file"), HasSubstr("--admin_identities")));
  EXPECT_THAT(message(true, false),
              AllOf(Not(HasSubstr("--tls_cert_file")), HasSubstr("--admin_token_file")));
  EXPECT_THAT(message(false, true),
              AllOf(HasSubstr("--tls_cert_file"), Not(HasSubstr("--admin_token_file"))));
}

}  // namespace
}  // namespace ctlstore::rpc
