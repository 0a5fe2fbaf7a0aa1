#include "sidecar/sidecar_server.h"

#include <glog/logging.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/worker_pool.h"
#include "common/ldb/reader.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/metrics_server.h"
#include "common/rpc/readiness_watch.h"
#include "sidecar/http_api.h"
#include "sidecar/sidecar_service.h"
#include "sidecar/sidecar_states.h"

namespace ctlstore::sidecar {
namespace {

// Each has one list over HTTP in memory.
constexpr size_t kListThreads = 2;
constexpr size_t kMaxWaitingLists = 100;
// A key is much smaller, however it is written.
constexpr size_t kMaxHttpBodyBytes = size_t{64} << 10;

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
        workers_(kListThreads, kMaxWaitingLists),
        service_(&reader_, Clock::Real(), ServiceOptionsOf(options, access_.get()), &calls_),
        states_(&reader_, &service_, options.max_waits, Clock::Real()) {}

  absl::Status Serve(const Options& options) {
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start(options.server, {service_.grpc_service()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    if (options.http.has_value()) {
      const absl::Status status = ServeHttp(options);
      if (!status.ok()) return status;
    }
    watch_ = std::make_unique<rpc::ReadinessWatch>(
        [this] { return reader_.GetPosition().status(); },
        [this](bool ready) { server_->SetServing(ready); }, options.health_interval);
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const { return server_->addresses(); }
  std::string http_address() const {
    return http_server_ == nullptr ? "" : http_server_->address();
  }
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
    const absl::Time end = absl::Now() + grace;
    service_.EndWatches();
    server_->Shutdown(grace);
    if (http_server_ != nullptr) http_server_->Shutdown(end - absl::Now());
  }

 private:
  absl::Status ServeHttp(const Options& options) {
    HttpApi::Options api_options;
    api_options.max_list_rows = options.max_list_rows;
    api_options.max_list_bytes = options.max_http_list_bytes;
    api_options.max_list_duration = options.max_list_duration;
    api_options.max_wait = options.max_wait;
    http_api_ =
        std::make_unique<HttpApi>(HttpApi::Parts{&reader_, service_.waiter(), &workers_,
                                                 Clock::Real(), access_.get(), &http_calls_},
                                  api_options);
    rpc::HttpServer::Options http_options = *options.http;
    http_options.max_body_bytes = kMaxHttpBodyBytes;
    http_options.max_total_response_bytes =
        std::max(http_options.max_total_response_bytes, 4 * options.max_http_list_bytes);
    http_options.error_response = HttpApi::ServerError;
    absl::StatusOr<std::unique_ptr<rpc::HttpServer>> server = rpc::HttpServer::Start(
        http_options, [this](const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) {
          http_api_->Handle(request, std::move(respond));
        });
    if (!server.ok()) return server.status();
    http_server_ = *std::move(server);
    return absl::OkStatus();
  }

  const std::unique_ptr<rpc::AccessControl> access_;
  prometheus::Registry registry_;
  rpc::CallMetrics calls_{"grpc", &registry_};
  rpc::CallMetrics http_calls_{"http", &registry_};
  // The servers go first and the reader last: calls use the service, and their rows the reader.
  ldb::Reader reader_;
  // For lists over HTTP. The service's waiter gives them work.
  WorkerPool workers_;
  SidecarService service_;
  SidecarStates states_;
  std::unique_ptr<HttpApi> http_api_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::HttpServer> http_server_;
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
            << (impl->http_address().empty() ? "" : absl::StrCat(" http=", impl->http_address()))
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
std::string SidecarServer::http_address() const { return impl_->http_address(); }
void SidecarServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace ctlstore::sidecar
