#include "heartbeat/heartbeat.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/backoff.h"

namespace ctlstore::heartbeat {
namespace {

constexpr char kFamily[] = "ctlstore";
constexpr char kTable[] = "heartbeats";
constexpr char kRowName[] = "heartbeat";

TableSchema Schema() {
  absl::StatusOr<TableSchema> schema = TableSchema::Create(
      kFamily, kTable, {{"name", FieldType::kString}, {"value", FieldType::kInteger}}, {"name"});
  CHECK(schema.ok()) << schema.status();
  return *std::move(schema);
}

// Whether the answer to Mutate says that the writer, the family or the table is not there.
bool SaysMissing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsUnauthenticated(status);
}

// Whether the answer to a schema change or to a registration says that this takes another role.
bool SaysForbidden(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

}  // namespace

Heartbeat::Heartbeat(Executive* executive, Clock* clock, const Options& options)
    : executive_(executive), clock_(clock), options_(options), schema_(Schema()) {}

void Heartbeat::Run(absl::Notification* stop) {
  Backoff backoff(options_.min_retry_pause, options_.max_retry_pause);
  while (!stop->HasBeenNotified()) {
    const absl::Time begin = clock_->Now();
    const absl::Status status = Beat(begin);
    // What fails because the work was ended from outside is not worth a line.
    if (stop->HasBeenNotified() && !status.ok()) return;
    Record(status);
    absl::Duration pause;
    if (status.ok()) {
      backoff.Reset();
      // The time that the call took is not added to the interval. The clock may have been set.
      pause = std::clamp(options_.interval - (clock_->Now() - begin), absl::ZeroDuration(),
                         options_.interval);
    } else {
      pause = backoff.Next();
    }
    if (clock_->SleepOrStop(pause, stop)) return;
  }
}

Heartbeat::State Heartbeat::state() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

absl::Status Heartbeat::Beat(absl::Time now) {
  const std::vector<ValueView> row = {kRowName, absl::ToUnixNanos(now)};
  absl::StatusOr<int64_t> sequence = executive_->Mutate(schema_, row);
  if (SaysMissing(sequence.status())) {
    const absl::Status prepared = Prepare();
    if (SaysForbidden(prepared)) {
      return absl::Status(
          sequence.status().code(),
          absl::StrCat(sequence.status().message(),
                       "; the heartbeat may not set up what is missing: ", prepared.message()));
    }
    if (!prepared.ok()) return prepared;
    sequence = executive_->Mutate(schema_, row);
  }
  if (!sequence.ok()) return sequence.status();
  absl::MutexLock lock(&mutex_);
  state_.last_written = now;
  state_.last_sequence = *sequence;
  return absl::OkStatus();
}

absl::Status Heartbeat::Prepare() {
  absl::Status status = executive_->RegisterWriter();
  if (status.ok()) status = executive_->CreateFamily(schema_.name().family);
  if (status.ok()) status = executive_->CreateTable(schema_);
  return status;
}

void Heartbeat::Record(const absl::Status& status) {
  State before;
  {
    absl::MutexLock lock(&mutex_);
    before = state_;
    state_.failures = status.ok() ? 0 : before.failures + 1;
    state_.last_error = status;
  }
  // A failure of another kind is a new one.
  if (status.code() == before.last_error.code()) return;
  if (status.ok()) {
    LOG(INFO) << "event=heartbeat_recovered failures=" << before.failures;
  } else {
    LOG(WARNING) << "event=heartbeat_failed error=\"" << status.ToString() << "\"";
  }
}

}  // namespace ctlstore::heartbeat
