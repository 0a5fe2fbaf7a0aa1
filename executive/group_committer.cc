#include "executive/group_committer.h"

#include <glog/logging.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "common/base/backoff.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/schema/errors.h"
#include "executive/commit_outcome.h"
#include "executive/group_transaction.h"
#include "executive/retries.h"

namespace ctlstore::executive {
namespace {

// After so many failed attempts that may be owed to one of its requests, a group's requests are
// written in transactions of their own, so that this one does not fail all.
constexpr int kAttemptsTogether = 3;

// How often requests that wait are looked at for deadlines while the committer is at work.
constexpr absl::Duration kSweepInterval = absl::Milliseconds(50);

// What callers are advised to wait.
constexpr absl::Duration kQueueFullDelay = absl::Milliseconds(200);
constexpr absl::Duration kShutdownDelay = absl::Seconds(1);

// A request takes some memory besides its bytes.
size_t BytesOf(const GroupCommitter::Submission& submission) {
  return sizeof(submission) + submission.plan.bytes();
}

}  // namespace

class GroupCommitter::Impl {
 public:
  Impl(Options options, ctldb::ConnectionPool* pool, ctldb::SchemaChanger* changer,
       TableCache* tables, const LimitBook* limits, ExecutiveMetrics* metrics)
      : options_(std::move(options)),
        pool_(pool),
        changer_(changer),
        tables_(tables),
        limits_(limits),
        metrics_(metrics) {
    metrics_->SetQueueCapacity(options_.max_queue_requests, options_.max_queue_bytes);
    metrics_->SetQueue(0, 0);
    committer_ = std::thread([this] { Commit(); });
    sweeper_ = std::thread([this] { Sweep(); });
  }

  void Submit(std::unique_ptr<Submission> submission);
  size_t queue_length() const {
    absl::MutexLock lock(&mutex_);
    return queue_.size();
  }
  const Options& options() const { return options_; }
  void Shutdown();

 private:
  using Group = std::vector<std::unique_ptr<Submission>>;
  using Lease = ctldb::ConnectionPool::Lease;

  // How one attempt to write a group went.
  struct Attempt {
    enum class Result {
      kAnswered,
      // Nothing was changed; the same again may succeed.
      kAgain,
      // As kAgain, and a request may be the reason.
      kAgainMaybeAlone,
      // Some request was refused by the database; which one has to be found out.
      kCareful,
      // As kCareful, and it was this one, which has taken the others' transaction with it.
      kWithout,
      // For all requests.
      kFailed,
    };
    Result result;
    absl::Status error;
    size_t request = 0;
  };

  // The committer's thread.
  void Commit();
  // Empty when there will be no more.
  Group TakeGroup();
  // Writes and answers all; `attempts` were made before.
  void WriteGroup(Group group, int attempts);
  Attempt Try(Group* group, bool careful);
  Attempt FindOutcome(Group* group, const std::vector<absl::StatusOr<int64_t>>& answers,
                      int64_t before, const absl::Status& unknown);
  absl::StatusOr<ctldb::LedgerTransaction> Begin(absl::Time deadline, absl::optional<Lease>* lease);

  // Answers those that were given up, and takes them out.
  void AnswerGivenUp(Group* group);
  void Answer(std::unique_ptr<Submission> submission, absl::StatusOr<int64_t> answer);
  void AnswerAll(Group* group, const absl::Status& error);

  // The sweeper's thread: answers requests whose deadline passes in the queue, where the committer
  // may be kept from them by a lock or by a ctldb that does not answer.
  void Sweep();

  void TellQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    metrics_->SetQueue(queue_.size(), queue_bytes_);
  }

  const Options options_;
  ctldb::ConnectionPool* const pool_;
  ctldb::SchemaChanger* const changer_;
  TableCache* const tables_;
  const LimitBook* const limits_;
  ExecutiveMetrics* const metrics_;

  mutable absl::Mutex mutex_;
  std::deque<std::unique_ptr<Submission>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queue_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool shutdown_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  // The committer waits for requests; nobody else has to be told of one.
  bool committer_idle_ ABSL_GUARDED_BY(mutex_) = false;
  bool sweeper_idle_ ABSL_GUARDED_BY(mutex_) = false;
  absl::CondVar committer_wakes_;
  absl::CondVar sweeper_wakes_;

  absl::once_flag joined_;
  std::thread committer_;
  std::thread sweeper_;
};

