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
#include "common/rpc/metrics_server.h"
#include "common/rpc/readiness_watch.h"
#include "executive/executive_metrics.h"
#include "executive/executive_service.h"
#include "executive/http_api.h"
#include "executive/ledger_metrics.h"
#include "executive/ledger_service.h"
#include "executive/prune_metrics.h"
#include "executive/snapshot_place.h"

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
        tailer(LedgerOptions(options), &ledger_metrics) {}

  ~Impl() {
    // Nobody calls any more before the workers end, and they before what their tasks use.
    metrics_server.reset();
    readiness.reset();
    http_server.reset();
    tailer.Shutdown();
    if (pruner != nullptr) pruner->Stop();
    server.reset();
    workers.reset();
  }

  absl::Status Serve(const Options& options);
  absl::Status OpenPruner(const Options& options);

  FaceParts Face(const Options& options, rpc::CallMetrics* call_metrics) {
    return FaceParts{executive.get(), access.get(), workers.get(),
                     call_metrics,    pruner.get(), options.max_call_duration};
  }

  Executive::Options ExecutiveOptions(const Options& options) {
    Executive::Options result = options.executive;
    result.commits.ctldb = options.ctldb;
    result.commits.connection = options.connection;
    result.commits.committed = [this](int64_t sequence) { tailer.Wake(sequence); };
    return result;
  }

  static LedgerTailer::Options LedgerOptions(const Options& options) {
    LedgerTailer::Options result = options.ledger;
    result.ctldb = options.ctldb;
    result.connection = options.connection;
    return result;
  }

  prometheus::Registry registry;
  ExecutiveMetrics metrics{&registry};
  rpc::CallMetrics grpc_calls{"grpc", &registry};
  rpc::CallMetrics http_calls{"http", &registry};
  LedgerMetrics ledger_metrics{&registry};
  PruneMetrics prune_metrics{&registry};
  ctldb::ConnectionPool pool;
  ctldb::SchemaChanger changer;
  std::unique_ptr<WorkerPool> workers;
  LedgerTailer tailer;
  std::unique_ptr<Executive> executive;
  std::unique_ptr<LedgerPruner> pruner;
  std::unique_ptr<rpc::AccessControl> access;
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Service> ledger_service;
  std::unique_ptr<HttpApi> http_api;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<rpc::HttpServer> http_server;
  std::unique_ptr<rpc::ReadinessWatch> readiness;
  std::unique_ptr<rpc::MetricsServer> metrics_server;
};

absl::Status ExecutiveServer::Impl::OpenPruner(const Options& options) {
  std::vector<std::unique_ptr<SnapshotPlace>> places;
  for (const snapshot::Location& location : options.snapshot_places) {
    absl::StatusOr<std::unique_ptr<SnapshotPlace>> place =
        OpenSnapshotPlace(location, options.snapshot_store);
    if (!place.ok()) return place.status();
    places.push_back(*std::move(place));
  }
  LedgerPruner::Options pruning = options.pruning;
  pruning.ctldb = options.ctldb;
  pruning.connect = [target = options.ctldb, connection = options.connection] {
    return ctldb::Connection::Open(target, connection);
  };
  pruner = std::make_unique<LedgerPruner>(std::move(pruning), std::move(places), &prune_metrics);
  return absl::OkStatus();
}

absl::Status ExecutiveServer::Impl::Serve(const Options& options) {
  absl::StatusOr<std::unique_ptr<rpc::AccessControl>> made_access =
      rpc::AccessControl::Create(options.server.access);
  if (!made_access.ok()) return made_access.status();
  access = *std::move(made_access);

  service = NewExecutiveService(Face(options, &grpc_calls));
  ledger_service = NewLedgerService(&tailer, access.get(), &grpc_calls);
  absl::StatusOr<std::unique_ptr<rpc::Server>> started =
      rpc::Server::Start(options.server, {service.get(), ledger_service.get()});
  if (!started.ok()) return started.status();
  server = *std::move(started);

  if (options.http.has_value()) {
    http_api = std::make_unique<HttpApi>(Face(options, &http_calls));
    rpc::HttpServer::Options http_options = *options.http;
    http_options.error_response = HttpApi::ServerError;
    absl::StatusOr<std::unique_ptr<rpc::HttpServer>> http = rpc::HttpServer::Start(
        http_options, [this](const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) {
          http_api->Handle(request, std::move(respond));
        });
    if (!http.ok()) return http.status();
    http_server = *std::move(http);
  }
  readiness = std::make_unique<rpc::ReadinessWatch>(
      [this] { return executive->CheckCtldb(absl::Now() + kProbeTimeout); },
      [this](bool ready) { server->SetServing(ready); }, options.probe_interval);
  if (options.metrics.has_value()) {
    absl::StatusOr<std::unique_ptr<rpc::MetricsServer>> metrics_started = rpc::MetricsServer::Start(
        *options.metrics, &registry, [this] { return readiness->status(); });
    if (!metrics_started.ok()) return metrics_started.status();
    metrics_server = *std::move(metrics_started);
  }
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
  // It reads the ctldb's tables from its beginning.
  impl->executive = std::make_unique<Executive>(
      impl->ExecutiveOptions(options),
      Executive::Parts{&impl->pool, &impl->changer, impl->workers.get(), &impl->metrics});
  // So that the limits hold from the first call on. Where they cannot be read now, the log says so,
  // and they are read later.
  static_cast<void>(impl->executive->LoadLimits(absl::Now() + kLimitsTimeout));
  status = impl->OpenPruner(options);
  if (!status.ok()) return status;
  status = impl->Serve(options);
  if (!status.ok()) return status;
  if (options.pruning.enabled) impl->pruner->Start();
  LOG(INFO) << "event=executive_started listen=" << absl::StrJoin(impl->server->addresses(), ",")
            << (impl->http_server == nullptr ? ""
                                             : absl::StrCat(" http=", impl->http_server->address()))
            << (impl->metrics_server == nullptr
                    ? ""
                    : absl::StrCat(" metrics=", impl->metrics_server->address()))
            << " ctldb=" << options.ctldb.ToString();
  return std::unique_ptr<ExecutiveServer>(new ExecutiveServer(std::move(impl)));
}

ExecutiveServer::ExecutiveServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ExecutiveServer::~ExecutiveServer() = default;

const std::vector<std::string>& ExecutiveServer::addresses() const {
  return impl_->server->addresses();
}

std::string ExecutiveServer::http_address() const {
  return impl_->http_server == nullptr ? "" : impl_->http_server->address();
}

std::string ExecutiveServer::metrics_address() const {
  return impl_->metrics_server == nullptr ? "" : impl_->metrics_server->address();
}

void ExecutiveServer::Shutdown(absl::Duration grace) {
  const absl::Time end = absl::Now() + grace;
  // Its thread speaks of the health to a server that is about to end.
  impl_->metrics_server.reset();
  impl_->readiness.reset();
  impl_->tailer.Shutdown();
  impl_->pruner->Stop();
  impl_->server->Shutdown(end - absl::Now());
  if (impl_->http_server != nullptr) impl_->http_server->Shutdown(end - absl::Now());
}

}  // namespace ctlstore::executive
