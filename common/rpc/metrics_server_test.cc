#include "common/rpc/metrics_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "common/rpc/call_metrics.h"
#include "common/rpc/metric_families.h"
#include "common/rpc/testing/scrape.h"

namespace ctlstore::rpc {
namespace {

using ::testing::HasSubstr;

class States : public prometheus::Collectable {
 public:
  MetricFamilies Collect() const override {
    MetricFamilies families;
    AddGauge("a_state", "A state", ++asked_, &families);
    AddCounter("a_count_total", "A count", 1e15 + 1, &families);
    return families;
  }

 private:
  mutable std::atomic<int> asked_{0};
};

class MetricsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    auto server = MetricsServer::Start(
        options, &registry_,
        [this] { return ready_ ? absl::OkStatus() : absl::UnavailableError("the ctldb is away"); },
        &states_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  testing::HttpAnswer Ask(const std::string& path, const std::string& method = "GET") {
    auto answer = testing::Ask(server_->address(), path, method);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : testing::HttpAnswer();
  }

  prometheus::Registry registry_;
  States states_;
  std::atomic<bool> ready_{true};
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, ServesTheRegistryTheStatesAndTheProcess) {
  CallMetrics calls("grpc", &registry_);
  calls.Record("Mutate", absl::StatusCode::kOk, absl::Milliseconds(1));
  prometheus::BuildGauge().Name("odd").Help("Odd").Register(registry_).Add(
      {{"table", "a\"b\\c\nd"}});
  const testing::HttpAnswer answer = Ask("/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const auto metrics = testing::Metrics::Parse(answer.body);
  ASSERT_TRUE(metrics.ok()) << metrics.status() << "\n" << answer.body;
  EXPECT_EQ(metrics->Get(R"(ctlstore_calls_total{api="grpc",code="OK",method="Mutate"})"), 1);
  EXPECT_EQ(metrics->Get("odd{table=\"a\"b\\c\nd\"}"), 0);
  EXPECT_EQ(metrics->Get("a_count_total"), 1e15 + 1);
  EXPECT_EQ(metrics->types().at("a_count_total"), "counter");
  EXPECT_EQ(metrics->types().at("a_state"), "gauge");
  EXPECT_EQ(metrics->types().at("ctlstore_call_seconds"), "histogram");
  for (const char* name : {"process_resident_memory_bytes", "process_cpu_seconds_total",
                           "process_open_fds", "process_start_time_seconds"}) {
    EXPECT_GT(metrics->Get(name).value_or(0), 0) << name;
  }
}

TEST_F(MetricsServerTest, StatesAreAskedAtEachScrape) {
  EXPECT_EQ(testing::ScrapeOne(server_->address(), "a_state"), 1);
  EXPECT_EQ(testing::ScrapeOne(server_->address(), "a_state"), 2);
}

TEST_F(MetricsServerTest, ReadinessFollowsTheService) {
  EXPECT_EQ(Ask("/readyz").status, 200);
  EXPECT_EQ(testing::ScrapeOne(server_->address(), "ctlstore_ready"), 1);
  ready_ = false;
  const testing::HttpAnswer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("the ctldb is away"));
  EXPECT_EQ(testing::ScrapeOne(server_->address(), "ctlstore_ready"), 0);
  // The process lives, and must not be killed for what is elsewhere.
  EXPECT_EQ(Ask("/livez").status, 200);
  ready_ = true;
  EXPECT_EQ(Ask("/readyz").status, 200);
}

TEST_F(MetricsServerTest, OtherPathsAndMethodsAreRefused) {
  for (const char* path : {"/", "/metricsx", "/metrics/x", "/%6detrics", "/debug"}) {
    const testing::HttpAnswer answer = Ask(path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_THAT(answer.body, HasSubstr("/metrics")) << path;
  }
  for (const char* path : {"/metrics", "/livez", "/readyz"}) {
    for (const char* method : {"POST", "PUT", "DELETE"}) {
      const testing::HttpAnswer answer = Ask(path, method);
      EXPECT_EQ(answer.status, 405) << method << " " << path;
      EXPECT_EQ(answer.headers.at("allow"), "GET") << method << " " << path;
    }
  }
  // A query is no other path.
  EXPECT_EQ(Ask("/livez?verbose").status, 200);
}

TEST_F(MetricsServerTest, AnAddressThatIsTakenIsNamed) {
  HttpServer::Options options;
  options.listen = server_->address();
  const auto second = MetricsServer::Start(options, &registry_, [] { return absl::OkStatus(); });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->address()));
}

TEST_F(MetricsServerTest, NobodyAnswersAfterItsEnd) {
  const std::string address = server_->address();
  server_.reset();
  EXPECT_FALSE(testing::Ask(address, "/livez").ok());
}

}  // namespace
}  // namespace ctlstore::rpc
