#include "executive/executive_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

using prometheus::Histogram;

// From a fast commit to a request's longest deadline.
const Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                              0.1,    0.2,   0.5,   1,     2,    5,    10};
const Histogram::BucketBoundaries kSizes = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};

prometheus::Family<prometheus::Counter>& Counters(prometheus::Registry* registry, const char* name,
                                                  const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

prometheus::Family<prometheus::Gauge>& Gauges(prometheus::Registry* registry, const char* name,
                                              const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
}

prometheus::Family<Histogram>& Histograms(prometheus::Registry* registry, const char* name,
                                          const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry);
}

std::string ReasonOf(const absl::Status& status) {
  return ErrorReason(status).value_or(absl::StatusCodeToString(status.code()));
}

prometheus::Labels LabelsOf(const TableName& table) {
  return {{"family", table.family}, {"table", table.table}};
}

}  // namespace

class ExecutiveMetrics::Impl {
 public:
  explicit Impl(prometheus::Registry* registry)
      : group_requests(Histograms(registry, "ctlstore_executive_group_requests",
                                  "Mutate requests in one transaction of the ctldb")
                           .Add({}, kSizes)),
        group_seconds(Histograms(registry, "ctlstore_executive_group_seconds",
                                 "Duration of a transaction of the ctldb, with the wait for the "
                                 "ledger lock")
                          .Add({}, kSeconds)),
        commit_seconds(Histograms(registry, "ctlstore_executive_commit_seconds",
                                  "Duration of a commit of the ctldb")
                           .Add({}, kSeconds)),
        mutations(Counters(registry, "ctlstore_executive_mutations_total", "Mutations committed")
                      .Add({})),
        groups_split(Counters(registry, "ctlstore_executive_groups_split_total",
                              "Transactions that failed as a whole and were written request by "
                              "request")
                         .Add({})),
        last_sequence(Gauges(registry, "ctlstore_executive_last_sequence",
                             "The last ledger sequence that this executive has committed")
                          .Add({})),
        queue_requests(Gauges(registry, "ctlstore_executive_queue_requests",
                              "Mutate requests that wait for their turn")
                           .Add({})),
        queue_bytes(Gauges(registry, "ctlstore_executive_queue_bytes",
                           "Size of the Mutate requests that wait for their turn")
                        .Add({})),
        queue_requests_max(Gauges(registry, "ctlstore_executive_queue_requests_max",
                                  "How many Mutate requests may wait")
                               .Add({})),
        queue_bytes_max(Gauges(registry, "ctlstore_executive_queue_bytes_max",
                               "How large the Mutate requests that wait may be together")
                            .Add({})),
        refused(
            Counters(registry, "ctlstore_executive_refused_total", "Requests refused, by reason")),
        ctldb_errors(Counters(registry, "ctlstore_executive_ctldb_errors_total",
                              "Errors of the ctldb, by reason")),
        connections(Gauges(registry, "ctlstore_executive_ctldb_connections",
                           "Connections to the ctldb that are open")
                        .Add({})),
        connections_max(Gauges(registry, "ctlstore_executive_ctldb_connections_max",
                               "How many connections to the ctldb may be open")
                            .Add({})),
        table_bytes(Gauges(registry, "ctlstore_executive_table_bytes", "Size of a table")),
        table_warn_bytes(Gauges(registry, "ctlstore_executive_table_warn_bytes",
                                "Size from which a table is warned about")),
        table_max_bytes(Gauges(registry, "ctlstore_executive_table_max_bytes",
                               "Size from which a table takes no more rows")),
        nearest_writer_rate(Gauges(registry, "ctlstore_executive_nearest_writer_rate_ratio",
                                   "The largest share of its row rate that a writer has used in "
                                   "this period")
                                .Add({})),
        secrets(Counters(registry, "ctlstore_executive_secrets_checked_total",
                         "Writers' secrets looked at")),
        remembered_secrets(secrets.Add({{"from", "memory"}, {"result", "right"}})) {}

