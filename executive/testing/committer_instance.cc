#include "executive/testing/committer_instance.h"

#include <utility>

#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "executive/mutation_plan.h"
#include "executive/table_reader.h"

namespace ctlstore::executive {
namespace {

int64_t NextEvent() {
  static std::atomic<int64_t> events(0);
  return ++events;
}

}  // namespace

MutateRequest OwnedRequest::view() const {
  MutateRequest view;
  view.family = family;
  view.mutations.reserve(rows.size());
  for (const Row& row : rows) {
    Mutation mutation{row.table, row.remove, {}};
    for (const auto& [name, value] : row.values) mutation.values.emplace_back(name, value.view());
    view.mutations.push_back(std::move(mutation));
  }
  if (cookie.has_value()) view.cookie = *cookie;
  if (check_cookie.has_value()) view.check_cookie = *check_cookie;
  return view;
}

const absl::StatusOr<int64_t>& PendingAnswer::Wait() const {
  done_.WaitForNotification();
  return answer_;
}

CommitterInstance::Options CommitterInstance::DefaultOptions() {
  Options options;
  options.committer.outcome_timeout = absl::Seconds(20);
  options.limits.default_writer_rows = 0;
  return options;
}

CommitterInstance::CommitterInstance(const TestCtldb& ctldb, Options options)
    : pool(
          [this, &ctldb]() -> absl::StatusOr<std::unique_ptr<ctldb::Connection>> {
            absl::Status status = faults.open ? faults.open() : absl::OkStatus();
            if (!status.ok()) return status;
            absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
                ctldb::Connection::Open(ctldb.target(), ctldb.options());
            if (!connection.ok()) return connection.status();
            return WithFaults(*std::move(connection), &faults);
          },
          options.max_connections),
      changer(&pool,
              [this](absl::string_view point) {
                return schema_fault ? schema_fault(point) : absl::OkStatus();
              }),
      limits_pool([&ctldb] { return ctldb::Connection::Open(ctldb.target(), ctldb.options()); }, 2),
      limits(options.limits, &limits_pool, Clock::Real(), &metrics),
      planning_(ctldb.Connect()) {
  options.committer.ctldb = ctldb.target();
  options.committer.connection = ctldb.options();
  committer = std::make_unique<GroupCommitter>(options.committer, &pool, &changer, &tables, &limits,
                                               &metrics);
}

absl::StatusOr<std::shared_ptr<const TableSchema>> CommitterInstance::FindTable(
    const TableName& name) {
  std::shared_ptr<const TableSchema> known = tables.Find(name);
  if (known != nullptr) return known;
  const int64_t version = tables.version();
  absl::MutexLock lock(&planning_mutex_);
  absl::StatusOr<TableSchema> schema = ReadTable(name, planning_.get());
  if (!schema.ok()) return schema.status();
  return tables.Put(*std::move(schema), version);
}

std::shared_ptr<PendingAnswer> CommitterInstance::Submit(OwnedRequest owned) {
  auto pending = std::make_shared<PendingAnswer>(std::move(owned));
  pending->submitted_at_ = NextEvent();
  const int64_t version = tables.version();
  MutateRequest request = pending->request.view();
  absl::StatusOr<MutationPlan> plan =
      MutationPlan::Create(request, [this](const TableName& name) { return FindTable(name); });
  if (!plan.ok()) {
    pending->answer_ = plan.status();
    pending->answered_at_ = NextEvent();
    pending->done_.Notify();
    return pending;
  }
  std::unique_ptr<GroupCommitter::Submission> submission(new GroupCommitter::Submission{
      pending->request.writer,
      std::move(request),
      *std::move(plan),
      version,
      absl::Now() + pending->request.timeout,
      [pending] { return pending->cancelled.load(); },
      nullptr,
  });
  submission->done = [pending, plan = &submission->plan](absl::StatusOr<int64_t> answer) {
    pending->statements_ = plan->statements();
    pending->answer_ = std::move(answer);
    pending->answered_at_ = NextEvent();
    pending->done_.Notify();
  };
  committer->Submit(std::move(submission));
  return pending;
}

}  // namespace ctlstore::executive
