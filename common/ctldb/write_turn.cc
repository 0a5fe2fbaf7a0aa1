#include "common/ctldb/write_turn.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/connection_errors.h"

namespace ctlstore::ctldb {
namespace {

struct Registry {
  absl::Mutex mutex;
  absl::flat_hash_map<std::string, std::weak_ptr<WriteTurn>> turns ABSL_GUARDED_BY(mutex);
};

Registry& TheRegistry() {
  static Registry* const registry = new Registry;
  return *registry;
}

absl::Duration Until(absl::Time deadline) {
  return std::max(deadline - absl::Now(), absl::ZeroDuration());
}

}  // namespace

absl::StatusOr<std::shared_ptr<WriteTurn>> WriteTurn::Of(const std::string& database_path) {
  // Two names of one file would only cost the order among their users: the lock files are the same.
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::weakly_canonical(database_path, error);
  const std::string path = error ? database_path : absolute.string();

  Registry& registry = TheRegistry();
  absl::MutexLock lock(&registry.mutex);
  std::weak_ptr<WriteTurn>& known = registry.turns[path];
  if (std::shared_ptr<WriteTurn> turn = known.lock(); turn != nullptr) return turn;
  absl::StatusOr<std::unique_ptr<FileLock>> turn = FileLock::Open(absl::StrCat(path, ".lock"));
  if (!turn.ok()) return DatabaseUnavailable(turn.status().message());
  absl::StatusOr<std::unique_ptr<FileLock>> next = FileLock::Open(absl::StrCat(path, ".lock.next"));
  if (!next.ok()) return DatabaseUnavailable(next.status().message());
  std::shared_ptr<WriteTurn> created(new WriteTurn(path, *std::move(turn), *std::move(next)));
  known = created;
  return created;
}

absl::Status WriteTurn::Take(absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  if (!TakeInProcess(deadline)) {
    return DatabaseBusy(absl::StrCat("other transactions of this process write ", path_,
                                     " and did not end within ", absl::FormatDuration(wait)));
  }
  absl::Status status = next_->Lock(Until(deadline));
  if (status.ok()) {
    status = turn_->Lock(Until(deadline));
    next_->Unlock();
  }
  if (status.ok()) return absl::OkStatus();
  GiveInProcess();
  if (absl::IsFailedPrecondition(status)) return DatabaseBusy(status.message());
  return DatabaseUnavailable(status.message());
}

void WriteTurn::Give() {
  turn_->Unlock();
  GiveInProcess();
}

size_t WriteTurn::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiters_.size();
}

bool WriteTurn::TakeInProcess(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (!taken_) {
    taken_ = true;
    return true;
  }
  waiters_.emplace_back();
  const auto self = std::prev(waiters_.end());
  mutex_.AwaitWithDeadline(absl::Condition(&self->has_turn), deadline);
  const bool has_turn = self->has_turn;
  // Who gives the turn leaves the waiter in the list, because it is looked at until here.
  waiters_.erase(self);
  return has_turn;
}

void WriteTurn::GiveInProcess() {
  absl::MutexLock lock(&mutex_);
  for (Waiter& waiter : waiters_) {
    if (waiter.has_turn) continue;
    waiter.has_turn = true;
    return;
  }
  taken_ = false;
}

}  // namespace ctlstore::ctldb