// The queue ------------------------------------------------------------------------------------

void GroupCommitter::Impl::Submit(std::unique_ptr<Submission> submission) {
  const size_t bytes = BytesOf(*submission);
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (shutdown_) {
      refused =
          WithRetryDelay(absl::UnavailableError("this executive is shutting down"), kShutdownDelay);
    } else if (queue_.size() >= options_.max_queue_requests ||
               (queue_bytes_ + bytes > options_.max_queue_bytes && !queue_.empty())) {
      refused = WithRetryDelay(
          ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                          absl::StrCat(queue_.size(), " requests with ", queue_bytes_,
                                       " bytes wait already; nothing was changed")),
          kQueueFullDelay);
    } else {
      queue_.push_back(std::move(submission));
      queue_bytes_ += bytes;
      TellQueue();
      if (committer_idle_) committer_wakes_.Signal();
    }
  }
  if (!refused.ok()) Answer(std::move(submission), refused);
}

GroupCommitter::Impl::Group GroupCommitter::Impl::TakeGroup() {
  Group group;
  absl::MutexLock lock(&mutex_);
  while (queue_.empty() && !shutdown_) {
    committer_idle_ = true;
    committer_wakes_.Wait(&mutex_);
  }
  committer_idle_ = false;
  size_t rows = 0;
  size_t bytes = 0;
  while (!queue_.empty() && group.size() < options_.max_group_requests) {
    const Submission& next = *queue_.front();
    rows += next.plan.statements().size();
    bytes += BytesOf(next);
    if (!group.empty() && (rows > options_.max_group_rows || bytes > options_.max_group_bytes)) {
      break;
    }
    queue_bytes_ -= BytesOf(next);
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  TellQueue();
  ended_ = group.empty();
  if (sweeper_idle_ || ended_) sweeper_wakes_.Signal();
  return group;
}

void GroupCommitter::Impl::Sweep() {
  absl::MutexLock lock(&mutex_);
  while (!ended_) {
    if (committer_idle_) {
      sweeper_idle_ = true;
      sweeper_wakes_.Wait(&mutex_);
      sweeper_idle_ = false;
      continue;
    }
    sweeper_wakes_.WaitWithTimeout(&mutex_, kSweepInterval);
    const absl::Time now = absl::Now();
    const auto first_expired =
        std::stable_partition(queue_.begin(), queue_.end(),
                              [now](const auto& submission) { return now < submission->deadline; });
    if (first_expired == queue_.end()) continue;
    Group expired(std::make_move_iterator(first_expired), std::make_move_iterator(queue_.end()));
    queue_.erase(first_expired, queue_.end());
    for (const auto& submission : expired) queue_bytes_ -= BytesOf(*submission);
    TellQueue();
    mutex_.Unlock();
    AnswerAll(&expired, DeadlineStatus());
    mutex_.Lock();
  }
}

void GroupCommitter::Impl::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    shutdown_ = true;
    committer_wakes_.Signal();
  }
  absl::call_once(joined_, [this] {
    committer_.join();
    sweeper_.join();
  });
}

// Answers --------------------------------------------------------------------------------------

void GroupCommitter::Impl::Answer(std::unique_ptr<Submission> submission,
                                  absl::StatusOr<int64_t> answer) {
  if (!answer.ok()) metrics_->Refused(answer.status());
  submission->done(std::move(answer));
}

void GroupCommitter::Impl::AnswerAll(Group* group, const absl::Status& error) {
  for (std::unique_ptr<Submission>& submission : *group) {
    const absl::Status answer = ForCaller(error, submission->deadline);
    Answer(std::move(submission), answer);
  }
  group->clear();
}

void GroupCommitter::Impl::AnswerGivenUp(Group* group) {
  const absl::Time now = absl::Now();
  for (std::unique_ptr<Submission>& submission : *group) {
    if (now >= submission->deadline) {
      Answer(std::move(submission), DeadlineStatus());
    } else if (submission->cancelled && submission->cancelled()) {
      Answer(std::move(submission), absl::CancelledError("the caller has gone away"));
    }
  }
  group->erase(std::remove(group->begin(), group->end(), nullptr), group->end());
}

// Groups ---------------------------------------------------------------------------------------

void GroupCommitter::Impl::Commit() {
  for (Group group = TakeGroup(); !group.empty(); group = TakeGroup()) {
    WriteGroup(std::move(group), 0);
  }
}

