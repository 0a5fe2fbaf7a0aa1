#include "sidecar/sidecar_server.h"

#include <glog/logging.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/ldb/reader.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/metrics_server.h"
#include "common/rpc/readiness_watch.h"
#include "sidecar/sidecar_service.h"
#include "sidecar/sidecar_states.h"

namespace ctlstore::sidecar {

namespace {

ldb::ReaderOptions ReaderOptionsOf(const SidecarServer::Options& options) {
  ldb::ReaderOptions reader = options.reader;
  // A list lets its state go by itself, and says why.
  reader.max_hold = std::max(reader.max_hold, options.max_list_duration + absl::Seconds(10));
  return reader;
}

SidecarService::Options ServiceOptionsOf(const SidecarServer::Options& options,
                                         const rpc::AccessControl* access) {
  SidecarService::Options service;
  service.max_list_rows = options.max_list_rows;
  service.max_list_duration = options.max_list_duration;
  service.max_waits = options.max_waits;
  service.max_wait = options.max_wait;
  service.watches = options.watches;
  service.access = access;
  return service;
}

}  // namespace

class SidecarServer::Impl {
 public:
  Impl(const Options& options, std::unique_ptr<rpc::AccessControl> access)
      : access_(std::move(access)),
        reader_(options.ldb_path, ReaderOptionsOf(options)),
        service_(&reader_, Clock::Real(), ServiceOptionsOf(options, access_.get()), &calls_),
        states_(&reader_, &service_, options.max_waits, Clock::Real()) {}

  absl::Status Serve(const Options& options) {
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start(options.server, {service_.grpc_service()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    watch_ = std::make_unique<rpc::ReadinessWatch>(
        [this] { return reader_.GetPosition().status(); },
        [this](bool ready) { server_->SetServing(ready); }, options.health_interval);
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const { return server_->addresses(); }
  absl::Status Readiness() const { return watch_->status(); }

  absl::StatusOr<std::string> ServeMetrics(const rpc::HttpServer::Options& options) {
    absl::StatusOr<std::unique_ptr<rpc::MetricsServer>> server = rpc::MetricsServer::Start(
        options, &registry_, [this] { return Readiness(); }, &states_);
    if (!server.ok()) return server.status();
    absl::MutexLock lock(&metrics_mutex_);
    metrics_server_ = *std::move(server);
    return metrics_server_->address();
  }

  void Shutdown(absl::Duration grace) {
    {
      absl::MutexLock lock(&metrics_mutex_);
      metrics_server_.reset();
    }
    service_.EndWatches();
    server_->Shutdown(grace);
  }

 private:
  const std::unique_ptr<rpc::AccessControl> access_;
  prometheus::Registry registry_;
  rpc::CallMetrics calls_{"grpc", &registry_};
  // The servers go first and the reader last: calls use the service, and their rows the reader.
  ldb::Reader reader_;
  SidecarService service_;
  SidecarStates states_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::ReadinessWatch> watch_;
  absl::Mutex metrics_mutex_;
  std::unique_ptr<rpc::MetricsServer> metrics_server_ ABSL_GUARDED_BY(metrics_mutex_);
};

absl::StatusOr<std::unique_ptr<SidecarServer>> SidecarServer::Start(const Options& options) {
  if (options.max_list_rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_list_rows must be at least 1, is ", options.max_list_rows));
  }
  absl::StatusOr<std::unique_ptr<rpc::AccessControl>> access =
      rpc::AccessControl::Create(options.server.access);
  if (!access.ok()) return access.status();
  auto impl = std::make_unique<Impl>(options, *std::move(access));
  absl::Status status = impl->Serve(options);
  if (!status.ok()) return status;
  LOG(INFO) << "event=sidecar_started listen=" << absl::StrJoin(impl->addresses(), ",")
            << " ldb=" << options.ldb_path;
  return std::unique_ptr<SidecarServer>(new SidecarServer(std::move(impl)));
}

SidecarServer::SidecarServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SidecarServer::~SidecarServer() = default;

const std::vector<std::string>& SidecarServer::addresses() const { return impl_->addresses(); }
absl::Status SidecarServer::Readiness() const { return impl_->Readiness(); }
absl::StatusOr<std::string> SidecarServer::ServeMetrics(const rpc::HttpServer::Options& options) {
  return impl_->ServeMetrics(options);
}
void SidecarServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace ctlstore::sidecar
