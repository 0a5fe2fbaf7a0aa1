#include "heartbeat/heartbeat_runner.h"

#include <glog/logging.h>
#include <prometheus/registry.h>

#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/rpc/metrics_server.h"
#include "heartbeat/executive_client.h"
#include "heartbeat/heartbeat_metrics.h"

namespace ctlstore::heartbeat {

class HeartbeatRunner::Impl {
 public:
  explicit Impl(const Options& options)
      : client_(options.executive, options.channel, options.credentials, options.call_timeout),
        executive_(&client_, &registry_),
        heartbeat_(&executive_, Clock::Real(), options.heartbeat),
        states_([this] { return state(); }),
        thread_([this] { heartbeat_.Run(&stop_); }) {}

  ~Impl() { Stop(); }

  Heartbeat::State state() const { return heartbeat_.state(); }

  absl::Status Readiness() const {
    const Heartbeat::State state = heartbeat_.state();
    if (!state.last_error.ok()) {
      return absl::UnavailableError(
          absl::StrCat("the last heartbeat was not written: ", state.last_error.message()));
    }
    if (!state.last_written.has_value()) {
      return absl::UnavailableError("no heartbeat was written since the start");
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
    client_.Cancel();
    thread_.join();
    LOG(INFO) << "event=heartbeat_stopped last_sequence=" << state().last_sequence;
  }

 private:
  prometheus::Registry registry_;
  ExecutiveClient client_;
  MeteredExecutive executive_;
  Heartbeat heartbeat_;
  HeartbeatStates states_;
  absl::Mutex stop_mutex_;
  std::unique_ptr<rpc::MetricsServer> metrics_server_ ABSL_GUARDED_BY(stop_mutex_);
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
absl::Status HeartbeatRunner::Readiness() const { return impl_->Readiness(); }
absl::StatusOr<std::string> HeartbeatRunner::ServeMetrics(const rpc::HttpServer::Options& options) {
  return impl_->ServeMetrics(options);
}
void HeartbeatRunner::Stop() { impl_->Stop(); }

}  // namespace ctlstore::heartbeat
