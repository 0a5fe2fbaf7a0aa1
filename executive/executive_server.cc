#include "executive/executive_server.h"

#include <glog/logging.h>
#include <grpcpp/impl/service_type.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/schema_changer.h"
#include "executive/executive.h"
#include "executive/executive_service.h"

namespace ctlstore::executive {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(100);
constexpr absl::Duration kMaxWait = absl::Seconds(5);

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
        executive(Executive::Options{options.ctldb, options.connection}, &pool, &changer),
        service(NewExecutiveService(&executive, options.max_call_duration)) {}

  ctldb::ConnectionPool pool;
  ctldb::SchemaChanger changer;
  Executive executive;
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<rpc::Server> server;
};

absl::StatusOr<std::unique_ptr<ExecutiveServer>> ExecutiveServer::Start(const Options& options) {
  // A schema change takes two connections.
  if (options.max_ctldb_connections < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("an executive needs at least 2 connections to the ctldb, not ",
                     options.max_ctldb_connections));
  }
  auto impl = std::make_unique<Impl>(options);
  absl::Status prepared = Prepare(options, &impl->pool, &impl->changer);
  if (!prepared.ok()) return prepared;
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start(options.server, {impl->service.get()});
  if (!server.ok()) return server.status();
  impl->server = *std::move(server);
  LOG(INFO) << "event=executive_started listen=" << absl::StrJoin(impl->server->addresses(), ",")
            << " ctldb=" << options.ctldb.ToString();
  return std::unique_ptr<ExecutiveServer>(new ExecutiveServer(std::move(impl)));
}

ExecutiveServer::ExecutiveServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ExecutiveServer::~ExecutiveServer() = default;

const std::vector<std::string>& ExecutiveServer::addresses() const {
  return impl_->server->addresses();
}

void ExecutiveServer::Shutdown(absl::Duration grace) { impl_->server->Shutdown(grace); }

}  // namespace ctlstore::executive
