#include "executive/testing/test_executive.h"

#include <glog/logging.h>

#include <utility>

#include "absl/status/statusor.h"

namespace ctlstore::executive {
namespace {

constexpr size_t kWorkers = 4;
constexpr size_t kMaxWaiting = 1000;

Executive::Options WithCtldb(Executive::Options options, const TestCtldb& ctldb) {
  options.commits.ctldb = ctldb.target();
  options.commits.connection = ctldb.options();
  options.commits.outcome_timeout = absl::Seconds(20);
  return options;
}

std::unique_ptr<rpc::AccessControl> WithoutRoles() {
  absl::StatusOr<std::unique_ptr<rpc::AccessControl>> access = rpc::AccessControl::Create({});
  CHECK(access.ok()) << access.status();
  return *std::move(access);
}

}  // namespace

Executive::Options TestExecutive::Unlimited() {
  Executive::Options options;
  options.limits.default_writer_rows = 0;
  return options;
}

TestExecutive::TestExecutive(const TestCtldb& ctldb, Executive::Options options,
                             size_t max_connections)
    : pool_(
          [this, &ctldb]() -> absl::StatusOr<std::unique_ptr<ctldb::Connection>> {
            absl::Status status = faults.open ? faults.open() : absl::OkStatus();
            if (!status.ok()) return status;
            absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
                ctldb::Connection::Open(ctldb.target(), ctldb.options());
            if (!connection.ok()) return connection.status();
            return WithFaults(*std::move(connection), &faults);
          },
          max_connections),
      changer_(&pool_,
               [this](absl::string_view point) {
                 return schema_fault ? schema_fault(point) : absl::OkStatus();
               }),
      access_(WithoutRoles()),
      workers_(std::make_unique<WorkerPool>(kWorkers, kMaxWaiting)),
      executive_(WithCtldb(std::move(options), ctldb),
                 Executive::Parts{&pool_, &changer_, workers_.get(), &metrics_}) {}

TestExecutive::~TestExecutive() { workers_.reset(); }

FaceParts TestExecutive::face() {
  return FaceParts{&executive_, access_.get(), workers_.get(), &call_metrics_};
}

}  // namespace ctlstore::executive
