#include "reflector/reflector_runner.h"

#include <glog/logging.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/ctldb/ledger_reader.h"

namespace ctlstore::reflector {
namespace {

class CtldbSource : public Reflector::Source {
 public:
  CtldbSource(const ctldb::Target& target, const ctldb::ConnectionOptions& options)
      : reader_(target, options) {}

  absl::StatusOr<std::vector<LedgerEntry>> ReadAfter(int64_t sequence, size_t max_entries,
                                                     size_t max_bytes) override {
    absl::StatusOr<std::vector<LedgerEntry>> entries =
        reader_.ReadAfter(sequence, max_entries, max_bytes);
    gaps_.store(reader_.gaps(), std::memory_order_relaxed);
    return entries;
  }

  // Thread-safe, unlike the reader's own.
  int64_t gaps() const { return gaps_.load(std::memory_order_relaxed); }

 private:
  ctldb::LedgerReader reader_;
  std::atomic<int64_t> gaps_{0};
};

class LdbTarget : public Reflector::Target {
 public:
  explicit LdbTarget(ldb::LdbWriter* writer) : writer_(writer) {}

  int64_t applied_sequence() const override { return writer_->applied_sequence(); }
  int64_t received_sequence() const override { return writer_->received_sequence(); }
  absl::Status Apply(absl::Span<const LedgerEntry> entries) override {
    return writer_->Apply(entries);
  }

 private:
  ldb::LdbWriter* const writer_;
};

}  // namespace

class ReflectorRunner::Impl {
 public:
  Impl(const Options& options, std::unique_ptr<ldb::LdbWriter> writer)
      : source_(options.ctldb, options.connection),
        writer_(std::move(writer)),
        target_(writer_.get()),
        reflector_(&source_, &target_, Clock::Real(), options.reflector),
        thread_([this] { reflector_.Run(&stop_); }) {}

  ~Impl() { Stop(); }

  Reflector::State state() const { return reflector_.state(); }
  int64_t ledger_gaps() const { return source_.gaps(); }

  void Stop() {
    // Held to the end, so that every caller finds the work ended when its call returns.
    absl::MutexLock lock(&stop_mutex_);
    if (stop_.HasBeenNotified()) return;
    stop_.Notify();
    thread_.join();
    writer_.reset();
    LOG(INFO) << "event=reflector_stopped applied_sequence=" << state().applied_sequence;
  }

 private:
  CtldbSource source_;
  // Used by the thread alone until it has ended.
  std::unique_ptr<ldb::LdbWriter> writer_;
  LdbTarget target_;
  Reflector reflector_;
  absl::Mutex stop_mutex_;
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
void ReflectorRunner::Stop() { impl_->Stop(); }

}  // namespace ctlstore::reflector
