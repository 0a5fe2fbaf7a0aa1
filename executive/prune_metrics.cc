#include "executive/prune_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

prometheus::Gauge& Gauge(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
}

}  // namespace

class PruneMetrics::Impl {
 public:
  explicit Impl(prometheus::Registry* registry)
      : entries(prometheus::BuildCounter()
                    .Name("ctlstore_executive_pruned_entries_total")
                    .Help("Ledger entries that this executive has removed")
                    .Register(*registry)
                    .Add({})),
        errors(prometheus::BuildCounter()
                   .Name("ctlstore_executive_prune_errors_total")
                   .Help("Rounds of pruning that failed and places for snapshots that cover "
                         "nothing, by reason")
                   .Register(*registry)),
        last_round(Gauge(registry, "ctlstore_executive_prune_last_round_timestamp_seconds",
                         "When the last round of pruning came to its end, as Unix time; 0 where "
                         "none did")),
        first_sequence(Gauge(registry, "ctlstore_executive_prune_first_sequence",
                             "The ledger's first sequence when this executive looked last")),
        covered_sequence(Gauge(registry, "ctlstore_executive_prune_covered_sequence",
                               "Up to which sequence verified snapshots in all places held the "
                               "ledger when this executive looked last")) {}

  prometheus::Counter& entries;
  prometheus::Family<prometheus::Counter>& errors;
  prometheus::Gauge& last_round;
  prometheus::Gauge& first_sequence;
  prometheus::Gauge& covered_sequence;
};

PruneMetrics::PruneMetrics(prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(registry)) {}

PruneMetrics::~PruneMetrics() = default;

void PruneMetrics::Removed(int64_t entries) {
  impl_->entries.Increment(static_cast<double>(entries));
}

void PruneMetrics::SetLedger(int64_t first_sequence, int64_t covered_sequence) {
  impl_->first_sequence.Set(static_cast<double>(first_sequence));
  impl_->covered_sequence.Set(static_cast<double>(covered_sequence));
}

void PruneMetrics::RoundDone(absl::Time when) {
  impl_->last_round.Set(absl::ToDoubleSeconds(when - absl::UnixEpoch()));
}

void PruneMetrics::Failed(const absl::Status& status) {
  impl_->errors
      .Add({{"reason", ErrorReason(status).value_or(absl::StatusCodeToString(status.code()))}})
      .Increment();
}

}  // namespace ctlstore::executive
