#include "reflector/ledger_fetcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ctlstore::reflector {
namespace {

size_t BytesOf(const std::vector<LedgerEntry>& entries) {
  size_t bytes = 0;
  for (const LedgerEntry& entry : entries) {
    bytes += sizeof(entry) + entry.leader_time.size() + entry.statement.size();
  }
  return bytes;
}

// Puts what was read after `first` behind it.
void Join(LedgerFetcher::Fetched second, LedgerFetcher::Fetched* first) {
  if (first->entries.empty()) {
    first->entries = std::move(second.entries);
  } else {
    first->entries.insert(first->entries.end(), std::make_move_iterator(second.entries.begin()),
                          std::make_move_iterator(second.entries.end()));
  }
  first->ledger_sequence = std::max(first->ledger_sequence, second.ledger_sequence);
  first->all_as_of = second.all_as_of;
  first->all_as_of_steady = second.all_as_of_steady;
}

}  // namespace

LedgerFetcher::LedgerFetcher(LedgerSource* source, Clock* clock, Options options)
    : source_(source),
      clock_(clock),
      options_(std::move(options)),
      backoff_(options_.min_retry_pause, options_.max_retry_pause),
      thread_([this] { Run(); }) {}

LedgerFetcher::~LedgerFetcher() { Stop(); }

void LedgerFetcher::Restart(const LedgerPosition& after) {
  {
    absl::MutexLock lock(&mutex_);
    ++restarts_;
    reading_ = true;
    position_ = after;
    queue_.clear();
    queue_bytes_ = 0;
  }
  changed_.Notify();
}

void LedgerFetcher::Pause() {
  absl::MutexLock lock(&mutex_);
  ++restarts_;
  reading_ = false;
  queue_.clear();
  queue_bytes_ = 0;
}

absl::optional<absl::StatusOr<LedgerFetcher::Fetched>> LedgerFetcher::Take(
    const LedgerSource::Limits& limits) {
  Fetched taken;
  {
    absl::MutexLock lock(&mutex_);
    if (queue_.empty()) return absl::nullopt;
    if (!queue_.front().error.ok()) {
      absl::Status error = std::move(queue_.front().error);
      queue_.pop_front();
      return error;
    }
    size_t bytes = 0;
    bool first = true;
    while (!queue_.empty() && queue_.front().error.ok()) {
      Item& item = queue_.front();
      if (!first && (taken.entries.size() + item.fetched.entries.size() > limits.max_entries ||
                     bytes + item.bytes > limits.max_bytes)) {
        break;
      }
      first = false;
      bytes += item.bytes;
      queue_bytes_ -= item.bytes;
      Join(std::move(item.fetched), &taken);
      queue_.pop_front();
    }
  }
  changed_.Notify();
  return taken;
}

size_t LedgerFetcher::queue_bytes() const {
  absl::MutexLock lock(&mutex_);
  return queue_bytes_;
}

void LedgerFetcher::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  source_->Cancel();
  changed_.Notify();
  thread_.join();
}

void LedgerFetcher::Run() {
  while (true) {
    LedgerPosition after;
    int64_t restarts;
    absl::Duration wait;
    {
      absl::MutexLock lock(&mutex_);
      if (stopped_) return;
      wait = UntilNextRead();
      after = position_;
      restarts = restarts_;
    }
    if (wait > absl::ZeroDuration()) {
      changed_.Wait(wait);
      continue;
    }
    const absl::Duration begin = clock_->SteadyNow();
    absl::StatusOr<LedgerSource::Batch> batch = source_->Read(after, options_.read);
    const absl::Status status = batch.status();
    {
      absl::MutexLock lock(&mutex_);
      if (stopped_) return;
      // An error is the source's, wherever it was read.
      if (!status.ok()) retry_at_ = clock_->SteadyNow() + backoff_.Next();
      if (status.ok()) backoff_.Reset();
      if (restarts == restarts_) Add(std::move(batch), begin);
    }
    if (options_.on_read) options_.on_read(status);
  }
}

absl::Duration LedgerFetcher::UntilNextRead() {
  if (!reading_ || queue_bytes_ >= options_.max_queue_bytes) return absl::InfiniteDuration();
  return retry_at_ - clock_->SteadyNow();
}

void LedgerFetcher::Add(absl::StatusOr<LedgerSource::Batch> batch, absl::Duration begin) {
  Item item;
  if (!batch.ok()) {
    item.error = batch.status();
    // The newest of several tells enough.
    if (!queue_.empty() && !queue_.back().error.ok()) queue_.pop_back();
    queue_.push_back(std::move(item));
    return;
  }
  item.fetched.ledger_sequence = batch->ledger_sequence;
  item.fetched.all_as_of = batch->all_as_of;
  if (batch->all_as_of.has_value()) {
    const absl::Duration now = clock_->SteadyNow();
    // It was within this read, also where the clock was set meanwhile.
    item.fetched.all_as_of_steady =
        std::min(now, std::max(begin, now - (clock_->Now() - *batch->all_as_of)));
  }
  if (!batch->entries.empty()) position_ = PositionAfter(batch->entries.back());
  item.fetched.entries = std::move(batch->entries);
  item.bytes = BytesOf(item.fetched.entries);
  // A source that has nothing new must not make the queue longer.
  if (item.bytes == 0 && !queue_.empty() && queue_.back().error.ok()) {
    Join(std::move(item.fetched), &queue_.back().fetched);
    return;
  }
  queue_bytes_ += item.bytes;
  queue_.push_back(std::move(item));
}

}  // namespace ctlstore::reflector
