// The heartbeat against a real executive.

#include "heartbeat/heartbeat_runner.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/rpc/testing/certificates.h"
#include "common/rpc/testing/scrape.h"
#include "executive/executive_server.h"

namespace ctlstore::heartbeat {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(60);

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

class HeartbeatRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Unix sockets' paths are short.
    folder_ = "/tmp/heartbeat_XXXXXX";
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    executive_options_.ctldb.kind = ctldb::Target::Kind::kSqlite;
    executive_options_.ctldb.path = folder_ + "/ctldb.db";
    executive_options_.server.listen = {absl::StrCat("unix:", folder_, "/executive.sock")};
    options_.executive = executive_options_.server.listen[0];
    options_.credentials = {"heartbeat", "hidden word"};
    options_.heartbeat.interval = absl::Milliseconds(10);
    options_.heartbeat.max_retry_pause = absl::Milliseconds(200);
  }

  void TearDown() override {
    runner_.reset();
    StopExecutive();
    std::filesystem::remove_all(folder_);
  }

  void StartExecutive() {
    auto executive = executive::ExecutiveServer::Start(executive_options_);
    ASSERT_TRUE(executive.ok()) << executive.status();
    executive_ = *std::move(executive);
  }

  void StopExecutive() {
    if (executive_ != nullptr) executive_->Shutdown(absl::Seconds(5));
    executive_.reset();
  }

  bool Wrote(int64_t later_than_sequence = 0) {
    return Eventually([&] {
      const Heartbeat::State state = runner_->state();
      return state.last_error.ok() && state.last_sequence > later_than_sequence;
    });
  }

  std::string folder_;
  executive::ExecutiveServer::Options executive_options_;
  HeartbeatRunner::Options options_;
  std::unique_ptr<executive::ExecutiveServer> executive_;
  std::unique_ptr<HeartbeatRunner> runner_;
};

