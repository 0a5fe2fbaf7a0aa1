#include "executive/ledger_tailer.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/base/backoff.h"
#include "common/ctldb/ledger_reader.h"
#include "common/schema/errors.h"
#include "executive/ledger_ring.h"
#include "executive/retries.h"

namespace ctlstore::executive {
namespace {

// What is asked for at once: of new entries, and of old ones for one of those who catch up. The
// latter is small, so that many have their turn soon and their messages take little memory.
constexpr size_t kNewEntries = 20000;
constexpr size_t kNewBytes = size_t{4} << 20;
constexpr size_t kOldEntries = 5000;
constexpr size_t kOldBytes = size_t{256} << 10;

// Pauses after a failed question to the ctldb.
constexpr absl::Duration kFirstRetry = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetry = absl::Seconds(1);
// A connection on which nothing comes for so long is given up, so that the end of an outage is
// seen.
constexpr absl::Duration kIoTimeout = absl::Seconds(10);

// What listeners that are sent away are advised to wait; jittered.
constexpr absl::Duration kRetryDelay = absl::Seconds(2);

// How often it is looked for listeners that take nothing.
constexpr absl::Duration kMindInterval = absl::Milliseconds(200);

constexpr size_t kMaxNameBytes = 100;

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime Now() { return std::chrono::steady_clock::now(); }
absl::Duration Since(SteadyTime time) { return absl::FromChrono(Now() - time); }

absl::Duration RetryDelayForListeners() { return Jittered(kRetryDelay, 0.5); }

// Whether an error is about a position in the ledger, and not about reaching the ledger.
bool IsAboutPosition(const absl::Status& status) {
  return HasReason(status, reason::kLedgerDiverged) || HasReason(status, reason::kLedgerPruned) ||
         HasReason(status, reason::kLedgerBehind);
}

absl::Status DivergedStatus(int64_t sequence) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged,
                         absl::StrCat("the ledger has another entry at the sequence ", sequence,
                                      ": it is another ledger, or was restored from a backup"));
}

absl::Status SlowReaderStatus() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kSlowReader,
                         "entries were taken more slowly than they came; come back from where you "
                         "are, to catch up");
}

absl::Status UnavailableStatus() {
  return WithRetryDelay(
      ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable,
                      "the ctldb does not answer this executive; try another upstream, or later"),
      RetryDelayForListeners());
}

absl::Status ShutdownStatus() {
  return WithRetryDelay(absl::UnavailableError("this executive is shutting down"),
                        RetryDelayForListeners());
}

ctldb::ConnectionOptions WithShortTimeouts(ctldb::ConnectionOptions options) {
  options.io_timeout = std::min(options.io_timeout, kIoTimeout);
  return options;
}

// Messages that follow a position.
struct Found {
  // The position that they follow, where it is not the one that was asked for.
  absl::optional<LedgerPosition> begin;
  std::vector<std::shared_ptr<const LedgerMessage>> messages;
  int64_t last_sequence = 0;
  // They are all that there is.
  bool at_end = false;
};

absl::StatusOr<Found> Read(ctldb::LedgerReader* reader, const LedgerPosition& after,
                           size_t max_entries, size_t max_bytes, size_t message_bytes) {
  absl::StatusOr<ctldb::LedgerReader::Result> result =
      reader->ReadAfter(after, max_entries, max_bytes);
  if (!result.ok()) return result.status();
  Found found;
  found.messages =
      PackLedgerMessages(after, result->entries, /*at_end=*/result->at_end, message_bytes);
  found.last_sequence = result->last_sequence;
  found.at_end = result->at_end;
  return found;
}

// The ledger's last entry, with which its digest is known.
absl::StatusOr<Found> FindEnd(ctldb::LedgerReader* reader, size_t message_bytes) {
  const absl::StatusOr<int64_t> last = reader->LastSequence();
  if (!last.ok()) return last.status();
  const LedgerPosition before{std::max<int64_t>(*last - 1, 0), ""};
  absl::StatusOr<Found> found = Read(reader, before, kNewEntries, kNewBytes, message_bytes);
  if (found.ok()) found->begin = before;
  return found;
}

}  // namespace