  Histogram& group_requests;
  Histogram& group_seconds;
  Histogram& commit_seconds;
  prometheus::Counter& mutations;
  prometheus::Counter& groups_split;
  prometheus::Gauge& last_sequence;
  prometheus::Gauge& queue_requests;
  prometheus::Gauge& queue_bytes;
  prometheus::Gauge& queue_requests_max;
  prometheus::Gauge& queue_bytes_max;
  prometheus::Family<prometheus::Counter>& refused;
  prometheus::Family<prometheus::Counter>& ctldb_errors;
  prometheus::Gauge& connections;
  prometheus::Gauge& connections_max;
  prometheus::Family<prometheus::Gauge>& table_bytes;
  prometheus::Family<prometheus::Gauge>& table_warn_bytes;
  prometheus::Family<prometheus::Gauge>& table_max_bytes;
  prometheus::Gauge& nearest_writer_rate;
  prometheus::Family<prometheus::Counter>& secrets;
  // Counted at every Mutate, and so found beforehand.
  prometheus::Counter& remembered_secrets;
};

ExecutiveMetrics::ExecutiveMetrics(prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(registry)) {}

ExecutiveMetrics::~ExecutiveMetrics() = default;

void ExecutiveMetrics::GroupCommitted(size_t requests, size_t rows, absl::Duration total,
                                      absl::Duration commit, int64_t last_sequence) {
  impl_->group_requests.Observe(static_cast<double>(requests));
  impl_->group_seconds.Observe(absl::ToDoubleSeconds(total));
  impl_->commit_seconds.Observe(absl::ToDoubleSeconds(commit));
  impl_->mutations.Increment(static_cast<double>(rows));
  impl_->last_sequence.Set(static_cast<double>(last_sequence));
}

void ExecutiveMetrics::GroupSplit() { impl_->groups_split.Increment(); }

void ExecutiveMetrics::SetQueue(size_t requests, size_t bytes) {
  impl_->queue_requests.Set(static_cast<double>(requests));
  impl_->queue_bytes.Set(static_cast<double>(bytes));
}

void ExecutiveMetrics::SetQueueCapacity(size_t requests, size_t bytes) {
  impl_->queue_requests_max.Set(static_cast<double>(requests));
  impl_->queue_bytes_max.Set(static_cast<double>(bytes));
}

void ExecutiveMetrics::Refused(const absl::Status& status) {
  impl_->refused.Add({{"reason", ReasonOf(status)}}).Increment();
}

void ExecutiveMetrics::CtldbError(const absl::Status& status) {
  impl_->ctldb_errors.Add({{"reason", ReasonOf(status)}}).Increment();
}

void ExecutiveMetrics::SetConnections(size_t open, size_t max) {
  impl_->connections.Set(static_cast<double>(open));
  impl_->connections_max.Set(static_cast<double>(max));
}

void ExecutiveMetrics::SetTableSize(const TableName& table, int64_t bytes, int64_t warn_bytes,
                                    int64_t max_bytes) {
  impl_->table_bytes.Add(LabelsOf(table)).Set(static_cast<double>(bytes));
  impl_->table_warn_bytes.Add(LabelsOf(table)).Set(static_cast<double>(warn_bytes));
  impl_->table_max_bytes.Add(LabelsOf(table)).Set(static_cast<double>(max_bytes));
}

void ExecutiveMetrics::ForgetTable(const TableName& table) {
  // A family returns the metric of the same labels where there is one.
  impl_->table_bytes.Remove(&impl_->table_bytes.Add(LabelsOf(table)));
  impl_->table_warn_bytes.Remove(&impl_->table_warn_bytes.Add(LabelsOf(table)));
  impl_->table_max_bytes.Remove(&impl_->table_max_bytes.Add(LabelsOf(table)));
}

void ExecutiveMetrics::SetNearestWriterRate(double share) { impl_->nearest_writer_rate.Set(share); }

void ExecutiveMetrics::SecretChecked(bool from_memory, bool right) {
  if (from_memory && right) {
    impl_->remembered_secrets.Increment();
    return;
  }
  impl_->secrets
      .Add({{"from", from_memory ? "memory" : "ctldb"}, {"result", right ? "right" : "wrong"}})
      .Increment();
}

}  // namespace ctlstore::executive
