#include "reflector/reflector_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

using prometheus::Counter;
using prometheus::Histogram;

// From an empty answer of the ctldb to the largest batch on a slow disk.
const Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                              0.1,    0.25,  0.5,    1,     2.5,  5,     10};

Counter& AddCounter(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry).Add({});
}

Histogram& AddHistogram(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry).Add({}, kSeconds);
}

// 0 where there is none.
double FileBytes(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 ? static_cast<double>(file.st_size) : 0;
}

// The clock may have been set back meanwhile.
double Seconds(absl::Duration duration) { return std::max(0.0, absl::ToDoubleSeconds(duration)); }

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

}  // namespace

class ReflectorMetrics::Impl {
 public:
  explicit Impl(prometheus::Registry* registry)
      : entries_(AddCounter(registry, "ctlstore_reflector_entries_applied_total",
                            "Ledger entries committed to the local database")),
        transactions_(AddCounter(registry, "ctlstore_reflector_transactions_applied_total",
                                 "Ledger transactions committed to the local database")),
        read_seconds_(AddHistogram(registry, "ctlstore_reflector_read_seconds",
                                   "Duration of one look at the ledger")),
        apply_seconds_(AddHistogram(registry, "ctlstore_reflector_apply_seconds",
                                    "Duration of applying what one look at the ledger found")),
        errors_(prometheus::BuildCounter()
                    .Name("ctlstore_reflector_errors_total")
                    .Help("Tries that failed and were made again, by step and reason")
                    .Register(*registry)) {}

  void Read(const absl::Status& status, absl::Duration duration) {
    read_seconds_.Observe(Seconds(duration));
    CountError("read", status);
  }

  void Applied(const absl::Status& status, absl::Duration duration,
               const ldb::LdbWriter::Applied& applied) {
    apply_seconds_.Observe(Seconds(duration));
    entries_.Increment(static_cast<double>(applied.entries));
    transactions_.Increment(static_cast<double>(applied.transactions));
    CountError("apply", status);
  }

 private:
  void CountError(const char* step, const absl::Status& status) {
    if (status.ok()) return;
    const std::string reason =
        ErrorReason(status).value_or(absl::StatusCodeToString(status.code()));
    errors_.Add({{"step", step}, {"reason", reason}}).Increment();
  }

  Counter& entries_;
  Counter& transactions_;
  Histogram& read_seconds_;
  Histogram& apply_seconds_;
  prometheus::Family<Counter>& errors_;
};

ReflectorMetrics::ReflectorMetrics(prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(registry)) {}

ReflectorMetrics::~ReflectorMetrics() = default;

void ReflectorMetrics::Read(const absl::Status& status, absl::Duration duration) {
  impl_->Read(status, duration);
}

void ReflectorMetrics::Applied(const absl::Status& status, absl::Duration duration,
                               const ldb::LdbWriter::Applied& applied) {
  impl_->Applied(status, duration, applied);
}

ReflectorStates::ReflectorStates(std::function<Reflector::State()> state,
                                 std::function<int64_t()> ledger_gaps, std::string ldb_path,
                                 Clock* clock)
    : state_(std::move(state)),
      ledger_gaps_(std::move(ledger_gaps)),
      ldb_path_(std::move(ldb_path)),
      clock_(clock),
      reader_(ldb_path_) {}

rpc::MetricFamilies ReflectorStates::Collect() const {
  rpc::MetricFamilies families;
  const Reflector::State state = state_();
  rpc::AddGauge("ctlstore_reflector_applied_sequence",
                "The last ledger sequence that the local database has",
                static_cast<double>(state.applied_sequence), &families);
  rpc::AddGauge("ctlstore_reflector_caught_up",
                "Whether the last look at the ledger succeeded and went to its end",
                state.caught_up() ? 1 : 0, &families);
  rpc::AddGauge("ctlstore_reflector_failures", "Tries that failed since the last success",
                static_cast<double>(state.failures), &families);
  if (state.last_success.has_value()) {
    rpc::AddGauge("ctlstore_reflector_last_success_timestamp_seconds",
                  "When the ledger was last read and applied, as Unix time",
                  UnixSeconds(*state.last_success), &families);
  }
  if (state.last_caught_up.has_value()) {
    rpc::AddGauge("ctlstore_reflector_last_caught_up_timestamp_seconds",
                  "When the local database last had all of the ledger, as Unix time",
                  UnixSeconds(*state.last_caught_up), &families);
  }
  rpc::AddCounter("ctlstore_reflector_ledger_gaps_total",
                  "Gaps in the ledger's sequences that were accepted",
                  static_cast<double>(ledger_gaps_()), &families);

  const absl::StatusOr<ldb::Position> position = reader_.GetPosition();
  const absl::optional<absl::Duration> lag =
      position.ok() ? position->Lag(clock_->Now()) : absl::nullopt;
  if (lag.has_value()) {
    rpc::AddGauge("ctlstore_reflector_lag_seconds",
                  "How old the local database is at most: the time since the newest heartbeat or "
                  "entry that it has",
                  absl::ToDoubleSeconds(*lag), &families);
  }
  rpc::AddGauge("ctlstore_reflector_ldb_bytes", "Size of the local database's file",
                FileBytes(ldb_path_), &families);
  rpc::AddGauge("ctlstore_reflector_ldb_wal_bytes", "Size of the local database's WAL",
                FileBytes(absl::StrCat(ldb_path_, "-wal")), &families);
  return families;
}

}  // namespace ctlstore::reflector
