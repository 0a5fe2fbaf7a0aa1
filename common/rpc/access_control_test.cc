#include "common/rpc/access_control.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/testing/certificates.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

using ::ctlstore::rpc::testing::ReplaceFile;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kAdminToken[] = "admin-token-0123456789";
constexpr char kReaderToken[] = "reader-token-0123456789";

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return true; }
  absl::Time now = absl::FromUnixSeconds(1700000000);
};

class LogCapture : public google::LogSink {
 public:
  LogCapture() { google::AddLogSink(this); }
  ~LogCapture() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    lines.emplace_back(message, size);
  }
  std::vector<std::string> lines;
};

class AccessControlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/access_control_XXXXXX";
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    options_.admin_token_file = folder_ + "/admin";
    options_.reader_token_file = folder_ + "/reader";
    options_.admin_identities = {"ops.example.com", "spiffe://example/ops"};
    options_.reader_identities = {"app.example.com"};
    ReplaceFile(options_.admin_token_file, absl::StrCat(kAdminToken, "\n"));
    ReplaceFile(options_.reader_token_file, absl::StrCat(kReaderToken, "\n"));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Create() {
    auto access = AccessControl::Create(options_, &clock_);
    ASSERT_TRUE(access.ok()) << access.status();
    access_ = *std::move(access);
  }

  // "name role role", or the error's reason.
  std::string Who(absl::optional<std::string> authorization,
                  const std::vector<std::string>& identities = {}) {
    absl::optional<absl::string_view> header;
    if (authorization.has_value()) header = *authorization;
    const absl::StatusOr<Caller> caller = access_->Identify(header, identities, "10.1.2.3");
    if (!caller.ok()) {
      EXPECT_EQ(caller.status().code(), absl::StatusCode::kUnauthenticated);
      return ErrorReason(caller.status()).value_or("");
    }
    EXPECT_EQ(caller->peer, "10.1.2.3");
    return absl::StrCat(caller->name, caller->is_admin ? " admin" : "",
                        caller->is_reader ? " reader" : "");
  }

  std::string Bearer(absl::string_view token) { return absl::StrCat("Bearer ", token); }

  void Later() { clock_.now += absl::Seconds(1); }

  std::string folder_;
  AccessOptions options_;
  SetClock clock_;
  std::unique_ptr<AccessControl> access_;
};

TEST_F(AccessControlTest, WithoutRolesEverybodyHasAll) {
  options_ = {};
  Create();
  EXPECT_FALSE(access_->has_roles());
  EXPECT_EQ(Who(absl::nullopt), "anyone admin reader");
  // A token for another server is no harm.
  EXPECT_EQ(Who("Bearer whatever"), "anyone admin reader");
}

TEST_F(AccessControlTest, TokensGiveTheirRoles) {
  Create();
  EXPECT_TRUE(access_->has_roles());
  EXPECT_EQ(Who(Bearer(kAdminToken)), "token admin admin reader");
  EXPECT_EQ(Who(Bearer(kReaderToken)), "token reader reader");
  EXPECT_EQ(Who(absl::StrCat("bearer  ", kReaderToken, " ")), "token reader reader");
  EXPECT_EQ(Who(absl::nullopt), "nobody");
}

TEST_F(AccessControlTest, WhatIsNoKnownBearerTokenIsRefused) {
  Create();
  for (const std::string& header :
       {std::string(""), std::string("Bearer"), std::string("Bearer "), std::string(kAdminToken),
        absl::StrCat("Basic ", kAdminToken), Bearer("admin-token-012345678"),
        Bearer(absl::StrCat(kAdminToken, "0")), Bearer("unknown-token-0123456789")}) {
    EXPECT_EQ(Who(header), "NO_ROLE") << header;
    // Also where a certificate would do.
    EXPECT_EQ(Who(header, {"ops.example.com"}), "NO_ROLE") << header;
  }
}

