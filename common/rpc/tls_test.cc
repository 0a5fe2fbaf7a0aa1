// Servers and clients with TLS, tokens and roles, over real sockets.

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/rpc/access_control.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/rpc/testing/certificates.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::rpc {
namespace {

using ::ctlstore::rpc::testing::Certificate;
using ::ctlstore::rpc::testing::CertificateAuthority;
using ::ctlstore::rpc::testing::CertificateOptions;
using ::ctlstore::rpc::testing::ReplaceFile;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr char kAdminToken[] = "admin-token-0123456789";
constexpr char kReaderToken[] = "reader-token-0123456789";

// ListFamilies answers with what is known of the caller.
class WhoAmI : public v1::Executive::Service {
 public:
  grpc::Status ListFamilies(grpc::ServerContext* context, const v1::ListFamiliesRequest*,
                            v1::ListFamiliesResponse* response) override {
    const absl::StatusOr<Caller> caller = access->Identify(*context);
    if (!caller.ok()) return ToGrpcStatus(caller.status());
    response->add_families(caller->name);
    response->add_families(caller->peer);
    const absl::Status role = RequireRole(*caller, Role::kReader);
    return ToGrpcStatus(role);
  }

  std::unique_ptr<AccessControl> access;
};

// Counts the lines logged while it lives that have all of the words.
class LogCounter : public google::LogSink {
 public:
  explicit LogCounter(std::vector<std::string> words) : words_(std::move(words)) {
    google::AddLogSink(this);
  }
  ~LogCounter() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    const absl::string_view line(message, size);
    for (const std::string& word : words_) {
      if (!absl::StrContains(line, word)) return;
    }
    ++count_;
  }
  int count() const { return count_; }

 private:
  const std::vector<std::string> words_;
  std::atomic<int> count_{0};
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/tls_test_XXXXXX";
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    Write(ca_.IssueServer(), "server");
    ReplaceFile(File("ca.pem"), ca_.cert());
    ReplaceFile(File("other_ca.pem"), other_ca_.cert());
    options_.listen = {"127.0.0.1:0"};
    options_.tls.cert_file = File("server.pem");
    options_.tls.key_file = File("server.key");
    client_.tls.enabled = true;
    client_.tls.ca_file = File("ca.pem");
    client_.own_connection = true;
  }

  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string File(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  void Write(const Certificate& certificate, const std::string& name) {
    ReplaceFile(File(name + ".key"), certificate.key);
    ReplaceFile(File(name + ".pem"), certificate.cert);
  }

  // The client's own certificate.
  void Show(const Certificate& certificate) {
    Write(certificate, "client");
    client_.tls.cert_file = File("client.pem");
    client_.tls.key_file = File("client.key");
  }

  void UseTokens() {
    ReplaceFile(File("admin"), absl::StrCat(kAdminToken, "\n"));
    ReplaceFile(File("reader"), absl::StrCat(kReaderToken, "\n"));
    options_.access.admin_token_file = File("admin");
    options_.access.reader_token_file = File("reader");
  }

  void Start() {
    absl::StatusOr<std::unique_ptr<AccessControl>> access = AccessControl::Create(options_.access);
    ASSERT_TRUE(access.ok()) << access.status();
    service_.access = *std::move(access);
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options_, {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->addresses()[0];
  }

  absl::StatusOr<std::string> CallOn(v1::Executive::Stub* stub) {
    grpc::ClientContext context;
    SetDeadline(absl::Now() + kLong, &context);
    v1::ListFamiliesResponse response;
    const absl::Status status = FromGrpcStatus(stub->ListFamilies(&context, {}, &response));
    if (!status.ok()) return status;
    return absl::StrJoin(response.families(), " ");
  }

  // A new connection each time.
  absl::StatusOr<std::string> Call(const std::string& address) {
    const auto stub = v1::Executive::NewStub(NewChannel(address, client_));
    return CallOn(stub.get());
  }
  absl::StatusOr<std::string> Call() { return Call(address_); }

  // The call fails, and for its connection, long before its deadline.
  std::string ConnectionError() {
    const absl::Time begin = absl::Now();
    const absl::StatusOr<std::string> answer = Call();
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << answer.status();
    EXPECT_LT(absl::Now() - begin, kLong / 2);
    return std::string(ExplainConnectionError(answer.status(), address_, client_).message());
  }

  static bool Eventually(const std::function<bool()>& condition) {
    const absl::Time give_up = absl::Now() + kLong;
    while (!condition()) {
      if (absl::Now() > give_up) return false;
      absl::SleepFor(absl::Milliseconds(50));
    }
    return true;
  }

  std::string folder_;
  CertificateAuthority ca_;
  CertificateAuthority other_ca_{"Other CA"};
  ServerOptions options_;
  ChannelOptions client_;
  WhoAmI service_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

TEST_F(TlsTest, ACallGoesOverTls) {
  Start();
  const absl::StatusOr<std::string> answer = Call();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "anyone 127.0.0.1");
  // By name as well.
  const std::string port = address_.substr(address_.rfind(':'));
  EXPECT_TRUE(Call("localhost" + port).ok());
}

TEST_F(TlsTest, AClientRefusesAServerOfAnotherAuthority) {
  client_.tls.ca_file = File("other_ca.pem");
  Start();
  EXPECT_THAT(ConnectionError(),
              AllOf(HasSubstr("certificate verify failed"), HasSubstr("--client_tls_ca_file")));
  // Nor does the system know ours.
  client_.tls.ca_file.clear();
  EXPECT_THAT(ConnectionError(), HasSubstr("TLS"));
}

TEST_F(TlsTest, AClientRefusesACertificateForAnotherName) {
  CertificateOptions other;
  // The common name does not count where there are alternative ones.
  other.common_name = "127.0.0.1";
  other.alternative_names = {"DNS:example.com", "IP:127.0.0.2"};
  Write(ca_.Issue(other), "server");
  Start();
  EXPECT_THAT(ConnectionError(), HasSubstr("TLS"));
}

TEST_F(TlsTest, AClientRefusesAnExpiredCertificate) {
  Write(ca_.IssueExpiredServer(), "server");
  Start();
  EXPECT_THAT(ConnectionError(), HasSubstr("certificate verify failed"));
}

TEST_F(TlsTest, AClientWithoutTlsFailsClearlyAtAServerWithIt) {
  Start();
  client_.tls = {};
  EXPECT_THAT(ConnectionError(), HasSubstr("--client_tls"));
}

TEST_F(TlsTest, AClientWithTlsFailsClearlyAtAServerWithoutIt) {
  options_.tls = {};
  Start();
  EXPECT_THAT(ConnectionError(), HasSubstr("the server has to speak it"));
}

TEST_F(TlsTest, UnixSocketsStayWithoutTls) {
  options_.listen.push_back("unix:" + File("socket"));
  options_.tls.client_ca_file = File("ca.pem");
  options_.tls.require_client_cert = true;
  Start();
  // The same options for both kinds of addresses.
  absl::StatusOr<std::string> answer = Call("unix:" + File("socket"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "anyone unix");
  EXPECT_FALSE(Call().ok());
}

TEST_F(TlsTest, NewConnectionsSeeARenewedCertificate) {
  Start();
  const auto old_stub = v1::Executive::NewStub(NewChannel(address_, client_));
  ASSERT_TRUE(CallOn(old_stub.get()).ok());
  // Of another authority, so that it can be told which one the server shows.
  Write(other_ca_.IssueServer(), "server");
  EXPECT_TRUE(Eventually([&] {
    client_.tls.ca_file = File("other_ca.pem");
    return Call().ok();
  }));
  client_.tls.ca_file = File("ca.pem");
  EXPECT_FALSE(Call().ok());
  // A connection that was there before goes on.
  EXPECT_TRUE(CallOn(old_stub.get()).ok());
}

TEST_F(TlsTest, EveryAddressSeesARenewedCertificate) {
  options_.listen = {"127.0.0.1:0", "127.0.0.1:0"};
  Start();
  Write(other_ca_.IssueServer(), "server");
  client_.tls.ca_file = File("other_ca.pem");
  for (const std::string& address : server_->addresses()) {
    EXPECT_TRUE(Eventually([&] { return Call(address).ok(); })) << address;
  }
}

TEST_F(TlsTest, AKeyWithoutItsCertificateLeavesTheOldOnes) {
  Start();
  const Certificate next = other_ca_.IssueServer();
  const LogCounter log({"event=files_not_reloaded", File("server.key"), "does not belong"});
  ReplaceFile(File("server.key"), next.key);
  // For longer than it takes the server to look.
  const absl::Time begin = absl::Now();
  while (absl::Now() - begin < absl::Seconds(2.5)) {
    const absl::StatusOr<std::string> answer = Call();
    ASSERT_TRUE(answer.ok()) << answer.status();
  }
  EXPECT_EQ(log.count(), 1);
  ReplaceFile(File("server.pem"), next.cert);
  client_.tls.ca_file = File("other_ca.pem");
  EXPECT_TRUE(Eventually([&] { return Call().ok(); }));
}

TEST_F(TlsTest, AClientSeesItsRenewedFiles) {
  options_.tls.client_ca_file = File("ca.pem");
  options_.access.reader_identities = {"old", "new"};
  Show(ca_.IssueClient("old"));
  Start();
  const auto stub = v1::Executive::NewStub(NewChannel(address_, client_));
  EXPECT_EQ(CallOn(stub.get()).value_or(""), "certificate old 127.0.0.1");
  Show(ca_.IssueClient("new"));
  // Its next connection shows the new one.
  EXPECT_TRUE(Eventually([&] {
    server_.reset();
    options_.listen = {address_};
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options_, {&service_});
    if (!server.ok()) return false;
    server_ = *std::move(server);
    return Eventually([&] { return CallOn(stub.get()).ok(); }) &&
           CallOn(stub.get()).value_or("") == "certificate new 127.0.0.1";
  }));
}

TEST_F(TlsTest, WhereClientCertificatesAreRequiredOnlyAGoodOneComesIn) {
  options_.tls.client_ca_file = File("ca.pem");
  options_.tls.require_client_cert = true;
  Start();
  ConnectionError();
  Show(other_ca_.IssueClient("ops"));
  ConnectionError();
  Show(ca_.IssueExpiredClient("ops"));
  ConnectionError();
  Show(ca_.IssueClient("ops"));
  const absl::StatusOr<std::string> answer = Call();
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(TlsTest, WhereTheyAreNotABadOneIsRefusedStill) {
  options_.tls.client_ca_file = File("ca.pem");
  Start();
  EXPECT_TRUE(Call().ok());
  Show(other_ca_.IssueClient("ops"));
  ConnectionError();
  Show(ca_.IssueExpiredClient("ops"));
  ConnectionError();
  Show(ca_.IssueClient("ops"));
  EXPECT_TRUE(Call().ok());
}

TEST_F(TlsTest, NewAuthoritiesOfClientsCountWithoutARestart) {
  options_.tls.client_ca_file = File("clients_ca.pem");
  options_.tls.require_client_cert = true;
  ReplaceFile(File("clients_ca.pem"), ca_.cert());
  Start();
  Show(other_ca_.IssueClient("ops"));
  ConnectionError();
  ReplaceFile(File("clients_ca.pem"), other_ca_.cert());
  EXPECT_TRUE(Eventually([&] { return Call().ok(); }));
  Show(ca_.IssueClient("ops"));
  ConnectionError();
}

TEST_F(TlsTest, NamesInClientCertificatesGiveRoles) {
  options_.tls.client_ca_file = File("ca.pem");
  options_.access.admin_identities = {"ops", "dns.example.com"};
  options_.access.reader_identities = {"spiffe://example/app"};
  Start();
  EXPECT_EQ(Call().status().code(), absl::StatusCode::kUnauthenticated);

  Show(ca_.IssueClient("ops"));
  EXPECT_EQ(Call().value_or(""), "certificate ops 127.0.0.1");
  CertificateOptions names;
  names.common_name = "someone";
  names.alternative_names = {"DNS:other.example.com", "DNS:dns.example.com"};
  Show(ca_.Issue(names));
  EXPECT_EQ(Call().value_or(""), "certificate dns.example.com 127.0.0.1");
  names.alternative_names = {"URI:spiffe://example/other", "URI:spiffe://example/app"};
  Show(ca_.Issue(names));
  EXPECT_EQ(Call().value_or(""), "certificate spiffe://example/app 127.0.0.1");

  // A good certificate of somebody else, and an address that looks like a name.
  Show(ca_.IssueClient("someone"));
  EXPECT_EQ(Call().status().code(), absl::StatusCode::kUnauthenticated);
  names.alternative_names = {"email:ops", "DNS:ops.example.com"};
  Show(ca_.Issue(names));
  const absl::Status status = Call().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()), HasSubstr("certificate someone"));
}

TEST_F(TlsTest, TokensGiveRolesOverTls) {
  UseTokens();
  Start();
  EXPECT_EQ(Call().status().code(), absl::StatusCode::kUnauthenticated);
  client_.token = kAdminToken;
  EXPECT_EQ(Call().value_or(""), "token admin 127.0.0.1");
  client_.token = "wrong-token-0123456789";
  const absl::Status status = Call().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("wrong-token")));
}