void GroupCommitter::Impl::WriteGroup(Group group, int attempts) {
  using Result = Attempt::Result;
  Backoff backoff(kFirstRetryWait, kMaxRetryWait);
  bool careful = false;
  while (true) {
    AnswerGivenUp(&group);
    if (group.empty()) return;
    const Attempt attempt = Try(&group, careful);
    if (attempt.result == Result::kAnswered || group.empty()) return;
    switch (attempt.result) {
      case Result::kAnswered:
        return;
      case Result::kCareful:
        careful = true;
        metrics_->GroupSplit();
        continue;
      case Result::kWithout:
        Answer(std::move(group[attempt.request]), attempt.error);
        group.erase(group.begin() + static_cast<ptrdiff_t>(attempt.request));
        continue;
      case Result::kFailed:
        return AnswerAll(&group, attempt.error);
      case Result::kAgain:
      case Result::kAgainMaybeAlone:
        break;
    }
    // The wait for a connection ends with the first deadline; that is no failure of the others.
    const absl::Time now = absl::Now();
    if (std::any_of(group.begin(), group.end(),
                    [now](const auto& submission) { return now >= submission->deadline; })) {
      continue;
    }
    if (++attempts >= kMaxAttempts) return AnswerAll(&group, attempt.error);
    absl::SleepFor(backoff.Next());
    if (attempt.result == Result::kAgainMaybeAlone && attempts >= kAttemptsTogether &&
        group.size() > 1) {
      metrics_->GroupSplit();
      for (std::unique_ptr<Submission>& submission : group) {
        Group alone;
        alone.push_back(std::move(submission));
        WriteGroup(std::move(alone), attempts);
      }
      return;
    }
  }
}

absl::StatusOr<ctldb::LedgerTransaction> GroupCommitter::Impl::Begin(absl::Time deadline,
                                                                     absl::optional<Lease>* lease) {
  for (int i = 0; i < kMaxCompletions; ++i) {
    absl::StatusOr<Lease> acquired = pool_->Acquire(deadline);
    if (!acquired.ok()) return acquired.status();
    lease->emplace(*std::move(acquired));
    {
      absl::StatusOr<ctldb::LedgerTransaction> transaction =
          ctldb::LedgerTransaction::Begin((*lease)->get());
      if (!transaction.ok() || !transaction->schema_change_pending()) return transaction;
    }
    // The changer takes connections of its own; whoever kept one while waiting for another could
    // wait for good.
    lease->reset();
    absl::Status completed = changer_->CompletePending(deadline);
    if (!completed.ok()) return completed;
  }
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy,
                         "schema changes came one after the other; nothing was changed");
}

