#include "supervisor/supervisor_server.h"

#include <grpcpp/impl/service_type.h>

#include <utility>

#include "common/base/clock.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/readiness_watch.h"
#include "reflector/reflector_service.h"
#include "supervisor/supervisor_service.h"

namespace ctlstore::supervisor {
namespace {

constexpr absl::Duration kHealthInterval = absl::Seconds(1);

}  // namespace

class SupervisorServer::Impl {
 public:
  Impl(std::unique_ptr<rpc::AccessControl> access, SupervisorControl* supervisor,
       reflector::ReflectorControl* reflector, prometheus::Registry* registry)
      : access_(std::move(access)),
        calls_("grpc", registry),
        supervisor_(supervisor, access_.get(), Clock::Real(), &calls_),
        reflector_(reflector, access_.get(), Clock::Real(), &calls_) {}

  absl::Status Serve(const rpc::ServerOptions& options, const SupervisorControl* control) {
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start(options, {supervisor_.grpc_service(), reflector_.grpc_service()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    watch_ = std::make_unique<rpc::ReadinessWatch>(
        [control] { return control->Status().readiness; },
        [this](bool ready) { server_->SetServing(ready); }, kHealthInterval);
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const { return server_->addresses(); }
  void Shutdown(absl::Duration grace) { server_->Shutdown(grace); }

 private:
  const std::unique_ptr<rpc::AccessControl> access_;
  rpc::CallMetrics calls_;
  SupervisorService supervisor_;
  reflector::ReflectorService reflector_;
  // After the services, and the watch after the server, because each uses what stands before it.
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::ReadinessWatch> watch_;
};

absl::StatusOr<std::unique_ptr<SupervisorServer>> SupervisorServer::Start(
    const rpc::ServerOptions& options, SupervisorControl* supervisor,
    reflector::ReflectorControl* reflector, prometheus::Registry* registry) {
  absl::StatusOr<std::unique_ptr<rpc::AccessControl>> access =
      rpc::AccessControl::Create(options.access);
  if (!access.ok()) return access.status();
  auto impl = std::make_unique<Impl>(*std::move(access), supervisor, reflector, registry);
  absl::Status status = impl->Serve(options, supervisor);
  if (!status.ok()) return status;
  return std::unique_ptr<SupervisorServer>(new SupervisorServer(std::move(impl)));
}

SupervisorServer::SupervisorServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SupervisorServer::~SupervisorServer() = default;

const std::vector<std::string>& SupervisorServer::addresses() const { return impl_->addresses(); }
void SupervisorServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace ctlstore::supervisor