TEST_F(TlsTest, TokensGiveRolesOnLoopbackAndUnixSocketsWithoutTls) {
  UseTokens();
  options_.tls = {};
  options_.listen.push_back("unix:" + File("socket"));
  Start();
  client_.tls = {};
  client_.token = kReaderToken;
  EXPECT_EQ(Call().value_or(""), "token reader 127.0.0.1");
  EXPECT_EQ(Call("unix:" + File("socket")).value_or(""), "token reader unix");
}

TEST_F(TlsTest, ATokenAndACertificateAddUp) {
  UseTokens();
  options_.tls.client_ca_file = File("ca.pem");
  options_.access.admin_identities = {"ops"};
  Start();
  client_.token = kReaderToken;
  Show(ca_.IssueClient("ops"));
  EXPECT_EQ(Call().value_or(""), "certificate ops 127.0.0.1");
}

TEST_F(TlsTest, ChangedTokensCountOnBothSidesWithoutARestart) {
  UseTokens();
  Start();
  ReplaceFile(File("token"), absl::StrCat("# mine\n", kReaderToken, "\n"));
  client_.token_file = File("token");
  const auto stub = v1::Executive::NewStub(NewChannel(address_, client_));
  EXPECT_EQ(CallOn(stub.get()).value_or(""), "token reader 127.0.0.1");
  const std::string next = "next-token-0123456789";
  ReplaceFile(File("reader"), absl::StrCat(next, "\n"));
  EXPECT_TRUE(Eventually(
      [&] { return CallOn(stub.get()).status().code() == absl::StatusCode::kUnauthenticated; }));
  ReplaceFile(File("token"), absl::StrCat(next, "\n"));
  EXPECT_TRUE(Eventually([&] { return CallOn(stub.get()).ok(); }));
  // A file that is gone leaves the token.
  std::filesystem::remove(File("token"));
  std::filesystem::remove(File("reader"));
  const absl::Time begin = absl::Now();
  while (absl::Now() - begin < absl::Seconds(2.5)) ASSERT_TRUE(CallOn(stub.get()).ok());
}

