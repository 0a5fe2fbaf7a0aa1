#include "heartbeat/heartbeat_runner.h"

#include <glog/logging.h>

#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "heartbeat/executive_client.h"

namespace ctlstore::heartbeat {

class HeartbeatRunner::Impl {
 public:
  explicit Impl(const Options& options)
      : client_(options.executive, options.channel, options.credentials, options.call_timeout),
        heartbeat_(&client_, Clock::Real(), options.heartbeat),
        thread_([this] { heartbeat_.Run(&stop_); }) {}

  ~Impl() { Stop(); }

  Heartbeat::State state() const { return heartbeat_.state(); }

  void Stop() {
    // Held to the end, so that every caller finds the work ended when its call returns.
    absl::MutexLock lock(&stop_mutex_);
    if (stop_.HasBeenNotified()) return;
    stop_.Notify();
    client_.Cancel();
    thread_.join();
    LOG(INFO) << "event=heartbeat_stopped last_sequence=" << state().last_sequence;
  }

 private:
  ExecutiveClient client_;
  Heartbeat heartbeat_;
  absl::Mutex stop_mutex_;
  absl::Notification stop_;
  // Last: it uses all of the others.
  std::thread thread_;
};

HeartbeatRunner::HeartbeatRunner(const Options& options) : impl_(std::make_unique<Impl>(options)) {
  LOG(INFO) << "event=heartbeat_started executive=" << options.executive
            << " writer=" << options.credentials.writer
            << " interval=" << absl::FormatDuration(options.heartbeat.interval);
  if (rpc::GoesInClear(options.executive, options.channel)) {
    LOG(WARNING) << "event=secret_in_clear executive=" << options.executive
                 << " advice=\"set --client_tls, so that nobody reads the writer's secret\"";
  }
}
HeartbeatRunner::~HeartbeatRunner() = default;

Heartbeat::State HeartbeatRunner::state() const { return impl_->state(); }
void HeartbeatRunner::Stop() { impl_->Stop(); }

}  // namespace ctlstore::heartbeat