class LedgerTailer::Impl {
 public:
  Impl(Options options, LedgerMetrics* metrics);
  ~Impl();

  void Wake(int64_t sequence);
  void Listen(const LedgerPosition& after, absl::string_view name, LedgerListener* listener);
  void Sent(LedgerListener* listener, bool ok);
  void Leave(LedgerListener* listener);
  void Left(LedgerListener* listener);
  void Shutdown();

 private:
  struct Subscriber {
    Subscriber(LedgerListener* listener, LedgerPosition position, std::string name)
        : listener(listener), name(std::move(name)), position(std::move(position)) {}

    LedgerListener* const listener;
    const std::string name;
    // Behind what it was sent last, or began with.
    LedgerPosition position;
    // It goes by the ring. Otherwise it catches up: it has a message on its way, or is queued for a
    // reader, or a reader reads for it, or it waits for the tailer's next look at the ledger.
    bool live = false;
    bool queued = false;
    bool reading = false;
    // Send() was called, and it has not told yet that it may go on.
    bool sending = false;
    // Why it ends; OK where it does not. Its End() is called when nothing is on its way.
    absl::Status end;
    bool ended = false;
    // Since when the last Send() or End() is under way.
    SteadyTime busy_since;
    // Its Cancel() is to be called now, is being called, was called.
    bool cancel_due = false;
    bool cancelling = false;
    bool cancelled = false;
    bool greeted = false;
    SteadyTime sent_at;
    // Of the message on its way, where that is not from the ring.
    size_t old_bytes = 0;
  };
  using SubscriberPtr = std::shared_ptr<Subscriber>;

  // A call of a listener, made when the mutex is not held.
  struct Call {
    SubscriberPtr subscriber;
    LedgerListener::Part part;
    // Not OK: End().
    absl::Status end;
  };
  using Calls = std::vector<Call>;

  struct WokenBy {
    int64_t sequence = 0;
    SteadyTime time;
  };

  // Threads.
  void Tail();
  void CatchUp(ctldb::LedgerReader* reader);
  void Mind();

