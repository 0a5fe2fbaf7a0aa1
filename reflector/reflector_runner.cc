#include "reflector/reflector_runner.h"

#include <glog/logging.h>
#include <prometheus/registry.h>

#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/ctldb/ledger_reader.h"
#include "common/rpc/metrics_server.h"
#include "reflector/reflector_metrics.h"

namespace ctlstore::reflector {
namespace {

class CtldbSource : public Reflector::Source {
 public:
  CtldbSource(const ctldb::Target& target, const ctldb::ConnectionOptions& options,
              ReflectorMetrics* metrics)
      : reader_(target, options), metrics_(metrics) {}

  absl::StatusOr<std::vector<LedgerEntry>> ReadAfter(int64_t sequence, size_t max_entries,
                                                     size_t max_bytes) override {
    const absl::Time begin = absl::Now();
    absl::StatusOr<ctldb::LedgerReader::Result> read =
        reader_.ReadAfter({sequence, ""}, max_entries, max_bytes);
    metrics_->Read(read.status(), absl::Now() - begin);
    if (!read.ok()) return read.status();
    return std::move(read->entries);
  }

  // Thread-safe.
  int64_t gaps() const { return reader_.gaps(); }

 private:
  ctldb::LedgerReader reader_;
  ReflectorMetrics* const metrics_;
};

class LdbTarget : public Reflector::Target {
 public:
  LdbTarget(ldb::LdbWriter* writer, ReflectorMetrics* metrics)
      : writer_(writer), metrics_(metrics) {}

  int64_t applied_sequence() const override { return writer_->applied_sequence(); }
  int64_t received_sequence() const override { return writer_->received_sequence(); }
  absl::Status Apply(absl::Span<const LedgerEntry> entries) override {
    const absl::Time begin = absl::Now();
    const ldb::LdbWriter::Applied before = writer_->applied();
    absl::Status status = writer_->Apply(entries);
    ldb::LdbWriter::Applied applied = writer_->applied();
    applied.entries -= before.entries;
    applied.transactions -= before.transactions;
    metrics_->Applied(status, absl::Now() - begin, applied);
    return status;
  }

 private:
  ldb::LdbWriter* const writer_;
  ReflectorMetrics* const metrics_;
};

}  // namespace

class ReflectorRunner::Impl {
 public:
  Impl(const Options& options, std::unique_ptr<ldb::LdbWriter> writer)
      : ready_within_(options.ready_within),
        metrics_(&registry_),
        source_(options.ctldb, options.connection, &metrics_),
        writer_(std::move(writer)),
        target_(writer_.get(), &metrics_),
        reflector_(&source_, &target_, Clock::Real(), options.reflector),
        states_([this] { return state(); }, [this] { return ledger_gaps(); }, options.ldb_path,
                Clock::Real()),
        thread_([this] { reflector_.Run(&stop_); }) {}

  ~Impl() { Stop(); }

  Reflector::State state() const { return reflector_.state(); }
  int64_t ledger_gaps() const { return source_.gaps(); }

  absl::Status Readiness() const {
    const Reflector::State state = reflector_.state();
    const absl::string_view error = state.last_error.message();
    const absl::string_view colon = error.empty() ? "" : ": ";
    if (!state.last_caught_up.has_value()) {
      return absl::UnavailableError(
          absl::StrCat("the local database has not caught up with the ledger since the start, its "
                       "sequence is ",
                       state.applied_sequence, colon, error));
    }
    const absl::Duration age = absl::Now() - *state.last_caught_up;
    if (age > ready_within_) {
      return absl::UnavailableError(
          absl::StrCat("the local database had all of the ledger ",
                       absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))),
                       " ago, its sequence is ", state.applied_sequence, colon, error));
    }
    return absl::OkStatus();
  }

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
    if (stop_.HasBeenNotified()) return;
    stop_.Notify();
    thread_.join();
    writer_.reset();
    LOG(INFO) << "event=reflector_stopped applied_sequence=" << state().applied_sequence;
  }

 private:
  const absl::Duration ready_within_;
  prometheus::Registry registry_;
  ReflectorMetrics metrics_;
  CtldbSource source_;
  // Used by the thread alone until it has ended.
  std::unique_ptr<ldb::LdbWriter> writer_;
  LdbTarget target_;
  Reflector reflector_;
  ReflectorStates states_;
  absl::Mutex stop_mutex_;
  std::unique_ptr<rpc::MetricsServer> metrics_server_ ABSL_GUARDED_BY(stop_mutex_);
  absl::Notification stop_;
  // Last: it uses all of the others.
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<ReflectorRunner>> ReflectorRunner::Start(const Options& options) {
  absl::StatusOr<std::unique_ptr<ldb::LdbWriter>> writer =
      ldb::LdbWriter::Open(options.ldb_path, options.writer);
  if (!writer.ok()) return writer.status();
  LOG(INFO) << "event=reflector_started ctldb=" << options.ctldb.ToString()
            << " ldb=" << options.ldb_path << " applied_sequence=" << (*writer)->applied_sequence();
  return std::unique_ptr<ReflectorRunner>(
      new ReflectorRunner(std::make_unique<Impl>(options, *std::move(writer))));
}

ReflectorRunner::ReflectorRunner(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReflectorRunner::~ReflectorRunner() = default;

Reflector::State ReflectorRunner::state() const { return impl_->state(); }
int64_t ReflectorRunner::ledger_gaps() const { return impl_->ledger_gaps(); }
absl::Status ReflectorRunner::Readiness() const { return impl_->Readiness(); }
absl::StatusOr<std::string> ReflectorRunner::ServeMetrics(const rpc::HttpServer::Options& options) {
  return impl_->ServeMetrics(options);
}
void ReflectorRunner::Stop() { impl_->Stop(); }

}  // namespace ctlstore::reflector
