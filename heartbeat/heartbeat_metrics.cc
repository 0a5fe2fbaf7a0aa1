#include "heartbeat/heartbeat_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/schema/errors.h"

namespace ctlstore::heartbeat {
namespace {

using prometheus::Counter;
using prometheus::Histogram;

// From a fast executive to the time after which a call is given up.
const Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,  0.5,    1,     2.5,  5,     10};

}  // namespace

class MeteredExecutive::Impl {
 public:
  Impl(Heartbeat::Executive* executive, prometheus::Registry* registry)
      : executive_(executive),
        beats_(prometheus::BuildCounter()
                   .Name("ctlstore_heartbeat_beats_total")
                   .Help("Heartbeats written")
                   .Register(*registry)
                   .Add({})),
        beat_seconds_(prometheus::BuildHistogram()
                          .Name("ctlstore_heartbeat_beat_seconds")
                          .Help("How long the executive took to write a heartbeat, or to refuse it")
                          .Register(*registry)
                          .Add({}, kSeconds)),
        errors_(prometheus::BuildCounter()
                    .Name("ctlstore_heartbeat_errors_total")
                    .Help("Calls of the executive that failed, by method and reason")
                    .Register(*registry)) {}

  Heartbeat::Executive* executive() const { return executive_; }

  absl::Status Counted(const char* method, absl::Status status) {
    if (!status.ok()) {
      const std::string reason =
          ErrorReason(status).value_or(absl::StatusCodeToString(status.code()));
      errors_.Add({{"method", method}, {"reason", reason}}).Increment();
    }
    return status;
  }

  void Beat(bool written, absl::Duration duration) {
    if (written) beats_.Increment();
    // The clock may have been set back meanwhile.
    beat_seconds_.Observe(std::max(0.0, absl::ToDoubleSeconds(duration)));
  }

 private:
  Heartbeat::Executive* const executive_;
  Counter& beats_;
  Histogram& beat_seconds_;
  prometheus::Family<Counter>& errors_;
};

MeteredExecutive::MeteredExecutive(Heartbeat::Executive* executive, prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(executive, registry)) {}

MeteredExecutive::~MeteredExecutive() = default;

absl::Status MeteredExecutive::RegisterWriter() {
  return impl_->Counted("RegisterWriter", impl_->executive()->RegisterWriter());
}

absl::Status MeteredExecutive::CreateFamily(absl::string_view family) {
  return impl_->Counted("CreateFamily", impl_->executive()->CreateFamily(family));
}

absl::Status MeteredExecutive::CreateTable(const TableSchema& schema) {
  return impl_->Counted("CreateTable", impl_->executive()->CreateTable(schema));
}

absl::StatusOr<int64_t> MeteredExecutive::Mutate(const TableSchema& schema,
                                                 absl::Span<const ValueView> row) {
  const absl::Time begin = absl::Now();
  absl::StatusOr<int64_t> sequence = impl_->executive()->Mutate(schema, row);
  impl_->Beat(sequence.ok(), absl::Now() - begin);
  impl_->Counted("Mutate", sequence.status()).IgnoreError();
  return sequence;
}

HeartbeatStates::HeartbeatStates(std::function<Heartbeat::State()> state)
    : state_(std::move(state)) {}

rpc::MetricFamilies HeartbeatStates::Collect() const {
  rpc::MetricFamilies families;
  const Heartbeat::State state = state_();
  rpc::AddGauge("ctlstore_heartbeat_failures", "Tries that failed since the last success",
                static_cast<double>(state.failures), &families);
  if (state.last_written.has_value()) {
    rpc::AddGauge("ctlstore_heartbeat_last_success_timestamp_seconds",
                  "The time that was written last, as Unix time",
                  absl::ToDoubleSeconds(*state.last_written - absl::UnixEpoch()), &families);
    rpc::AddGauge("ctlstore_heartbeat_last_sequence",
                  "The ledger sequence of the heartbeat that was written last",
                  static_cast<double>(state.last_sequence), &families);
  }
  return families;
}

}  // namespace ctlstore::heartbeat