TEST_F(TlsTest, ATokenNeverGoesInClearToAnotherHost) {
  client_.tls = {};
  client_.token = kReaderToken;
  for (const char* address :
       {"10.1.2.3:3000", "example.com:3000", "0.0.0.0:3000", "dns:///127.0.0.1:3000"}) {
    const absl::Status status = CheckChannel(address, client_);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(address), HasSubstr("--client_tls"), Not(HasSubstr(kReaderToken))));
    // Whoever did not ask learns it from the call.
    EXPECT_EQ(Call(address).status(), status);
  }
  for (const char* address : {"127.0.0.1:3000", "localhost:3000", "[::1]:3000", "unix:/run/x"}) {
    EXPECT_TRUE(CheckChannel(address, client_).ok()) << address;
  }
  client_.tls.enabled = true;
  EXPECT_TRUE(CheckChannel("10.1.2.3:3000", client_).ok());
  // Without a token there is nothing to protect.
  client_ = {};
  EXPECT_TRUE(CheckChannel("10.1.2.3:3000", client_).ok());
}

TEST_F(TlsTest, AChannelThatCannotBeMadeSaysWhy) {
  client_.tls.ca_file = File("none");
  EXPECT_THAT(std::string(Call("127.0.0.1:1").status().message()),
              AllOf(HasSubstr("--client_tls_ca_file"), HasSubstr(File("none"))));
  client_ = {};
  client_.token_file = File("none");
  EXPECT_THAT(std::string(Call("127.0.0.1:1").status().message()),
              AllOf(HasSubstr("--token_file"), HasSubstr(File("none"))));
  client_ = {};
  client_.token = "hunter2";
  EXPECT_THAT(std::string(CheckChannel("127.0.0.1:1", client_).message()),
              AllOf(HasSubstr("7 characters"), Not(HasSubstr("hunter2"))));
}

