#include "common/ldb/change_feed.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore::ldb {
namespace {

using Events = std::vector<std::shared_ptr<const ChangeEvent>>;

// About what an event takes in memory, with what the allocator adds.
size_t MemoryOf(const ChangeEvent& event) {
  size_t bytes = 128 + sizeof(event) + event.table.family.size() + event.table.table.size();
  for (const Field& field : event.key_fields) bytes += sizeof(field) + field.name.size();
  for (const Value& value : event.key) {
    bytes += sizeof(value);
    if (value.kind() == ValueKind::kText || value.kind() == ValueKind::kBytes) {
      bytes += value.data().size();
    }
  }
  return bytes;
}

std::shared_ptr<const ChangeEvent> Keep(const Change& change) {
  auto event = std::make_shared<ChangeEvent>();
  event->kind = change.kind;
  event->sequence = change.sequence;
  if (change.table != nullptr) event->table = *change.table;
  event->key_fields.assign(change.key_fields.begin(), change.key_fields.end());
  event->key.reserve(change.key.size());
  for (const ValueView& value : change.key) event->key.emplace_back(value);
  return event;
}

// What became visible at once.
struct Commit {
  // The positions before it and after it.
  int64_t from = 0;
  int64_t to = 0;
  Events events;
  size_t bytes = 0;
};

}  // namespace

class ChangeFeed::Impl {
 public:
  explicit Impl(size_t max_bytes) : max_bytes_(max_bytes) {}

  absl::StatusOr<Events> Read(Place* place, size_t max_events, absl::Time deadline) {
    while (true) {
      const int64_t after = place->sequence;
      const absl::StatusOr<Commits> commits = ReadCommits(place, max_events, deadline);
      if (!commits.ok()) return commits.status();
      Events events;
      for (const std::shared_ptr<const Commit>& commit : *commits) {
        for (const std::shared_ptr<const ChangeEvent>& event : commit->events) {
          if (commit->from >= after || event->sequence > after ||
              event->kind == Change::Kind::kEverything) {
            events.push_back(event);
          }
        }
      }
      if (!events.empty() || commits->empty()) return events;
      // All that changed in that commit was before the place.
    }
  }

  void Attach(int64_t applied_sequence) {
    Commits dropped;
    absl::MutexLock lock(&mutex_);
    dropped.swap(commits_);
    bytes_ = 0;
    kept_from_ = applied_sequence;
    applied_ = applied_sequence;
    committing_ = false;
    ++attached_;
    moved_.SignalAll();
  }

  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    moved_.SignalAll();
  }

  void Committing() {
    absl::MutexLock lock(&mutex_);
    committing_ = true;
  }

  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) {
    auto commit = std::make_shared<Commit>();
    commit->to = applied_sequence;
    commit->events.reserve(changes.size());
    for (const Change& change : changes) {
      commit->events.push_back(Keep(change));
      commit->bytes += MemoryOf(*commit->events.back());
      // It will not be kept.
      if (commit->bytes > max_bytes_) break;
    }
    // What goes is freed without the lock.
    Commits dropped;
    absl::MutexLock lock(&mutex_);
    commit->from = applied_;
    applied_ = applied_sequence;
    committing_ = false;
    if (!changes.empty()) {
      bytes_ += commit->bytes;
      commits_.push_back(std::move(commit));
      while (bytes_ > max_bytes_) {
        bytes_ -= commits_.front()->bytes;
        kept_from_ = commits_.front()->to;
        dropped.push_back(std::move(commits_.front()));
        commits_.pop_front();
      }
    }
    moved_.SignalAll();
  }

  void CommitFailed() {
    absl::MutexLock lock(&mutex_);
    committing_ = false;
    moved_.SignalAll();
  }

 private:
  using Commits = std::deque<std::shared_ptr<const Commit>>;

  absl::StatusOr<Commits> ReadCommits(Place* place, size_t max_events, absl::Time deadline) {
    const int64_t after = place->sequence;
    absl::MutexLock lock(&mutex_);
    for (bool timed_out = false;; timed_out = moved_.WaitWithDeadline(&mutex_, deadline)) {
      if (closed_) return absl::CancelledError("the local database is closed");
      if (attached_ == 0) {
        if (timed_out) return Commits();
        continue;
      }
      if (place->attached == 0) place->attached = attached_;
      if (place->attached != attached_) {
        return absl::OutOfRangeError("the local database is another one now");
      }
      if (after < kept_from_) {
        return absl::OutOfRangeError(absl::StrCat(
            "changes after sequence ", after, " are not kept any more, only after ", kept_from_));
      }
      // Who reads the database can know of a commit before it is here.
      if (after > applied_ && !committing_) {
        return absl::OutOfRangeError(
            absl::StrCat("sequence ", after, " is not reached, the last one is ", applied_));
      }
      Commits found = CommitsAfter(after, max_events);
      if (!found.empty()) {
        place->sequence = found.back() == commits_.back() ? applied_ : found.back()->to;
        return found;
      }
      if (timed_out) {
        place->sequence = std::max(after, applied_);
        return found;
      }
    }
  }

  Commits CommitsAfter(int64_t sequence, size_t max_events) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Commits found;
    size_t events = 0;
    for (auto commit = std::upper_bound(
             commits_.begin(), commits_.end(), sequence,
             [](int64_t value, const auto&candidate) { return value < candidate->to; });
         commit != commits_.end() && (found.empty() || events < max_events); ++commit) {
      events += (*commit)->events.size();
      found.push_back(*commit);
    }
    return found;
  }

  const size_t max_bytes_;
  absl::Mutex mutex_;
  absl::CondVar moved_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  // Counts Attach().
  uint64_t attached_ ABSL_GUARDED_BY(mutex_) = 0;
  // A commit may be visible already that is not here yet.
  bool committing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t applied_ ABSL_GUARDED_BY(mutex_) = 0;
  // All changes after this are in `commits_`, and no empty commit is.
  int64_t kept_from_ ABSL_GUARDED_BY(mutex_) = 0;
  Commits commits_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

ChangeFeed::ChangeFeed(size_t max_bytes) : impl_(std::make_unique<Impl>(max_bytes)) {}
ChangeFeed::~ChangeFeed() = default;

absl::StatusOr<Events> ChangeFeed::Read(Place* place, size_t max_events, absl::Time deadline) {
  return impl_->Read(place, max_events, deadline);
}

void ChangeFeed::Attach(int64_t applied_sequence) { impl_->Attach(applied_sequence); }

void ChangeFeed::Close() { impl_->Close(); }

void ChangeFeed::Committing(absl::Span<const Change>) { impl_->Committing(); }

void ChangeFeed::Committed(absl::Span<const Change> changes, int64_t applied_sequence) {
  impl_->Committed(changes, applied_sequence);
}

void ChangeFeed::CommitFailed() { impl_->CommitFailed(); }

}  // namespace ctlstore::ldb