TEST_F(AccessControlTest, IdentitiesGiveTheirRolesAsTheyAre) {
  Create();
  EXPECT_EQ(Who(absl::nullopt, {"ops.example.com"}), "certificate ops.example.com admin reader");
  EXPECT_EQ(Who(absl::nullopt, {"someone", "spiffe://example/ops"}),
            "certificate spiffe://example/ops admin reader");
  EXPECT_EQ(Who(absl::nullopt, {"app.example.com"}), "certificate app.example.com reader");
  for (const char* other : {"OPS.example.com", "ops.example.com.", "x.ops.example.com", "ops"}) {
    EXPECT_EQ(Who(absl::nullopt, {other}), absl::StrCat("certificate ", other));
  }
}

TEST_F(AccessControlTest, RolesOfTokenAndCertificateAddUp) {
  Create();
  EXPECT_EQ(Who(Bearer(kReaderToken), {"ops.example.com"}),
            "certificate ops.example.com admin reader");
  EXPECT_EQ(Who(Bearer(kAdminToken), {"app.example.com"}), "token admin admin reader");
  EXPECT_EQ(Who(Bearer(kReaderToken), {"nobody.example.com"}), "token reader reader");
}

TEST_F(AccessControlTest, WithOneKindSetUpTheOtherProvesNothing) {
  options_ = {};
  options_.reader_identities = {"app.example.com"};
  Create();
  EXPECT_TRUE(access_->has_roles());
  EXPECT_EQ(Who(absl::nullopt), "nobody");
  EXPECT_EQ(Who("Bearer "), "NO_ROLE");
  EXPECT_EQ(Who(absl::nullopt, {"app.example.com"}), "certificate app.example.com reader");
  EXPECT_EQ(Who(absl::nullopt, {""}), "certificate ");
}

TEST_F(AccessControlTest, ATokenCanBeReplacedByAnotherWithoutARestart) {
  Create();
  const std::string next = "next-token-0123456789";
  ReplaceFile(options_.admin_token_file, absl::StrCat(kAdminToken, "\n", next, "\n"));
  Later();
  EXPECT_EQ(Who(Bearer(kAdminToken)), "token admin admin reader");
  EXPECT_EQ(Who(Bearer(next)), "token admin admin reader");
  ReplaceFile(options_.admin_token_file, absl::StrCat(next, "\n"));
  // Looked at once a second.
  EXPECT_EQ(Who(Bearer(kAdminToken)), "token admin admin reader");
  Later();
  EXPECT_EQ(Who(Bearer(kAdminToken)), "NO_ROLE");
  EXPECT_EQ(Who(Bearer(next)), "token admin admin reader");
  EXPECT_EQ(Who(Bearer(kReaderToken)), "token reader reader");
}

TEST_F(AccessControlTest, ABadFileLeavesTheOldTokensAndNeverShowsOne) {
  Create();
  LogCapture log;
  ReplaceFile(options_.admin_token_file, absl::StrCat("good-token-0123456789\nshort\n"));
  for (int i = 0; i < 3; ++i) {
    Later();
    EXPECT_EQ(Who(Bearer(kAdminToken)), "token admin admin reader");
    EXPECT_EQ(Who(Bearer("good-token-0123456789")), "NO_ROLE");
  }
  std::filesystem::remove(options_.reader_token_file);
  for (int i = 0; i < 3; ++i) {
    Later();
    EXPECT_EQ(Who(Bearer(kReaderToken)), "token reader reader");
  }
  EXPECT_EQ(log.lines.size(), 2);
  EXPECT_THAT(log.lines, Each(AllOf(HasSubstr("files_not_reloaded"), Not(HasSubstr("good-token")),
                                    Not(HasSubstr("\"short\"")), Not(HasSubstr("reader-token")))));
}

