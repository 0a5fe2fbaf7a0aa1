#include "reflector/reflector_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::MetricType;
using Label = prometheus::ClientMetric::Label;

// From a single entry to the largest batch on a slow disk.
const Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                              0.1,    0.25,  0.5,    1,     2.5,  5,     10};

constexpr ReplicationState kStates[] = {
    ReplicationState::kStarting,        ReplicationState::kCatchingUp,
    ReplicationState::kCurrent,         ReplicationState::kUpstreamUnavailable,
    ReplicationState::kLedgerBehind,    ReplicationState::kNeedsSnapshot,
    ReplicationState::kEntryFailed,     ReplicationState::kDiskFull,
    ReplicationState::kLdbUnavailable,  ReplicationState::kRebuilding,
    ReplicationState::kFetchingSnapshot};

prometheus::Family<Counter>& CounterFamily(prometheus::Registry* registry, const char* name,
                                           const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

// 0 where there is none. A link's own size says nothing.
double FileBytes(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 ? static_cast<double>(file.st_size) : 0;
}

double Seconds(absl::Duration duration) { return std::max(0.0, absl::ToDoubleSeconds(duration)); }

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

// One metric with a value for each local database.
class Family {
 public:
  Family(const char* name, const char* help, MetricType type) {
    family_.name = name;
    family_.help = help;
    family_.type = type;
  }

  void Add(const LdbSample& sample, double value, std::vector<Label> labels = {}) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    metric.label.insert(metric.label.begin(), Label{"ldb", sample.path});
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family_.metric.push_back(std::move(metric));
  }

  const prometheus::MetricFamily& family() const { return family_; }

 private:
  prometheus::MetricFamily family_;
};

}  // namespace

class ReflectorMetrics::Impl {
 public:
  Impl(prometheus::Registry* registry, const std::string& ldb_path)
      : ldb_path_(ldb_path),
        entries_(CounterFamily(registry, "ctlstore_reflector_entries_applied_total",
                               "Ledger entries committed to the local database")
                     .Add({{"ldb", ldb_path}})),
        transactions_(CounterFamily(registry, "ctlstore_reflector_transactions_applied_total",
                                    "Ledger transactions committed to the local database")
                          .Add({{"ldb", ldb_path}})),
        commits_(CounterFamily(registry, "ctlstore_reflector_commits_total",
                               "Transactions of the local database")
                     .Add({{"ldb", ldb_path}})),
        apply_seconds_(prometheus::BuildHistogram()
                           .Name("ctlstore_reflector_apply_seconds")
                           .Help("Duration of applying what was there of the ledger")
                           .Register(*registry)
                           .Add({{"ldb", ldb_path}}, kSeconds)),
        errors_(CounterFamily(registry, "ctlstore_reflector_errors_total",
                              "Tries that failed and were made again, by step and reason")) {}

  void Read(const absl::Status& status) { CountError("read", status); }

  void Applied(const absl::Status& status, absl::Duration duration,
               const ldb::LdbWriter::Applied& applied) {
    apply_seconds_.Observe(Seconds(duration));
    entries_.Increment(static_cast<double>(applied.entries));
    transactions_.Increment(static_cast<double>(applied.transactions));
    commits_.Increment(static_cast<double>(applied.commits));
    CountError("apply", status);
  }

 private:
  void CountError(const char* step, const absl::Status& status) {
    if (status.ok() || absl::IsCancelled(status)) return;
    const std::string reason =
        ErrorReason(status).value_or(absl::StatusCodeToString(status.code()));
    errors_.Add({{"ldb", ldb_path_}, {"step", step}, {"reason", reason}}).Increment();
  }

  const std::string ldb_path_;
  Counter& entries_;
  Counter& transactions_;
  Counter& commits_;
  Histogram& apply_seconds_;
  prometheus::Family<Counter>& errors_;
};

ReflectorMetrics::ReflectorMetrics(prometheus::Registry* registry, const std::string& ldb_path)
    : impl_(std::make_unique<Impl>(registry, ldb_path)) {}

ReflectorMetrics::~ReflectorMetrics() = default;