GroupCommitter::Impl::Attempt GroupCommitter::Impl::Try(Group* group, bool careful) {
  using Result = Attempt::Result;
  const absl::Time start = absl::Now();
  absl::Time first_deadline = absl::InfiniteFuture();
  for (const auto& submission : *group) {
    first_deadline = std::min(first_deadline, submission->deadline);
  }

  const auto failed = [this](Result result, const absl::Status& error, size_t request = 0) {
    metrics_->CtldbError(error);
    return Attempt{result, error, request};
  };

  int64_t before = 0;
  absl::Status committed;
  absl::Duration commit_duration;
  std::vector<absl::StatusOr<int64_t>> answers;
  {
    absl::optional<Lease> lease;
    absl::StatusOr<ctldb::LedgerTransaction> begun = Begin(first_deadline, &lease);
    if (!begun.ok()) {
      return failed(MayRetry(begun.status()) ? Result::kAgain : Result::kFailed, begun.status());
    }
    // The wait for the lock may have taken all the time there was.
    AnswerGivenUp(group);
    if (group->empty()) return {Result::kAnswered, absl::OkStatus()};

    before = begun->last_sequence();
    GroupTransaction transaction(lease->get(), *std::move(begun), tables_, limits_);
    std::vector<absl::Status> refused;
    absl::Status status = transaction.Prepare(*group, &refused);
    if (!status.ok()) {
      return failed(MayRetry(status) ? Result::kAgainMaybeAlone : Result::kFailed, status);
    }
    size_t written = 0;
    answers.reserve(group->size());
    for (size_t i = 0; i < group->size(); ++i) {
      if (!refused[i].ok()) {
        answers.push_back(refused[i]);
        continue;
      }
      Submission* submission = (*group)[i].get();
      answers.push_back(careful ? transaction.Write(submission) : transaction.Gather(*submission));
      if (answers.back().ok()) {
        ++written;
        continue;
      }
      const absl::Status& error = answers.back().status();
      if (!careful) continue;
      if (MayRetry(error)) return failed(Result::kAgainMaybeAlone, error);
      if (transaction.lost()) return failed(Result::kWithout, error, i);
    }
    if (written > 0) {
      status = transaction.Finish();
      if (!status.ok()) {
        if (MayRetry(status)) return failed(Result::kAgainMaybeAlone, status);
        return failed(careful ? Result::kFailed : Result::kCareful, status);
      }
      const absl::Time commit_start = absl::Now();
      committed = transaction.Commit();
      commit_duration = absl::Now() - commit_start;
    }
  }

  if (HasReason(committed, reason::kOutcomeUnknown)) {
    metrics_->CtldbError(committed);
    const Attempt outcome = FindOutcome(group, answers, before, committed);
    if (outcome.result != Result::kAnswered || group->empty()) return outcome;
  } else if (!committed.ok()) {
    return failed(MayRetry(committed) ? Result::kAgainMaybeAlone : Result::kFailed, committed);
  }

  size_t requests = 0;
  size_t rows = 0;
  int64_t last_sequence = 0;
  for (size_t i = 0; i < group->size(); ++i) {
    if (!answers[i].ok()) continue;
    ++requests;
    rows += (*group)[i]->plan.statements().size();
    last_sequence = *answers[i];
  }
  if (requests > 0) {
    metrics_->GroupCommitted(requests, rows, absl::Now() - start, commit_duration, last_sequence);
    if (options_.committed) options_.committed(last_sequence);
  }
  for (size_t i = 0; i < group->size(); ++i) {
    Answer(std::move((*group)[i]), std::move(answers[i]));
  }
  group->clear();
  return {Result::kAnswered, absl::OkStatus()};
}

GroupCommitter::Impl::Attempt GroupCommitter::Impl::FindOutcome(
    Group* group, const std::vector<absl::StatusOr<int64_t>>& answers, int64_t before,
    const absl::Status& unknown) {
  using Result = Attempt::Result;
  std::vector<AppendedStatements> appended;
  for (size_t i = 0; i < group->size(); ++i) {
    if (answers[i].ok()) appended.push_back((*group)[i]->plan.statements());
  }
  const absl::StatusOr<bool> found =
      FindCommitOutcome(pool_, options_.ctldb, options_.connection, before, appended,
                        absl::Now() + options_.outcome_timeout);
  if (found.ok()) {
    LOG(WARNING) << "event=commit_outcome_found after_sequence=" << before
                 << " requests=" << appended.size() << " committed=" << (*found ? "true" : "false");
    if (*found) return {Result::kAnswered, absl::OkStatus()};
    return {Result::kAgain,
            ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable,
                            "the connection to the ctldb broke before the commit; nothing was "
                            "changed")};
  }
  LOG(WARNING) << "event=commit_outcome_unknown after_sequence=" << before
               << " requests=" << appended.size() << " error=\"" << found.status().message()
               << "\"";
  // A refusal may be owed to a request of which nobody knows whether it was applied.
  const absl::Status not_applied =
      ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable,
                      "the connection to the ctldb broke; nothing was changed by this request");
  for (size_t i = 0; i < group->size(); ++i) {
    const absl::Status& error = answers[i].ok() ? unknown : not_applied;
    Answer(std::move((*group)[i]), ForCaller(error, absl::InfiniteFuture()));
  }
  group->clear();
  return {Result::kAnswered, absl::OkStatus()};
}

// The face -------------------------------------------------------------------------------------

GroupCommitter::GroupCommitter(Options options, ctldb::ConnectionPool* pool,
                               ctldb::SchemaChanger* changer, TableCache* tables,
                               const LimitBook* limits, ExecutiveMetrics* metrics)
    : impl_(std::make_unique<Impl>(std::move(options), pool, changer, tables, limits, metrics)) {}

GroupCommitter::~GroupCommitter() { Shutdown(); }

void GroupCommitter::Submit(std::unique_ptr<Submission> submission) {
  impl_->Submit(std::move(submission));
}

size_t GroupCommitter::queue_length() const { return impl_->queue_length(); }

const GroupCommitter::Options& GroupCommitter::options() const { return impl_->options(); }

void GroupCommitter::Shutdown() { impl_->Shutdown(); }

}  // namespace ctlstore::executive
