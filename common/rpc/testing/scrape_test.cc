#include "common/rpc/testing/scrape.h"

#include <gtest/gtest.h>

#include <string>

namespace ctlstore::rpc::testing {
namespace {

TEST(ScrapeTest, ReadsSamplesWithTheirLabels) {
  const auto metrics = Metrics::Parse(
      "# HELP a_total What it is\n# TYPE a_total counter\na_total{z=\"1\",b=\"x\\\\\\\"y\"} 1.5e3\n"
      "a_total 2\n# TYPE g gauge\ng -Inf\n");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->Get("a_total{b=\"x\\\"y\",z=\"1\"}"), 1500);
  EXPECT_EQ(metrics->Get("a_total"), 2);
  EXPECT_LT(metrics->Get("g").value(), 0);
  EXPECT_FALSE(metrics->Get("h").has_value());
  EXPECT_EQ(metrics->types().at("a_total"), "counter");
}

TEST(ScrapeTest, RefusesWhatPrometheusWouldNotTakeOrMisunderstand) {
  const std::string histogram = "# TYPE h histogram\n";
  for (const std::string& text : {
           std::string("a 1\n"),
           std::string("# TYPE a gauge\na 1"),
           std::string("# TYPE a gauge\nb 1\n"),
           std::string("# TYPE a gauge\na 1\na 1\n"),
           std::string("# TYPE a gauge\na 1\n# TYPE a gauge\n"),
           std::string("# TYPE a gauge\na{b=\"1} 1\n"),
           std::string("# TYPE a gauge\na{b} 1\n"),
           std::string("# TYPE a gauge\na one\n"),
           std::string("# TYPE a thing\na 1\n"),
           std::string("# TYPE 1a gauge\n1a 1\n"),
           histogram + "h_sum 1\nh_count 1\n",
           histogram + "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
           histogram + "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
           histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
       }) {
    EXPECT_FALSE(Metrics::Parse(text).ok()) << text;
  }
  EXPECT_TRUE(Metrics::Parse(histogram +
                             "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 9\nh_count 2\n")
                  .ok());
}

}  // namespace
}  // namespace ctlstore::rpc::testing