TEST_F(TlsTest, AServerWithFilesThatCannotBeUsedDoesNotStart) {
  const auto error = [this] {
    const absl::Status status = Server::Start(options_, {&service_}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  options_.tls.key_file = File("none");
  EXPECT_THAT(error(), AllOf(HasSubstr("--tls_key_file"), HasSubstr(File("none"))));
  Write(other_ca_.IssueServer(), "other");
  options_.tls.key_file = File("other.key");
  EXPECT_THAT(error(), HasSubstr("does not belong"));
  options_.tls.key_file = File("server.key");
  options_.access.admin_identities = {"ops"};
  EXPECT_THAT(error(), HasSubstr("--tls_client_ca_file"));
}

TEST_F(TlsTest, AServerListensBeyondLoopbackWithTlsAndRolesOnly) {
  options_.listen = {"0.0.0.0:0"};
  const auto start = [this] { return Server::Start(options_, {&service_}).status(); };
  EXPECT_EQ(start().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(start().message()),
              AllOf(HasSubstr("0.0.0.0:0"), HasSubstr("--admin_token_file")));
  UseTokens();
  EXPECT_TRUE(start().ok()) << start();
  options_.tls = {};
  EXPECT_THAT(std::string(start().message()), HasSubstr("--tls_cert_file"));
  options_.access = {};
  EXPECT_EQ(start().code(), absl::StatusCode::kFailedPrecondition);
  options_.insecure = true;
  EXPECT_TRUE(start().ok()) << start();
}

TEST_F(TlsTest, TellsWhatGoesInClear) {
  client_.tls = {};
  EXPECT_TRUE(GoesInClear("10.1.2.3:3000", client_));
  EXPECT_FALSE(GoesInClear("127.0.0.1:3000", client_));
  EXPECT_FALSE(GoesInClear("unix:/run/x", client_));
  client_.tls.enabled = true;
  EXPECT_FALSE(GoesInClear("10.1.2.3:3000", client_));
}

}  // namespace
}  // namespace ctlstore::rpc
