#include "supervisor/supervisor_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>

#include "common/schema/errors.h"

namespace ctlstore::supervisor {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

// From a small copy on a fast disk to 10 GB over a slow link.
const Histogram::BucketBoundaries kSeconds = {0.05, 0.1, 0.25, 0.5, 1,   2.5,  5,   10,
                                              20,   40,  80,   160, 320, 1280, 5120};

prometheus::Family<Counter>& CounterFamily(prometheus::Registry* registry, const char* name,
                                           const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

prometheus::Family<Gauge>& GaugeFamily(prometheus::Registry* registry, const char* name,
                                       const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
}

double Seconds(absl::Duration duration) { return std::max(0.0, absl::ToDoubleSeconds(duration)); }

}  // namespace

class SupervisorMetrics::Impl {
 public:
  explicit Impl(prometheus::Registry* registry)
      : snapshots_(CounterFamily(registry, "ctlstore_supervisor_snapshots_total",
                                 "Snapshots that were to go to a destination, by outcome")),
        skipped_(CounterFamily(registry, "ctlstore_supervisor_skipped_total",
                               "Snapshots that were not taken because nothing had changed")
                     .Add({})),
        stage_seconds_(prometheus::BuildHistogram()
                           .Name("ctlstore_supervisor_stage_seconds")
                           .Help("How long the stages of a snapshot took")
                           .Register(*registry)),
        put_seconds_(prometheus::BuildHistogram()
                         .Name("ctlstore_supervisor_put_seconds")
                         .Help("How long it took to put a snapshot into a destination")
                         .Register(*registry)),
        copy_seconds_(stage_seconds_.Add({{"stage", "copying"}}, kSeconds)),
        compress_seconds_(stage_seconds_.Add({{"stage", "compressing"}}, kSeconds)),
        last_success_(GaugeFamily(registry, "ctlstore_supervisor_last_success_timestamp_seconds",
                                  "When a snapshot last came to a destination, as Unix time")),
        last_sequence_(GaugeFamily(registry, "ctlstore_supervisor_last_sequence",
                                   "The ledger sequence of the last snapshot that came there")),
        object_bytes_(GaugeFamily(registry, "ctlstore_supervisor_object_bytes",
                                  "Size of the last object that came there")),
        removed_(CounterFamily(registry, "ctlstore_supervisor_removed_total",
                               "Old snapshots that were removed from a destination")),
        errors_(CounterFamily(registry, "ctlstore_supervisor_errors_total",
                              "What failed, by step and reason")) {
    auto& stage = GaugeFamily(registry, "ctlstore_supervisor_stage",
                              "1 where a snapshot is in this stage; for uploading the number of "
                              "destinations that it is being put into");
    copying_ = &stage.Add({{"stage", "copying"}});
    compressing_ = &stage.Add({{"stage", "compressing"}});
    uploading_ = &stage.Add({{"stage", "uploading"}});
  }

  void AddDestination(const std::string& url) {
    for (const char* outcome : {"ok", "failed"}) {
      snapshots_.Add({{"destination", url}, {"outcome", outcome}});
    }
    put_seconds_.Add({{"destination", url}}, kSeconds);
    removed_.Add({{"destination", url}});
  }

  void Step(absl::string_view step, absl::Duration duration, const absl::Status& status) {
    (step == "copy" ? copy_seconds_ : compress_seconds_).Observe(Seconds(duration));
    CountError(step, status);
  }

  void SetStage(Stage stage) {
    copying_->Set(stage == Stage::kCopying ? 1 : 0);
    compressing_->Set(stage == Stage::kCompressing ? 1 : 0);
  }

  void Skipped() { skipped_.Increment(); }

  void PutBegins() { uploading_->Increment(); }

  void PutEnds(const std::string& url, absl::Duration duration, const absl::Status& status) {
    uploading_->Decrement();
    put_seconds_.Add({{"destination", url}}, kSeconds).Observe(Seconds(duration));
    snapshots_.Add({{"destination", url}, {"outcome", status.ok() ? "ok" : "failed"}}).Increment();
    CountError("put", status);
  }

  void Published(const std::string& url, const SnapshotSummary& snapshot, absl::Time now) {
    last_success_.Add({{"destination", url}}).Set(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
    last_sequence_.Add({{"destination", url}}).Set(static_cast<double>(snapshot.sequence));
    object_bytes_.Add({{"destination", url}}).Set(static_cast<double>(snapshot.object_bytes));
  }

  void Retained(const std::string& url, int removed, const absl::Status& status) {
    removed_.Add({{"destination", url}}).Increment(removed);
    CountError("retention", status);
  }

 private:
  void CountError(absl::string_view step, const absl::Status& status) {
    if (status.ok() || absl::IsCancelled(status)) return;
    const std::string reason =
        ErrorReason(status).value_or(absl::StatusCodeToString(status.code()));
    errors_.Add({{"step", std::string(step)}, {"reason", reason}}).Increment();
  }

  prometheus::Family<Counter>& snapshots_;
  Counter& skipped_;
  prometheus::Family<Histogram>& stage_seconds_;
  prometheus::Family<Histogram>& put_seconds_;
  Histogram& copy_seconds_;
  Histogram& compress_seconds_;
  Gauge* copying_ = nullptr;
  Gauge* compressing_ = nullptr;
  Gauge* uploading_ = nullptr;
  prometheus::Family<Gauge>& last_success_;
  prometheus::Family<Gauge>& last_sequence_;
  prometheus::Family<Gauge>& object_bytes_;
  prometheus::Family<Counter>& removed_;
  prometheus::Family<Counter>& errors_;
};

SupervisorMetrics::SupervisorMetrics(prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(registry)) {}
SupervisorMetrics::~SupervisorMetrics() = default;

void SupervisorMetrics::AddDestination(const std::string& url) { impl_->AddDestination(url); }

void SupervisorMetrics::Step(absl::string_view step, absl::Duration duration,
                             const absl::Status& status) {
  impl_->Step(step, duration, status);
}

void SupervisorMetrics::SetStage(Stage stage) { impl_->SetStage(stage); }

void SupervisorMetrics::Skipped() { impl_->Skipped(); }

void SupervisorMetrics::PutBegins() { impl_->PutBegins(); }

void SupervisorMetrics::PutEnds(const std::string& url, absl::Duration duration,
                                const absl::Status& status) {
  impl_->PutEnds(url, duration, status);
}

void SupervisorMetrics::Published(const std::string& url, const SnapshotSummary& snapshot,
                                  absl::Time now) {
  impl_->Published(url, snapshot, now);
}

void SupervisorMetrics::Retained(const std::string& url, int removed, const absl::Status& status) {
  impl_->Retained(url, removed, status);
}

}  // namespace ctlstore::supervisor
