#include "sidecar/sidecar_states.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::sidecar {

namespace {

void AddWatches(const Watches::Stats& stats, rpc::MetricFamilies* families) {
  rpc::AddGauge("ctlstore_sidecar_watches", "Watch calls under way",
                static_cast<double>(stats.watches), families);
  rpc::AddGauge("ctlstore_sidecar_watches_max", "How many may be under way",
                static_cast<double>(stats.max_watches), families);
  rpc::AddCounter("ctlstore_sidecar_watch_changes_sent_total",
                  "Changes sent to all watches together", static_cast<double>(stats.changes_sent),
                  families);
  rpc::AddCounter("ctlstore_sidecar_watch_resets_sent_total",
                  "How often a watch was told that everything may have changed",
                  static_cast<double>(stats.resets_sent), families);
}

}  // namespace

SidecarStates::SidecarStates(ldb::Reader* reader, const SidecarService* service, Clock* clock)
    : reader_(reader), service_(service), clock_(clock) {}

rpc::MetricFamilies SidecarStates::Collect() const {
  rpc::MetricFamilies families;
  AddWatches(service_->watch_stats(), &families);
  const absl::StatusOr<ldb::Position> position = reader_->GetPosition();
  rpc::AddGauge("ctlstore_sidecar_ldb_readable",
                "Whether there is a local database that can be read", position.ok() ? 1 : 0,
                &families);
  if (!position.ok()) return families;
  rpc::AddGauge("ctlstore_sidecar_applied_sequence",
                "The last ledger sequence that the local database has",
                static_cast<double>(position->applied_sequence), &families);
  const absl::optional<absl::Duration> lag = position->Lag(clock_->Now());
  if (lag.has_value()) {
    rpc::AddGauge("ctlstore_sidecar_lag_seconds",
                  "How old the local database is at most: the time since the newest heartbeat or "
                  "entry that it has",
                  absl::ToDoubleSeconds(*lag), &families);
  }
  return families;
}

}  // namespace ctlstore::sidecar
