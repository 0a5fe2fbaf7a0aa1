#include "sidecar/sidecar_server.h"

#include <glog/logging.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/clock.h"
#include "common/ldb/reader.h"
#include "common/rpc/access_control.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {

class SidecarServer::Impl {
 public:
  Impl(const Options& options, std::unique_ptr<rpc::AccessControl> access)
      : access_(std::move(access)),
        reader_(options.ldb_path),
        service_(&reader_, Clock::Real(),
                 SidecarService::Options{options.max_list_rows, options.max_list_duration,
                                         access_.get()}) {}

  absl::Status Serve(const rpc::ServerOptions& options) {
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start(options, {service_.grpc_service()});
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const { return server_->addresses(); }
  void Shutdown(absl::Duration grace) { server_->Shutdown(grace); }

 private:
  // The server goes first: calls use the service, and their rows the reader.
  const std::unique_ptr<rpc::AccessControl> access_;
  ldb::Reader reader_;
  SidecarService service_;
  std::unique_ptr<rpc::Server> server_;
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
  absl::Status status = impl->Serve(options.server);
  if (!status.ok()) return status;
  LOG(INFO) << "event=sidecar_started listen=" << absl::StrJoin(impl->addresses(), ",")
            << " ldb=" << options.ldb_path;
  return std::unique_ptr<SidecarServer>(new SidecarServer(std::move(impl)));
}

SidecarServer::SidecarServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SidecarServer::~SidecarServer() = default;

const std::vector<std::string>& SidecarServer::addresses() const { return impl_->addresses(); }
void SidecarServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace ctlstore::sidecar
