#include "sidecar/sidecar_states.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::sidecar {

SidecarStates::SidecarStates(ldb::Reader* reader, Clock* clock) : reader_(reader), clock_(clock) {}

rpc::MetricFamilies SidecarStates::Collect() const {
  rpc::MetricFamilies families;
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
