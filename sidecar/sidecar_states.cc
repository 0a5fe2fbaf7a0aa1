#include "sidecar/sidecar_states.h"

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::sidecar {

namespace {

void AddReaderStats(const ldb::ReaderStats& stats, rpc::MetricFamilies* families) {
  const auto counter = [families](const char* name, const char* help, int64_t value) {
    rpc::AddCounter(name, help, static_cast<double>(value), families);
  };
  const auto gauge = [families](const char* name, const char* help, double value) {
    rpc::AddGauge(name, help, value, families);
  };
  counter("ctlstore_sidecar_cache_hits_total", "Reads of a row that the row cache answered",
          stats.cache_hits);
  counter("ctlstore_sidecar_cache_misses_total", "Reads of a row that it did not answer",
          stats.cache_misses);
  gauge("ctlstore_sidecar_cache_rows", "Rows in the row cache",
        static_cast<double>(stats.cache_rows));
  gauge("ctlstore_sidecar_cache_bytes", "Memory that the row cache takes",
        static_cast<double>(stats.cache_bytes));
  gauge("ctlstore_sidecar_cache_max_bytes", "Memory that it may take (--cache_bytes)",
        static_cast<double>(stats.cache_max_bytes));
  counter("ctlstore_sidecar_cache_evicted_total", "Rows that made room for others in the row cache",
          stats.cache_evicted);
  counter("ctlstore_sidecar_cache_invalidated_total",
          "Rows that were taken out of the row cache because they changed",
          stats.cache_invalidated);
  counter("ctlstore_sidecar_cache_tables_invalidated_total",
          "How often all rows of a table, or of all, were taken out of the row cache",
          stats.cache_tables_invalidated);
  gauge("ctlstore_sidecar_ldb_connections", "Connections to the local database's file",
        static_cast<double>(stats.connections));
  counter("ctlstore_sidecar_ldb_replaced_total",
          "How often another file has taken the local database's place", stats.files_replaced);
  gauge("ctlstore_sidecar_freshness_page",
        "Whether the reflector's freshness page is used, without which no row is cached",
        stats.has_freshness_page ? 1 : 0);
}

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

SidecarStates::SidecarStates(ldb::Reader* reader, const SidecarService* service, size_t max_waits,
                             Clock* clock)
    : reader_(reader), service_(service), max_waits_(max_waits), clock_(clock) {}

rpc::MetricFamilies SidecarStates::Collect() const {
  rpc::MetricFamilies families;
  AddWatches(service_->watch_stats(), &families);
  const absl::StatusOr<ldb::Position> position = reader_->GetPosition();
  rpc::AddGauge("ctlstore_sidecar_ldb_readable",
                "Whether there is a local database that can be read", position.ok() ? 1 : 0,
                &families);
  AddReaderStats(reader_->stats(), &families);
  rpc::AddGauge("ctlstore_sidecar_waits", "Calls that wait for a ledger sequence",
                static_cast<double>(service_->waiting()), &families);
  rpc::AddGauge("ctlstore_sidecar_max_waits", "How many may wait (--max_waits)",
                static_cast<double>(max_waits_), &families);
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