void ReflectorMetrics::Read(const absl::Status& status) { impl_->Read(status); }

void ReflectorMetrics::Applied(const absl::Status& status, absl::Duration duration,
                               const ldb::LdbWriter::Applied& applied) {
  impl_->Applied(status, duration, applied);
}

ReflectorStates::ReflectorStates(std::function<std::vector<LdbSample>()> samples, Clock* clock)
    : samples_(std::move(samples)), clock_(clock) {}

rpc::MetricFamilies ReflectorStates::Collect() const {
  const auto gauge = [](const char* name, const char* help) {
    return Family(name, help, MetricType::Gauge);
  };
  const auto counter = [](const char* name, const char* help) {
    return Family(name, help, MetricType::Counter);
  };
  Family state = gauge("ctlstore_reflector_state", "1 for the state that it is in");
  Family ready = gauge("ctlstore_reflector_ready", "Whether this local database is ready");
  Family applied = gauge("ctlstore_reflector_applied_sequence",
                         "The last ledger sequence that the local database has");
  Family lag_sequences = gauge("ctlstore_reflector_lag_sequences",
                               "Ledger sequences that the local database does not have yet");
  Family lag = gauge("ctlstore_reflector_lag_seconds",
                     "How old the local database is at most: the time since the newest heartbeat "
                     "or entry that it has");
  Family behind = gauge("ctlstore_reflector_behind_seconds",
                        "Since when the local database has not been known to have all of the "
                        "ledger");
  Family caught_up = gauge("ctlstore_reflector_caught_up",
                           "Whether the last try succeeded and went to the ledger's end");
  Family failures =
      gauge("ctlstore_reflector_failures", "Tries that failed since the last success");
  Family last_success = gauge("ctlstore_reflector_last_success_timestamp_seconds",
                              "When the ledger was last read and applied, as Unix time");
  Family last_caught_up = gauge("ctlstore_reflector_last_caught_up_timestamp_seconds",
                                "When the local database last had all of the ledger, as Unix time");
  Family gaps = counter("ctlstore_reflector_ledger_gaps_total",
                        "Gaps in the ledger's sequences that were accepted");
  Family queue =
      gauge("ctlstore_reflector_queue_bytes", "What was read of the ledger and is not applied yet");
  Family upstream = gauge("ctlstore_reflector_upstream_info", "1 for the upstream in use");
  Family switches =
      counter("ctlstore_reflector_upstream_switches_total", "How often another upstream was taken");
  Family ldb_bytes = gauge("ctlstore_reflector_ldb_bytes", "Size of the local database's file");
  Family wal_bytes = gauge("ctlstore_reflector_ldb_wal_bytes", "Size of the local database's WAL");
  Family checkpoints =
      counter("ctlstore_reflector_checkpoints_total", "Tries to empty the WAL, by outcome");
  Family blocked = gauge("ctlstore_reflector_checkpoint_blocked_seconds",
                         "Since when a reader has kept the WAL from being emptied; 0 where none");
  Family rebuilds =
      counter("ctlstore_reflector_rebuilds_total", "Local databases that were put in place anew");
  Family rebuild_sequence = gauge("ctlstore_reflector_rebuild_sequence",
                                  "How far the one is that is being built; 0 where none is");
  Family skipped = gauge("ctlstore_reflector_skipped_entries",
                         "Entries that were skipped by an operator in this local database");
  Family fetch_bytes =
      gauge("ctlstore_reflector_snapshot_fetch_bytes",
            "What is there of the snapshot that is being fetched; 0 where none is");
  Family fetch_total = gauge("ctlstore_reflector_snapshot_fetch_total_bytes",
                             "The size of the snapshot that is being fetched; 0 where none is");
  Family fetches = counter("ctlstore_reflector_snapshot_fetches_total",
                           "How often a snapshot was looked for, by outcome");
  Family lines = counter("ctlstore_reflector_changelog_lines_total",
                         "Lines of the changelog, written or lost");
  Family rotations = counter("ctlstore_reflector_changelog_rotations_total",
                             "How often the changelog's file was begun anew");

  for (const LdbSample& sample : samples_()) {
    for (const ReplicationState each : kStates) {
      state.Add(sample, sample.state.replication == each ? 1 : 0,
                {{"state", std::string(ReplicationStateName(each))}});
    }
    ready.Add(sample, sample.ready ? 1 : 0);
    const int64_t sequence = sample.info.applied_sequence;
    applied.Add(sample, static_cast<double>(sequence));
    lag_sequences.Add(
        sample, static_cast<double>(std::max<int64_t>(0, sample.state.ledger_sequence - sequence)));
    if (sample.lag >= absl::ZeroDuration()) lag.Add(sample, Seconds(sample.lag));
    caught_up.Add(sample, sample.state.caught_up ? 1 : 0);
    failures.Add(sample, static_cast<double>(sample.state.failures));
    if (sample.state.last_success.has_value()) {
      last_success.Add(sample, UnixSeconds(*sample.state.last_success));
    }
    if (sample.state.last_caught_up.has_value()) {
      last_caught_up.Add(sample, UnixSeconds(*sample.state.last_caught_up));
      behind.Add(sample, sample.state.caught_up
                             ? 0
                             : Seconds(clock_->SteadyNow() - sample.state.last_caught_up_steady));
    }
    gaps.Add(sample, static_cast<double>(sample.ledger_gaps));
    queue.Add(sample, static_cast<double>(sample.queue_bytes));
    if (!sample.upstream.empty()) upstream.Add(sample, 1, {{"upstream", sample.upstream}});
    switches.Add(sample, static_cast<double>(sample.upstream_switches));
    ldb_bytes.Add(sample, FileBytes(sample.path));
    wal_bytes.Add(sample, static_cast<double>(sample.info.wal.bytes));
    checkpoints.Add(sample, static_cast<double>(sample.info.wal.checkpoints), {{"outcome", "ok"}});
    checkpoints.Add(sample, static_cast<double>(sample.info.wal.blocked_checkpoints),
                    {{"outcome", "blocked"}});
    checkpoints.Add(sample, static_cast<double>(sample.info.wal.failed_checkpoints),
                    {{"outcome", "failed"}});
    blocked.Add(sample, sample.info.wal.blocked_since.has_value()
                            ? Seconds(clock_->Now() - *sample.info.wal.blocked_since)
                            : 0);
    rebuilds.Add(sample, static_cast<double>(sample.info.rebuilds));
    const snapshot::FetchProgress fetch = sample.info.fetch.value_or(snapshot::FetchProgress());
    fetch_bytes.Add(sample, static_cast<double>(fetch.bytes_done));
    fetch_total.Add(sample, static_cast<double>(fetch.bytes_total));
    fetches.Add(sample, static_cast<double>(sample.info.snapshots_fetched), {{"outcome", "taken"}});
    fetches.Add(sample, static_cast<double>(sample.info.snapshot_fetches_failed),
                {{"outcome", "failed"}});
    rebuild_sequence.Add(sample, static_cast<double>(sample.info.rebuild_sequence));
    skipped.Add(sample, static_cast<double>(sample.info.skipped_entries));
    lines.Add(sample, static_cast<double>(sample.changelog.written), {{"outcome", "written"}});
    lines.Add(sample, static_cast<double>(sample.changelog.lost), {{"outcome", "lost"}});
    rotations.Add(sample, static_cast<double>(sample.changelog.rotations));
  }

  rpc::MetricFamilies families;
  for (const Family* each :
       {&state,     &ready,       &applied,     &lag_sequences, &lag,
        &behind,    &caught_up,   &failures,    &last_success,  &last_caught_up,
        &gaps,      &queue,       &upstream,    &switches,      &ldb_bytes,
        &wal_bytes, &checkpoints, &blocked,     &rebuilds,      &rebuild_sequence,
        &skipped,   &fetch_bytes, &fetch_total, &fetches,       &lines,
        &rotations}) {
    if (!each->family().metric.empty()) families.push_back(each->family());
  }
  return families;
}

}  // namespace ctlstore::reflector