  // Gives the subscriber what it is to have next, if nothing is under way for it. `at_end`: the
  // ring is as long as the ledger, of which those are told who get nothing else.
  void Advance(const SubscriberPtr& subscriber, bool at_end, Calls* calls)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AdvanceAll(bool at_end, Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(const SubscriberPtr& subscriber, std::shared_ptr<const LedgerMessage> message,
            Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Queue(const SubscriberPtr& subscriber) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // It will end with this, unless it ends already.
  void LetGo(Subscriber* subscriber, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LogLetGo(const Subscriber& subscriber, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetLive(Subscriber* subscriber, bool live) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What the tailer does with what it has found.
  void Take(Found found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The ledger is not the one any more that was read.
  void BeginAnew(const absl::Status& status, Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets go who holds old messages while there are too many.
  void LetGoOfHolders() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until the tailer has something to do, at most so long; where it has failed, for so long.
  void WaitToTail(absl::Duration duration, bool failed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Lets go of the mutex meanwhile.
  void Run(Calls calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void RunUnlocked(Calls calls);

  void TellListeners() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    metrics_->SetListeners(subscribers_.size(), catching_up_);
  }
  void TellBuffer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::shared_ptr<const LedgerMessage> first = ring_.Behind(ring_.begin().sequence);
    metrics_->SetBuffer(ring_.bytes(), ring_.entries(),
                        first == nullptr ? 0 : first->first_sequence());
  }

  const Options options_;
  LedgerMetrics* const metrics_;
  ctldb::LedgerReader tail_reader_;
  std::vector<std::unique_ptr<ctldb::LedgerReader>> old_readers_;

  absl::Mutex mutex_;
  absl::CondVar tailer_wakes_;
  absl::CondVar readers_wake_;
  absl::CondVar minder_wakes_;
  absl::CondVar subscriber_left_;

  absl::flat_hash_map<LedgerListener*, SubscriberPtr> subscribers_ ABSL_GUARDED_BY(mutex_);
  size_t catching_up_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<SubscriberPtr> queue_ ABSL_GUARDED_BY(mutex_);
  size_t old_bytes_ ABSL_GUARDED_BY(mutex_) = 0;

  // Changed by the tailer's thread alone.
  LedgerRing ring_ ABSL_GUARDED_BY(mutex_);
  int64_t ledger_sequence_ ABSL_GUARDED_BY(mutex_) = 0;

  // A commit that the ring does not have yet; the last one, and the first one for the metric.
  WokenBy last_woken_ ABSL_GUARDED_BY(mutex_);
  WokenBy first_woken_ ABSL_GUARDED_BY(mutex_);
  // Somebody waits for a look at the ledger.
  bool look_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  // Since when the ctldb owes the tailer an answer.
  absl::optional<SteadyTime> asking_since_ ABSL_GUARDED_BY(mutex_);
  bool unavailable_ ABSL_GUARDED_BY(mutex_) = false;
  bool shutting_down_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::thread> threads_;
};

LedgerTailer::Impl::Impl(Options options, LedgerMetrics* metrics)
    : options_(std::move(options)),
      metrics_(metrics),
      tail_reader_(options_.ctldb, WithShortTimeouts(options_.connection),
                   {options_.first_sequence}),
      ring_(options_.buffer_bytes) {
  metrics_->SetLimits(options_.max_listeners, options_.buffer_bytes);
  for (size_t i = 0; i < options_.catch_up_readers; ++i) {
    old_readers_.push_back(std::make_unique<ctldb::LedgerReader>(
        options_.ctldb, WithShortTimeouts(options_.connection),
        ctldb::LedgerReader::Options{options_.first_sequence}));
  }
  threads_.emplace_back([this] { Tail(); });
  threads_.emplace_back([this] { Mind(); });
  for (const auto& reader : old_readers_) {
    threads_.emplace_back([this, reader = reader.get()] { CatchUp(reader); });
  }
}

LedgerTailer::Impl::~Impl() {
  Shutdown();
  for (std::thread& thread : threads_) thread.join();
}

// Listeners --------------------------------------------------------------------------------------

void LedgerTailer::Impl::RunUnlocked(Calls calls) {
  for (Call& call : calls) {
    if (call.end.ok()) {
      call.subscriber->listener->Send(std::move(call.part));
    } else {
      call.subscriber->listener->End(call.end);
    }
  }
}

void LedgerTailer::Impl::Run(Calls calls) {
  if (calls.empty()) return;
  mutex_.Unlock();
  RunUnlocked(std::move(calls));
  mutex_.Lock();
}

void LedgerTailer::Impl::Listen(const LedgerPosition& after, absl::string_view name,
                                LedgerListener* listener) {
  absl::Status refused;
  Calls calls;
  {
    absl::MutexLock lock(&mutex_);
    if (shutting_down_) {
      refused = ShutdownStatus();
    } else if (unavailable_) {
      refused = UnavailableStatus();
    } else if (subscribers_.size() >= options_.max_listeners) {
      refused = WithRetryDelay(
          ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kTooManyListeners,
                          absl::StrCat("this executive has ", subscribers_.size(),
                                       " listeners, and takes no more (--max_ledger_listeners)")),
          RetryDelayForListeners());
    }
    if (refused.ok()) {
      auto subscriber = std::make_shared<Subscriber>(
          listener, after, absl::CHexEscape(name.substr(0, kMaxNameBytes)));
      subscribers_.emplace(listener, subscriber);
      ++catching_up_;
      if (subscribers_.size() == 1) minder_wakes_.Signal();
      Advance(subscriber, /*at_end=*/false, &calls);
      tailer_wakes_.Signal();
      TellListeners();
    } else {
      metrics_->LetGo(refused);
    }
  }
  if (!refused.ok()) {
    listener->End(refused);
    return;
  }
  RunUnlocked(std::move(calls));
}

void LedgerTailer::Impl::Sent(LedgerListener* listener, bool ok) {
  Calls calls;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = subscribers_.find(listener);
    if (found == subscribers_.end()) return;
    const SubscriberPtr subscriber = found->second;
    subscriber->sending = false;
    if (subscriber->old_bytes > 0) {
      old_bytes_ -= std::exchange(subscriber->old_bytes, 0);
      readers_wake_.SignalAll();
    }
    if (!ok && subscriber->end.ok()) {
      subscriber->end = absl::CancelledError("the listener has gone away");
    }
    Advance(subscriber, /*at_end=*/false, &calls);
  }
  RunUnlocked(std::move(calls));
}

void LedgerTailer::Impl::Leave(LedgerListener* listener) {
  Calls calls;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = subscribers_.find(listener);
    if (found == subscribers_.end()) return;
    const SubscriberPtr subscriber = found->second;
    if (subscriber->end.ok()) {
      subscriber->end = absl::CancelledError("the listener has gone away");
    }
    Advance(subscriber, /*at_end=*/false, &calls);
  }
  RunUnlocked(std::move(calls));
}

void LedgerTailer::Impl::Left(LedgerListener* listener) {
  absl::MutexLock lock(&mutex_);
  const auto found = subscribers_.find(listener);
  if (found == subscribers_.end()) return;
  const SubscriberPtr subscriber = found->second;
  while (subscriber->cancelling) subscriber_left_.Wait(&mutex_);
  if (!subscriber->live) --catching_up_;
  subscribers_.erase(listener);
  TellListeners();
  if (subscribers_.empty()) {
    // The tailer rests.
    tailer_wakes_.Signal();
    subscriber_left_.SignalAll();
  }
}

void LedgerTailer::Impl::Shutdown() {
  absl::MutexLock lock(&mutex_);
  Calls calls;
  if (!shutting_down_) {
    shutting_down_ = true;
    for (const auto& [listener, subscriber] : subscribers_) {
      LetGo(subscriber.get(), ShutdownStatus());
      Advance(subscriber, /*at_end=*/false, &calls);
    }
  }
  Run(std::move(calls));
  while (!subscribers_.empty()) subscriber_left_.Wait(&mutex_);
  stopped_ = true;
  tailer_wakes_.SignalAll();
  readers_wake_.SignalAll();
  minder_wakes_.SignalAll();
  tail_reader_.Cancel();
  for (const auto& reader : old_readers_) reader->Cancel();
}

void LedgerTailer::Impl::SetLive(Subscriber* subscriber, bool live) {
  if (subscriber->live == live) return;
  subscriber->live = live;
  catching_up_ += live ? -1 : 1;
  TellListeners();
}

void LedgerTailer::Impl::LetGo(Subscriber* subscriber, const absl::Status& status) {
  if (!subscriber->end.ok()) return;
  subscriber->end = status;
  metrics_->LetGo(status);
}

void LedgerTailer::Impl::LogLetGo(const Subscriber& subscriber, const absl::Status& status) {
  LOG(WARNING) << "event=ledger_listener_let_go instance=\"" << subscriber.name
               << "\" sequence=" << subscriber.position.sequence << " error=\"" << status.message()
               << "\"";
}

void LedgerTailer::Impl::Queue(const SubscriberPtr& subscriber) {
  subscriber->queued = true;
  queue_.push_back(subscriber);
  readers_wake_.Signal();
}

void LedgerTailer::Impl::Send(const SubscriberPtr& subscriber,
                              std::shared_ptr<const LedgerMessage> message, Calls* calls) {
  LedgerListener::Part part;
  if (message != nullptr) {
    part.entries = message->Behind(subscriber->position.sequence);
    subscriber->position = message->after();
    metrics_->Sent(part.entries.entries, part.entries.bytes.size());
  }
  part.message = std::move(message);
  part.last_sequence = std::max(ledger_sequence_, subscriber->position.sequence);
  subscriber->sending = true;
  subscriber->greeted = true;
  subscriber->busy_since = subscriber->sent_at = Now();
  calls->push_back({subscriber, std::move(part), absl::OkStatus()});
}

void LedgerTailer::Impl::Advance(const SubscriberPtr& subscriber, bool at_end, Calls* calls) {
  if (subscriber->sending || subscriber->ended) return;
  if (subscriber->end.ok() && !subscriber->queued && !subscriber->reading) {
    const LedgerPosition& position = subscriber->position;
    switch (ring_.Find(position)) {
      case LedgerRing::Place::kWithin:
        SetLive(subscriber.get(), true);
        break;
      case LedgerRing::Place::kBefore:
        if (!subscriber->live) return Queue(subscriber);
        LetGo(subscriber.get(), SlowReaderStatus());
        LogLetGo(*subscriber, subscriber->end);
        break;
      case LedgerRing::Place::kDiverged:
        LetGo(subscriber.get(), DivergedStatus(position.sequence));
        LogLetGo(*subscriber, subscriber->end);
        break;
      case LedgerRing::Place::kBeyond:
        if (!subscriber->live) return Queue(subscriber);
        break;
      case LedgerRing::Place::kUnknown:
        SetLive(subscriber.get(), false);
        return Queue(subscriber);
    }
  }
  if (!subscriber->end.ok()) {
    subscriber->ended = true;
    subscriber->busy_since = Now();
    calls->push_back({subscriber, {}, subscriber->end});
    return;
  }
  if (!subscriber->live) return;
  std::shared_ptr<const LedgerMessage> next = ring_.Behind(subscriber->position.sequence);
  if (next != nullptr) {
    Send(subscriber, std::move(next), calls);
  } else if (at_end &&
             (!subscriber->greeted || Since(subscriber->sent_at) >= options_.idle_interval)) {
    Send(subscriber, nullptr, calls);
  } else if (!subscriber->greeted) {
    // It is told when the tailer has looked.
    look_wanted_ = true;
    tailer_wakes_.Signal();
  }
}

void LedgerTailer::Impl::AdvanceAll(bool at_end, Calls* calls) {
  for (const auto& [listener, subscriber] : subscribers_) Advance(subscriber, at_end, calls);
}

// The tailer -------------------------------------------------------------------------------------

void LedgerTailer::Impl::Wake(int64_t sequence) {
  absl::MutexLock lock(&mutex_);
  if (subscribers_.empty() || sequence <= last_woken_.sequence ||
      (ring_.begun() && sequence <= ring_.end().sequence)) {
    return;
  }
  last_woken_ = {sequence, Now()};
  if (first_woken_.sequence == 0) first_woken_ = last_woken_;
  tailer_wakes_.Signal();
}

void LedgerTailer::Impl::WaitToTail(absl::Duration duration, bool failed) {
  const SteadyTime until = Now() + absl::ToChronoNanoseconds(duration);
  while (!stopped_ &&
         (failed || (!look_wanted_ && last_woken_.sequence == 0 && !subscribers_.empty()))) {
    const absl::Duration left = -Since(until);
    if (left <= absl::ZeroDuration()) return;
    tailer_wakes_.WaitWithTimeout(&mutex_, left);
  }
}

void LedgerTailer::Impl::Tail() {
  Backoff backoff(kFirstRetry, kMaxRetry);
  absl::MutexLock lock(&mutex_);
  while (!stopped_) {
    // After an outage, somebody has to see that it is over.
    if (subscribers_.empty() && !unavailable_) {
      ring_.Clear();
      // Forgets the messages that nobody holds any more.
      ring_.held_bytes();
      ledger_sequence_ = 0;
      last_woken_ = first_woken_ = {};
      asking_since_.reset();
      TellBuffer();
      tailer_wakes_.Wait(&mutex_);
      continue;
    }
    const bool begun = ring_.begun();
    const LedgerPosition position = ring_.end();
    look_wanted_ = false;
    last_woken_ = {};
    if (!asking_since_.has_value()) asking_since_ = Now();

    mutex_.Unlock();
    metrics_->AskedForNew();
    absl::StatusOr<Found> found =
        begun ? Read(&tail_reader_, position, kNewEntries, kNewBytes, options_.message_bytes)
              : FindEnd(&tail_reader_, options_.message_bytes);
    mutex_.Lock();

    if (stopped_) return;
    if (found.ok()) {
      const bool at_end = found->at_end;
      backoff.Reset();
      Take(*std::move(found));
      WaitToTail(
          at_end ? std::min(options_.poll_interval, options_.idle_interval) : absl::ZeroDuration(),
          /*failed=*/false);
    } else if (IsAboutPosition(found.status())) {
      Calls calls;
      BeginAnew(found.status(), &calls);
      Run(std::move(calls));
      WaitToTail(backoff.Next(), /*failed=*/true);
    } else {
      LOG_EVERY_N(WARNING, 20) << "event=ledger_not_read after=" << position.sequence << " error=\""
                               << found.status().message() << "\"";
      WaitToTail(backoff.Next(), /*failed=*/true);
    }
  }
}

void LedgerTailer::Impl::Take(Found found) {
  asking_since_.reset();
  if (unavailable_) LOG(INFO) << "event=ledger_read_again";
  unavailable_ = false;
  if (found.begin.has_value()) ring_.Begin(*found.begin);
  for (std::shared_ptr<const LedgerMessage>& message : found.messages) {
    ring_.Append(std::move(message));
  }
  ledger_sequence_ = std::max(found.last_sequence, ring_.end().sequence);
  TellBuffer();
  Calls calls;
  AdvanceAll(found.at_end, &calls);
  LetGoOfHolders();
  Run(std::move(calls));

  const int64_t end = ring_.end().sequence;
  if (first_woken_.sequence != 0 && first_woken_.sequence <= end) {
    metrics_->HandedOn(Since(first_woken_.time));
    first_woken_ = last_woken_.sequence > end ? last_woken_ : WokenBy();
  }
  if (last_woken_.sequence <= end) last_woken_ = {};
}

void LedgerTailer::Impl::BeginAnew(const absl::Status& status, Calls* calls) {
  LOG(WARNING) << "event=ledger_changed after=" << ring_.end().sequence << " error=\""
               << status.message() << "\"";
  ring_.Clear();
  ledger_sequence_ = 0;
  first_woken_ = {};
  asking_since_.reset();
  TellBuffer();
  // What this means for a listener depends on its own position, which a reader looks up.
  for (const auto& [listener, subscriber] : subscribers_) SetLive(subscriber.get(), false);
  AdvanceAll(/*at_end=*/false, calls);
}

void LedgerTailer::Impl::LetGoOfHolders() {
  if (ring_.held_bytes() <= options_.buffer_bytes) return;
  for (const auto& [listener, subscriber] : subscribers_) {
    if (!subscriber->live || !subscriber->sending || subscriber->cancelled ||
        subscriber->cancel_due || subscriber->position.sequence > ring_.begin().sequence) {
      continue;
    }
    LetGo(subscriber.get(), SlowReaderStatus());
    LogLetGo(*subscriber, subscriber->end);
    subscriber->cancel_due = true;
  }
  minder_wakes_.Signal();
}

// Those who catch up -----------------------------------------------------------------------------

void LedgerTailer::Impl::CatchUp(ctldb::LedgerReader* reader) {
  Backoff backoff(kFirstRetry, kMaxRetry);
  absl::MutexLock lock(&mutex_);
  while (!stopped_) {
    if (queue_.empty() || old_bytes_ >= options_.buffer_bytes) {
      readers_wake_.Wait(&mutex_);
      continue;
    }
    const SubscriberPtr subscriber = std::move(queue_.front());
    queue_.pop_front();
    subscriber->queued = false;
    if (subscriber->ended) continue;
    Calls calls;
    if (ring_.Find(subscriber->position) == LedgerRing::Place::kWithin) {
      Advance(subscriber, /*at_end=*/false, &calls);
      Run(std::move(calls));
      continue;
    }
    subscriber->reading = true;
    const LedgerPosition position = subscriber->position;

    mutex_.Unlock();
    metrics_->AskedForOld();
    // Entries that are read at once fit one message.
    absl::StatusOr<Found> found = Read(reader, position, kOldEntries, kOldBytes, 8 * kOldBytes);
    mutex_.Lock();

    subscriber->reading = false;
    if (subscriber->ended || stopped_) continue;
    absl::Duration pause;
    if (absl::IsUnavailable(found.status()) && !IsAboutPosition(found.status())) {
      // Where this goes on, the tailer meets it too.
      pause = backoff.Next();
      Queue(subscriber);
    } else if (!found.ok()) {
      LetGo(subscriber.get(), found.status());
      LogLetGo(*subscriber, subscriber->end);
      Advance(subscriber, /*at_end=*/false, &calls);
    } else if (!found->messages.empty()) {
      backoff.Reset();
      ledger_sequence_ = std::max(ledger_sequence_, found->last_sequence);
      subscriber->old_bytes = found->messages.front()->size();
      old_bytes_ += subscriber->old_bytes;
      Send(subscriber, std::move(found->messages.front()), &calls);
    } else {
      // It is at the ledger's end, which the tailer may not have seen yet.
      backoff.Reset();
      if (ring_.begun() && position.sequence >= ring_.end().sequence) {
        SetLive(subscriber.get(), true);
      }
      look_wanted_ = true;
      tailer_wakes_.Signal();
    }
    Run(std::move(calls));
    if (pause > absl::ZeroDuration() && !stopped_) readers_wake_.WaitWithTimeout(&mutex_, pause);
  }
}

// Those who take nothing, and the ctldb that does not answer -------------------------------------

void LedgerTailer::Impl::Mind() {
  absl::MutexLock lock(&mutex_);
  while (!stopped_) {
    if (subscribers_.empty()) {
      minder_wakes_.Wait(&mutex_);
      continue;
    }
    minder_wakes_.WaitWithTimeout(&mutex_, kMindInterval);

    if (!unavailable_ && asking_since_.has_value() &&
        Since(*asking_since_) >= options_.ctldb_patience) {
      LOG(WARNING) << "event=ledger_unavailable listeners=" << subscribers_.size();
      unavailable_ = true;
      Calls calls;
      for (const auto& [listener, subscriber] : subscribers_) {
        LetGo(subscriber.get(), UnavailableStatus());
        Advance(subscriber, /*at_end=*/false, &calls);
      }
      Run(std::move(calls));
    }

    const absl::Duration patience =
        shutting_down_ ? options_.shutdown_patience : options_.listener_timeout;
    std::vector<SubscriberPtr> stuck;
    for (const auto& [listener, subscriber] : subscribers_) {
      const bool busy = subscriber->sending || subscriber->ended;
      if (!busy || subscriber->cancelled) continue;
      if (!subscriber->cancel_due && Since(subscriber->busy_since) < patience) continue;
      if (subscriber->end.ok()) {
        LetGo(subscriber.get(), absl::CancelledError("nothing was taken for too long"));
        LogLetGo(*subscriber, subscriber->end);
      }
      // Left() waits for what is called here.
      subscriber->cancelled = subscriber->cancelling = true;
      stuck.push_back(subscriber);
    }
    for (const SubscriberPtr& subscriber : stuck) {
      mutex_.Unlock();
      subscriber->listener->Cancel();
      mutex_.Lock();
      subscriber->cancelling = false;
      subscriber_left_.SignalAll();
    }
  }
}

// The face ---------------------------------------------------------------------------------------

LedgerTailer::LedgerTailer(Options options, LedgerMetrics* metrics)
    : impl_(std::make_unique<Impl>(std::move(options), metrics)) {}

LedgerTailer::~LedgerTailer() = default;

void LedgerTailer::Wake(int64_t sequence) { impl_->Wake(sequence); }

void LedgerTailer::Listen(const LedgerPosition& after, absl::string_view name,
                          LedgerListener* listener) {
  impl_->Listen(after, name, listener);
}

void LedgerTailer::Sent(LedgerListener* listener, bool ok) { impl_->Sent(listener, ok); }

void LedgerTailer::Leave(LedgerListener* listener) { impl_->Leave(listener); }

void LedgerTailer::Left(LedgerListener* listener) { impl_->Left(listener); }

void LedgerTailer::Shutdown() { impl_->Shutdown(); }

}  // namespace ctlstore::executive
