#include "reflector/reflector_runner.h"

#include <glog/logging.h>
#include <prometheus/registry.h>

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/rpc/instance_name.h"
#include "common/rpc/metrics_server.h"
#include "reflector/ctldb_source.h"
#include "reflector/reflector_metrics.h"
#include "reflector/replication.h"
#include "reflector/snapshot_places.h"
#include "reflector/stream_source.h"
#include "reflector/upstreams.h"

namespace ctlstore::reflector {
namespace {

std::vector<UpstreamTarget> TargetsOf(const ReflectorRunner::Options& options) {
  if (!options.upstreams.empty()) return options.upstreams;
  UpstreamTarget ctldb;
  ctldb.ctldb = options.ctldb;
  return {ctldb};
}

absl::Status CheckLdbs(const std::vector<ReflectorRunner::Ldb>& ldbs) {
  if (ldbs.empty()) return absl::InvalidArgumentError("there is no local database to keep");
  for (size_t i = 0; i < ldbs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (ldbs[i].path == ldbs[j].path) {
        return absl::InvalidArgumentError(
            absl::StrCat("the local database ", ldbs[i].path, " is there twice"));
      }
      if (!ldbs[i].changelog_path.empty() && ldbs[i].changelog_path == ldbs[j].changelog_path) {
        return absl::InvalidArgumentError(
            absl::StrCat("two local databases have the changelog ", ldbs[i].changelog_path));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

class ReflectorRunner::Impl {
 public:
  Impl() : states_([this] { return Samples(); }, Clock::Real()) {}
  ~Impl() { Stop(); }

  absl::Status Start(const Options& options) {
    absl::Status status = CheckLdbs(options.ldbs);
    if (!status.ok()) return status;
    const std::vector<UpstreamTarget> targets = TargetsOf(options);
    for (const Ldb& ldb : options.ldbs) {
      Replication::Options replication;
      replication.database.path = ldb.path;
      replication.database.writer = options.writer;
      replication.database.writer.families = ldb.families;
      replication.reflector = options.reflector;
      replication.changelog.path = ldb.changelog_path;
      replication.changelog.max_bytes = options.changelog_max_bytes;
      if (!options.snapshots.empty()) {
        SnapshotPlaces::Options places;
        places.locations = options.snapshots;
        places.store = options.object_store;
        places.make_ledger = [options, targets]() -> std::unique_ptr<LedgerSource> {
          return MakeSource(options, targets).upstreams;
        };
        places_.push_back(std::make_unique<SnapshotPlaces>(std::move(places)));
        replication.database.snapshots = places_.back().get();
      }
      Source source = MakeSource(options, targets);
      replication.ledger_gaps = std::move(source.ledger_gaps);
      absl::StatusOr<std::unique_ptr<Replication>> created =
          Replication::Create(replication, std::move(source.upstreams), &registry_, Clock::Real());
      if (!created.ok()) return created.status();
      replications_.push_back(*std::move(created));
    }
    for (const std::unique_ptr<Replication>& replication : replications_) {
      LOG(INFO) << "event=reflector_started upstreams="
                << absl::StrJoin(targets, ",",
                                 [](std::string* out, const UpstreamTarget& target) {
                                   absl::StrAppend(out, target.ToString());
                                 })
                << " ldb=" << replication->path()
                << " applied_sequence=" << replication->Status().applied_sequence;
      replication->Begin();
    }
    return absl::OkStatus();
  }

  std::vector<LdbStatus> Status() const {
    std::vector<LdbStatus> statuses;
    for (const auto& replication : replications_) statuses.push_back(replication->Status());
    return statuses;
  }

  absl::StatusOr<Replication*> Find(absl::string_view path) const {
    if (path.empty() && replications_.size() == 1) return replications_[0].get();
    std::vector<std::string> paths;
    for (const auto& replication : replications_) {
      if (replication->path() == path) return replication.get();
      paths.push_back(replication->path());
    }
    return absl::NotFoundError(
        absl::StrCat(path.empty() ? "there are several local databases, name one"
                                  : absl::StrCat("the reflector does not keep ", path),
                     ": ", absl::StrJoin(paths, ", ")));
  }

  absl::Status Readiness() const {
    for (const auto& replication : replications_) {
      const absl::Status ready = replication->Readiness();
      if (ready.ok() || replications_.size() == 1) {
        if (!ready.ok()) return ready;
        continue;
      }
      return absl::UnavailableError(absl::StrCat(replication->path(), ": ", ready.message()));
    }
    return absl::OkStatus();
  }

  int64_t ledger_gaps() const {
    int64_t gaps = 0;
    for (const auto& replication : replications_) gaps += replication->Sample().ledger_gaps;
    return gaps;
  }

  prometheus::Registry* registry() { return &registry_; }

  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options) {
    absl::StatusOr<std::unique_ptr<rpc::MetricsServer>> server = rpc::MetricsServer::Start(
        options, &registry_, [this] { return Readiness(); }, &states_);
    if (!server.ok()) return server.status();
    absl::MutexLock lock(&stop_mutex_);
    metrics_server_ = *std::move(server);
    return metrics_server_->address();
  }

  void Stop() {
    // Held to the end, so that every caller finds the work ended when its call returns.
    absl::MutexLock lock(&stop_mutex_);
    metrics_server_.reset();
    for (const auto& replication : replications_) replication->RequestStop();
    for (const auto& replication : replications_) replication->Stop();
    if (!stopped_ && !replications_.empty()) LOG(INFO) << "event=reflector_stopped";
    stopped_ = true;
  }

 private:
  struct Source {
    std::unique_ptr<Upstreams> upstreams;
    // Lives as long as the upstreams.
    std::function<int64_t()> ledger_gaps;
  };

  static Source MakeSource(const Options& options, const std::vector<UpstreamTarget>& targets) {
    CtldbSource::Options ctldb;
    ctldb.poll_interval = options.poll_interval;
    ctldb.poll_jitter = options.poll_jitter;
    ctldb.ledger.first_sequence = options.ledger_first_sequence;
    StreamSource::Options stream;
    stream.channel = options.channel;
    stream.instance = rpc::InstanceName();
    Source source;
    std::vector<std::unique_ptr<LedgerSource>> sources;
    std::vector<const CtldbSource*> ctldbs;
    for (const UpstreamTarget& target : targets) {
      if (target.is_stream()) {
        sources.push_back(
            std::make_unique<StreamSource>(target.stream_address, stream, Clock::Real()));
      } else {
        auto polled =
            std::make_unique<CtldbSource>(target.ctldb, options.connection, ctldb, Clock::Real());
        ctldbs.push_back(polled.get());
        sources.push_back(std::move(polled));
      }
    }
    source.upstreams = std::make_unique<Upstreams>(std::move(sources), Upstreams::Options());
    source.ledger_gaps = [ctldbs] {
      int64_t gaps = 0;
      for (const CtldbSource* ctldb : ctldbs) gaps += ctldb->gaps();
      return gaps;
    };
    return source;
  }

  std::vector<LdbSample> Samples() const {
    std::vector<LdbSample> samples;
    for (const auto& replication : replications_) samples.push_back(replication->Sample());
    return samples;
  }

  prometheus::Registry registry_;
  // Used by the replications.
  std::vector<std::unique_ptr<SnapshotPlaces>> places_;
  // Not changed after Start().
  std::vector<std::unique_ptr<Replication>> replications_;
  ReflectorStates states_;
  absl::Mutex stop_mutex_;
  bool stopped_ ABSL_GUARDED_BY(stop_mutex_) = false;
  std::unique_ptr<rpc::MetricsServer> metrics_server_ ABSL_GUARDED_BY(stop_mutex_);
};

absl::StatusOr<std::unique_ptr<ReflectorRunner>> ReflectorRunner::Start(const Options& options) {
  auto impl = std::make_unique<Impl>();
  absl::Status status = impl->Start(options);
  if (!status.ok()) return status;
  return std::unique_ptr<ReflectorRunner>(new ReflectorRunner(std::move(impl)));
}

ReflectorRunner::ReflectorRunner(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReflectorRunner::~ReflectorRunner() = default;

std::vector<LdbStatus> ReflectorRunner::Status() const { return impl_->Status(); }

absl::Status ReflectorRunner::SkipEntry(absl::string_view ldb_path, int64_t sequence) {
  absl::StatusOr<Replication*> replication = impl_->Find(ldb_path);
  return replication.ok() ? (*replication)->SkipEntry(sequence) : replication.status();
}

absl::Status ReflectorRunner::Rebuild(absl::string_view ldb_path) {
  absl::StatusOr<Replication*> replication = impl_->Find(ldb_path);
  if (!replication.ok()) return replication.status();
  (*replication)->Rebuild();
  return absl::OkStatus();
}

absl::Status ReflectorRunner::Readiness() const { return impl_->Readiness(); }
int64_t ReflectorRunner::ledger_gaps() const { return impl_->ledger_gaps(); }

absl::StatusOr<ldb::ChangeFeed*> ReflectorRunner::Feed(absl::string_view ldb_path) {
  absl::StatusOr<Replication*> replication = impl_->Find(ldb_path);
  if (!replication.ok()) return replication.status();
  return (*replication)->feed();
}

prometheus::Registry* ReflectorRunner::registry() { return impl_->registry(); }

absl::StatusOr<std::string> ReflectorRunner::ServeMetrics(const rpc::HttpServer::Options& options) {
  return impl_->ServeMetrics(options);
}
void ReflectorRunner::Stop() { impl_->Stop(); }

}  // namespace ctlstore::reflector