TEST_F(HeartbeatRunnerTest, WritesTheTimeIntoItsTable) {
  StartExecutive();
  const int64_t begin = absl::GetCurrentTimeNanos();
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  ASSERT_TRUE(Wrote()) << runner_->state().last_error;
  const int64_t first = runner_->state().last_sequence;
  ASSERT_TRUE(Wrote(first + 3)) << runner_->state().last_error;
  runner_->Stop();
  const int64_t end = absl::GetCurrentTimeNanos();

  auto connection = ctldb::Connection::Open(executive_options_.ctldb, {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  int rows = 0;
  const absl::Status status =
      (*connection)
          ->Query("SELECT name, value FROM ctlstore___heartbeats", {},
                  [&](absl::Span<const ValueView> row) {
                    ++rows;
                    EXPECT_EQ(row[0], ValueView("heartbeat"));
                    EXPECT_EQ(row[1].kind(), ValueKind::kInteger);
                    EXPECT_GE(row[1].integer(), begin);
                    EXPECT_LE(row[1].integer(), end);
                    // To the nanosecond.
                    EXPECT_EQ(row[1].integer(), absl::ToUnixNanos(*runner_->state().last_written));
                    return absl::OkStatus();
                  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(rows, 1);
}

TEST_F(HeartbeatRunnerTest, WritesOverTls) {
  const rpc::testing::CertificateAuthority ca;
  const rpc::testing::Certificate server = ca.IssueServer();
  rpc::testing::ReplaceFile(folder_ + "/ca.pem", ca.cert());
  rpc::testing::ReplaceFile(folder_ + "/server.pem", server.cert);
  rpc::testing::ReplaceFile(folder_ + "/server.key", server.key);
  executive_options_.server.listen = {"127.0.0.1:0"};
  executive_options_.server.tls.cert_file = folder_ + "/server.pem";
  executive_options_.server.tls.key_file = folder_ + "/server.key";
  StartExecutive();
  options_.executive = executive_->addresses()[0];
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  ASSERT_TRUE(Eventually([&] { return runner_->state().failures > 0; }));
  EXPECT_THAT(runner_->state().last_error.ToString(), HasSubstr("--client_tls"));
  options_.channel.tls.enabled = true;
  options_.channel.tls.ca_file = folder_ + "/ca.pem";
  options_.channel.token = "admin-token-0123456789";
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  EXPECT_TRUE(Wrote()) << runner_->state().last_error;
}

TEST_F(HeartbeatRunnerTest, BeginsWhenTheExecutiveComes) {
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  ASSERT_TRUE(Eventually([&] { return runner_->state().failures > 1; }));
  EXPECT_EQ(runner_->state().last_error.code(), absl::StatusCode::kUnavailable)
      << runner_->state().last_error;
  StartExecutive();
  EXPECT_TRUE(Wrote()) << runner_->state().last_error;
}

TEST_F(HeartbeatRunnerTest, MakesItsTableAgainOnANewCtldb) {
  StartExecutive();
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  ASSERT_TRUE(Wrote(3)) << runner_->state().last_error;
  StopExecutive();
  ASSERT_TRUE(Eventually([&] { return runner_->state().failures > 0; }));
  executive_options_.ctldb.path = folder_ + "/other.db";
  StartExecutive();
  ASSERT_TRUE(Wrote()) << runner_->state().last_error;
}

TEST_F(HeartbeatRunnerTest, SaysThatItsWriterHasAnotherSecret) {
  StartExecutive();
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  ASSERT_TRUE(Wrote()) << runner_->state().last_error;
  options_.credentials.secret = "another word";
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  ASSERT_TRUE(Eventually([&] { return runner_->state().failures > 1; }));
  const absl::Status error = runner_->state().last_error;
  EXPECT_EQ(error.code(), absl::StatusCode::kAlreadyExists) << error;
  EXPECT_THAT(error.ToString(), Not(HasSubstr("word")));
}

TEST_F(HeartbeatRunnerTest, StopsAtOnceWhileTheExecutiveDoesNotAnswer) {
  // Takes connections, and never says a word.
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(listener, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  options_.executive = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  options_.call_timeout = absl::Hours(10);
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  // Once somebody has connected, the call is under way.
  const int connection = accept(listener, nullptr, nullptr);
  ASSERT_GE(connection, 0);
  runner_->Stop();
  EXPECT_EQ(runner_->state().last_sequence, 0);
  close(connection);
  close(listener);
}

TEST_F(HeartbeatRunnerTest, TellsPrometheusHowItDoes) {
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  rpc::HttpServer::Options http;
  http.listen = "127.0.0.1:0";
  const auto address = runner_->ServeMetrics(http);
  ASSERT_TRUE(address.ok()) << address.status();

  // The executive is away.
  ASSERT_TRUE(Eventually([&] { return runner_->state().failures > 0; }));
  auto answer = rpc::testing::Ask(*address, "/readyz");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 503);
  auto metrics = rpc::testing::Scrape(*address);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->Get("ctlstore_ready"), 0);
  EXPECT_GE(metrics->Get(R"(ctlstore_heartbeat_errors_total{method="Mutate",reason="UNAVAILABLE"})")
                .value_or(0),
            1);
  EXPECT_GE(metrics->Get("ctlstore_heartbeat_failures").value_or(0), 1);
  EXPECT_EQ(metrics->Get("ctlstore_heartbeat_beats_total"), 0);
  EXPECT_FALSE(metrics->Get("ctlstore_heartbeat_last_success_timestamp_seconds").has_value());

  StartExecutive();
  const int64_t begin = absl::GetCurrentTimeNanos();
  ASSERT_TRUE(Wrote(3)) << runner_->state().last_error;
  ASSERT_TRUE(Eventually([&] { return runner_->Readiness().ok(); }));
  answer = rpc::testing::Ask(*address, "/readyz");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 200);
  metrics = rpc::testing::Scrape(*address);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_GE(metrics->Get("ctlstore_heartbeat_beats_total").value_or(0), 1);
  EXPECT_GE(metrics->Get("ctlstore_heartbeat_beat_seconds_count").value_or(0), 1);
  EXPECT_EQ(metrics->Get("ctlstore_heartbeat_failures"), 0);
  EXPECT_GT(metrics->Get("ctlstore_heartbeat_last_sequence").value_or(0), 3);
  EXPECT_GT(metrics->Get("ctlstore_heartbeat_last_success_timestamp_seconds").value_or(0),
            static_cast<double>(begin) / 1e9 - 60);

  runner_->Stop();
  EXPECT_FALSE(rpc::testing::Ask(*address, "/livez").ok());
}

TEST_F(HeartbeatRunnerTest, StopMayBeCalledAgain) {
  StartExecutive();
  runner_ = std::make_unique<HeartbeatRunner>(options_);
  runner_->Stop();
  runner_->Stop();
}

}  // namespace
}  // namespace ctlstore::heartbeat
