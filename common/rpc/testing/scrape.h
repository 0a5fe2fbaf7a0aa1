// Asks a metrics server as Prometheus does, over a socket of its own. For tests.

#ifndef CTLSTORE_COMMON_RPC_TESTING_SCRAPE_H_
#define CTLSTORE_COMMON_RPC_TESTING_SCRAPE_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace ctlstore::rpc::testing {

struct HttpAnswer {
  int status = 0;
  // Names in lower case.
  std::map<std::string, std::string> headers;
  std::string body;
};

// One request without a body on a connection of its own. `address` is "host:port" with an IPv4
// address.
absl::StatusOr<HttpAnswer> Ask(const std::string& address, const std::string& path,
                               const std::string& method = "GET");

// What a scrape found.
class Metrics {
 public:
  // Prometheus's text format, read strictly: a sample without its type, two of the same family or
  // sample, and a histogram whose buckets do not add up are errors.
  static absl::StatusOr<Metrics> Parse(absl::string_view text);

  // A sample as it is written: `up`, `calls_total{api="grpc",code="OK"}` with the labels in the
  // order of their names.
  absl::optional<double> Get(const std::string& sample) const;

  // "counter", "gauge" or "histogram" by family.
  const std::map<std::string, std::string>& types() const { return types_; }
  const std::map<std::string, double>& samples() const { return samples_; }

 private:
  std::map<std::string, std::string> types_;
  std::map<std::string, double> samples_;
};

// GET /metrics, parsed.
absl::StatusOr<Metrics> Scrape(const std::string& address);

// The same for one sample: nullopt where it is not there or the server does not answer.
absl::optional<double> ScrapeOne(const std::string& address, const std::string& sample);

}  // namespace ctlstore::rpc::testing

#endif  // CTLSTORE_COMMON_RPC_TESTING_SCRAPE_H_
