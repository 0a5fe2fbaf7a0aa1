#include "executive/executive_server.h"

#include <glog/logging.h>
#include <grpcpp/impl/service_type.h>
#include <prometheus/registry.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/worker_pool.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/schema_changer.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/readiness_watch.h"
#include "executive/executive_metrics.h"
#include "executive/executive_service.h"

namespace ctlstore::executive {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(100);
constexpr absl::Duration kMaxWait = absl::Seconds(5);
// How long one look at the ctldb may take.
constexpr absl::Duration kProbeTimeout = absl::Seconds(5);
constexpr absl::Duration kLimitsTimeout = absl::Seconds(30);

absl::Status PrepareOnce(ctldb::ConnectionPool* pool, ctldb::SchemaChanger* changer,
                         absl::Time deadline) {
  {
    absl::StatusOr<ctldb::ConnectionPool::Lease> lease = pool->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::Status ensured = ctldb::EnsureOwnTables(lease->get());
    if (!ensured.ok()) return ensured;
  }
  return changer->CompletePending(deadline);
}

// Makes the ctldb ready, waiting for one that cannot be reached yet.
absl::Status Prepare(const ExecutiveServer::Options& options, ctldb::ConnectionPool* pool,
                     ctldb::SchemaChanger* changer) {
  const absl::Time deadline = absl::Now() + options.ctldb_wait;
  Backoff backoff(kFirstWait, kMaxWait);
  absl::Notification never;
  absl::Notification* const stop = options.stop != nullptr ? options.stop : &never;
  bool waited = false;
  while (true) {
    if (stop->HasBeenNotified()) return absl::CancelledError("stopped before it served");
    const absl::Status status = PrepareOnce(pool, changer, deadline);
    if (status.ok()) {
      if (waited) LOG(INFO) << "event=ctldb_reached ctldb=" << options.ctldb.ToString();
      return absl::OkStatus();
    }
    const absl::Duration wait = backoff.Next();
    if (!absl::IsUnavailable(status)) return status;
    if (absl::Now() + wait >= deadline) {
      return absl::UnavailableError(
          absl::StrCat("the ctldb ", options.ctldb.ToString(), " could not be used within ",
                       absl::FormatDuration(options.ctldb_wait), ": ", status.message()));
    }
    if (!waited) {
      LOG(WARNING) << "event=ctldb_unavailable ctldb=" << options.ctldb.ToString()
                   << " waiting=" << absl::FormatDuration(options.ctldb_wait) << " error=\""
                   << status.message() << "\"";
    }
    waited = true;
    Clock::Real()->SleepOrStop(wait, stop);
  }
}

}  // namespace

// The members are in the order in which each needs those before it, and end in the reverse.
class ExecutiveServer::Impl {
 public:
  explicit Impl(const Options& options)
      : pool(
            [target = options.ctldb, connection = options.connection] {
              return ctldb::Connection::Open(target, connection);
            },
            options.max_ctldb_connections),
        changer(&pool),
        workers(std::make_unique<WorkerPool>(options.worker_threads, options.max_waiting_calls)),
        executive(ExecutiveOptions(options),
                  Executive::Parts{&pool, &changer, workers.get(), &metrics}) {}

  ~Impl() {
    // Nobody calls any more before the workers end, and they before what their tasks use.
    readiness.reset();
    server.reset();
    workers.reset();
  }

  absl::Status Serve(const Options& options);

  FaceParts Face(const Options& options, rpc::CallMetrics* call_metrics) {
    return FaceParts{&executive, access.get(), workers.get(), call_metrics,
                     options.max_call_duration};
  }

  static Executive::Options ExecutiveOptions(const Options& options) {
    Executive::Options result = options.executive;
    result.commits.ctldb = options.ctldb;
    result.commits.connection = options.connection;
    return result;
  }

  prometheus::Registry registry;
  ExecutiveMetrics metrics{&registry};
  rpc::CallMetrics grpc_calls{"grpc", &registry};
  ctldb::ConnectionPool pool;
  ctldb::SchemaChanger changer;
  std::unique_ptr<WorkerPool> workers;
  Executive executive;
  std::unique_ptr<rpc::AccessControl> access;
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<rpc::ReadinessWatch> readiness;
};

absl::Status ExecutiveServer::Impl::Serve(const Options& options) {
  absl::StatusOr<std::unique_ptr<rpc::AccessControl>> made_access =
      rpc::AccessControl::Create(options.server.access);
  if (!made_access.ok()) return made_access.status();
  access = *std::move(made_access);

  service = NewExecutiveService(Face(options, &grpc_calls));
  absl::StatusOr<std::unique_ptr<rpc::Server>> started =
      rpc::Server::Start(options.server, {service.get()});
  if (!started.ok()) return started.status();
  server = *std::move(started);

  readiness = std::make_unique<rpc::ReadinessWatch>(
      [this] { return executive.CheckCtldb(absl::Now() + kProbeTimeout); },
      [this](bool ready) { server->SetServing(ready); }, options.probe_interval);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ExecutiveServer>> ExecutiveServer::Start(const Options& options) {
  // A schema change takes two connections.
  if (options.max_ctldb_connections < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("an executive needs at least 2 connections to the ctldb, not ",
                     options.max_ctldb_connections));
  }
  auto impl = std::make_unique<Impl>(options);
  absl::Status status = Prepare(options, &impl->pool, &impl->changer);
  if (!status.ok()) return status;
  // Before anyone can be served by limits that are not those of the ctldb.
  status = impl->executive.LoadLimits(absl::Now() + kLimitsTimeout);
  if (!status.ok()) return status;
  status = impl->Serve(options);
  if (!status.ok()) return status;
  LOG(INFO) << "event=executive_started listen=" << absl::StrJoin(impl->server->addresses(), ",")
            << " ctldb=" << options.ctldb.ToString();
  return std::unique_ptr<ExecutiveServer>(new ExecutiveServer(std::move(impl)));
}

ExecutiveServer::ExecutiveServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ExecutiveServer::~ExecutiveServer() = default;

const std::vector<std::string>& ExecutiveServer::addresses() const {
  return impl_->server->addresses();
}

void ExecutiveServer::Shutdown(absl::Duration grace) {
  // Its thread speaks of the health to a server that is about to end.
  impl_->readiness.reset();
  impl_->server->Shutdown(grace);
}

}  // namespace ctlstore::executive
