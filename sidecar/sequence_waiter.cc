#include "sidecar/sequence_waiter.h"

#include <limits>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(1);

}  // namespace

class SequenceWaiter::Impl {
 public:
  Impl(ldb::Reader* reader, size_t max_waits)
      : reader_(reader), max_waits_(max_waits), thread_([this] { Run(); }) {}

  ~Impl() {
    {
      absl::MutexLock lock(&mutex_);
      stopped_ = true;
    }
    thread_.join();
  }

  absl::StatusOr<uint64_t> Wait(int64_t sequence, absl::Time deadline, Done done) {
    absl::MutexLock lock(&mutex_);
    if (waits_.size() >= max_waits_) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                             absl::StrCat("there are ", waits_.size(),
                                          " calls already that wait for a sequence, which is this "
                                          "sidecar's limit (--max_waits); try again later"));
    }
    const uint64_t number = ++last_number_;
    by_sequence_.emplace(sequence, number);
    by_deadline_.emplace(deadline, number);
    waits_.emplace(number, Waiting{sequence, deadline, std::move(done)});
    return number;
  }

  bool Cancel(uint64_t number) {
    // Destroyed when the lock is released, because it may be anything.
    Done done;
    absl::MutexLock lock(&mutex_);
    const auto wait = waits_.find(number);
    if (wait == waits_.end()) return false;
    done = Remove(wait).done;
    return true;
  }

  size_t waiting() const {
    absl::MutexLock lock(&mutex_);
    return waits_.size();
  }

 private:
  struct Waiting {
    int64_t sequence;
    absl::Time deadline;
    Done done;
  };
  using Waits = absl::flat_hash_map<uint64_t, Waiting>;
  struct Ended {
    Waiting wait;
    // Whether the sequence is there; its time is up otherwise.
    bool reached;
  };

  void Run() {
    while (true) {
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(this, &Impl::HasWork));
        if (stopped_) break;
      }
      Look();
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stopped_), kLookInterval);
    }
    EndAll();
  }

  // Without the lock: neither reading nor a wait's end may hold up those who begin to wait.
  void Look() {
    const absl::StatusOr<int64_t> sequence = reader_->GetSequence();
    const int64_t applied = sequence.ok() ? *sequence : std::numeric_limits<int64_t>::min();
    for (Ended& ended : TakeEnded(applied, absl::Now())) {
      if (ended.reached) {
        ended.wait.done(applied);
      } else if (!sequence.ok()) {
        ended.wait.done(sequence.status());
      } else {
        ended.wait.done(absl::DeadlineExceededError(
            absl::StrCat("sequence ", ended.wait.sequence,
                         " is not applied here yet; the last one is ", applied)));
      }
    }
  }

  std::vector<Ended> TakeEnded(int64_t applied, absl::Time now) {
    std::vector<Ended> ended;
    absl::MutexLock lock(&mutex_);
    while (!by_sequence_.empty() && by_sequence_.begin()->first <= applied) {
      ended.push_back({Remove(waits_.find(by_sequence_.begin()->second)), true});
    }
    while (!by_deadline_.empty() && by_deadline_.begin()->first <= now) {
      ended.push_back({Remove(waits_.find(by_deadline_.begin()->second)), false});
    }
    return ended;
  }

  void EndAll() {
    Waits waits;
    {
      absl::MutexLock lock(&mutex_);
      waits.swap(waits_);
      by_sequence_.clear();
      by_deadline_.clear();
    }
    for (auto& wait : waits) wait.second.done(absl::CancelledError("this sidecar ends"));
  }

  Waiting Remove(Waits::iterator wait) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Waiting waiting = std::move(wait->second);
    by_sequence_.erase({waiting.sequence, wait->first});
    by_deadline_.erase({waiting.deadline, wait->first});
    waits_.erase(wait);
    return waiting;
  }

  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_ || !waits_.empty(); }

  ldb::Reader* const reader_;
  const size_t max_waits_;

  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  // Each wait is in all three.
  Waits waits_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, uint64_t>> by_sequence_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<absl::Time, uint64_t>> by_deadline_ ABSL_GUARDED_BY(mutex_);
  // Last: it uses all of the others.
  std::thread thread_;
};

SequenceWaiter::SequenceWaiter(ldb::Reader* reader, size_t max_waits)
    : impl_(std::make_unique<Impl>(reader, max_waits)) {}
SequenceWaiter::~SequenceWaiter() = default;

absl::StatusOr<uint64_t> SequenceWaiter::Wait(int64_t sequence, absl::Time deadline, Done done) {
  return impl_->Wait(sequence, deadline, std::move(done));
}
bool SequenceWaiter::Cancel(uint64_t wait) { return impl_->Cancel(wait); }
size_t SequenceWaiter::waiting() const { return impl_->waiting(); }

}  // namespace ctlstore::sidecar