TEST_F(AccessControlTest, DoesNotStartWithoutGoodTokens) {
  const auto message = [this] {
    const absl::Status status = AccessControl::Create(options_, &clock_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  ReplaceFile(options_.admin_token_file, "hunter2\n");
  EXPECT_THAT(message(), AllOf(HasSubstr(options_.admin_token_file), HasSubstr("line 1"),
                               HasSubstr("admin"), Not(HasSubstr("hunter2"))));
  ReplaceFile(options_.admin_token_file, "# nothing\n");
  EXPECT_THAT(message(), HasSubstr(options_.admin_token_file));
  options_.admin_token_file = folder_ + "/none";
  EXPECT_THAT(message(), HasSubstr(folder_ + "/none"));
  options_.admin_token_file.clear();
  options_.reader_identities = {"a", ""};
  EXPECT_THAT(message(), HasSubstr("empty"));
}

TEST_F(AccessControlTest, NamesInCertificatesCannotForgeALogLine) {
  Create();
  EXPECT_EQ(Who(absl::nullopt, {"x\nevent=audit \"y\""}), "certificate x\\nevent=audit \\\"y\\\"");
  EXPECT_EQ(Who(absl::nullopt, {std::string(5000, 'x')}),
            absl::StrCat("certificate ", std::string(200, 'x')));
}

TEST_F(AccessControlTest, WhateverIsSentProvesNothingButTheTokens) {
  Create();
  std::mt19937 random(99);
  for (int round = 0; round < 20000; ++round) {
    std::string header = Bearer(random() % 2 == 0 ? kAdminToken : kReaderToken);
    const size_t changes = 1 + random() % 3;
    for (size_t i = 0; i < changes; ++i) {
      const size_t place = random() % header.size();
      switch (random() % 3) {
        case 0:
          header.erase(place, 1);
          break;
        case 1:
          header.insert(place, 1, static_cast<char>(random() % 256));
          break;
        default:
          header[place] = static_cast<char>(random() % 256);
      }
    }
    const std::string who = Who(header);
    // A change of the scheme's case, or a blank more, leaves the token.
    if (header.find(kAdminToken) == std::string::npos &&
        header.find(kReaderToken) == std::string::npos) {
      EXPECT_EQ(who, "NO_ROLE") << header;
    }
  }
}

TEST(HostOfPeerTest, IsTheAddressWithoutThePort) {
  EXPECT_EQ(HostOfPeer("ipv4:10.1.2.3:4567"), "10.1.2.3");
  EXPECT_EQ(HostOfPeer("ipv6:[::1]:4567"), "::1");
  EXPECT_EQ(HostOfPeer("ipv6:%5B2001:db8::7%5D:4567"), "2001:db8::7");
  EXPECT_EQ(HostOfPeer("unix:/run/x.sock"), "unix");
  EXPECT_EQ(HostOfPeer("unix:"), "unix");
  EXPECT_EQ(HostOfPeer(""), "");
}

TEST(RequireRoleTest, AdminsMayReadAndReadersMayNotChange) {
  Caller nobody;
  Caller reader;
  reader.name = "token reader";
  reader.is_reader = true;
  Caller admin;
  admin.is_admin = true;
  EXPECT_TRUE(RequireRole(LocalCaller(), Role::kAdmin).ok());
  EXPECT_TRUE(RequireRole(LocalCaller(), Role::kReader).ok());
  EXPECT_TRUE(RequireRole(admin, Role::kAdmin).ok());
  EXPECT_TRUE(RequireRole(admin, Role::kReader).ok());
  EXPECT_TRUE(RequireRole(reader, Role::kReader).ok());

  absl::Status status = RequireRole(reader, Role::kAdmin);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrorReason(status), std::string(reason::kRoleMissing));
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("admin"), HasSubstr("token reader")));
  for (const Role role : {Role::kReader, Role::kAdmin}) {
    status = RequireRole(nobody, role);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ErrorReason(status), std::string(reason::kNoRole));
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("authorization: Bearer"), HasSubstr(std::string(RoleName(role)))));
  }
}

}  // namespace
}  // namespace ctlstore::rpc
