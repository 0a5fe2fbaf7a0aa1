// A ledger in memory, for tests.

#ifndef CTLSTORE_REFLECTOR_FAKE_SOURCE_H_
#define CTLSTORE_REFLECTOR_FAKE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "reflector/ledger_source.h"

namespace ctlstore::reflector {

// Thread-safe.
class FakeSource : public LedgerSource {
 public:
  absl::StatusOr<Batch> Read(const LedgerPosition& after, const Limits& limits) override {
    absl::MutexLock lock(&mutex_);
    asked_after_.push_back(after.sequence);
    const auto may_return = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return cancelled_ || !error_.ok() ||
             (!ledger_.empty() && ledger_.back().sequence > after.sequence);
    };
    mutex_.AwaitWithTimeout(absl::Condition(&may_return), absl::Milliseconds(20));
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!error_.ok()) return error_;
    Batch batch;
    size_t bytes = 0;
    for (const LedgerEntry& entry : ledger_) {
      if (entry.sequence <= after.sequence) continue;
      if (batch.entries.size() == limits.max_entries || bytes >= limits.max_bytes) break;
      batch.entries.push_back(entry);
      bytes += entry.statement.size();
    }
    batch.ledger_sequence = ledger_.empty() ? 0 : ledger_.back().sequence;
    const int64_t last = batch.entries.empty() ? after.sequence : batch.entries.back().sequence;
    if (last >= batch.ledger_sequence) batch.all_as_of = absl::Now();
    return batch;
  }

  void Cancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }

  std::string name() const override { return "fake://"; }

  // Appends entries with these statements.
  void Append(const std::vector<std::string>& statements) {
    absl::MutexLock lock(&mutex_);
    for (const std::string& statement : statements) {
      ledger_.push_back(
          {static_cast<int64_t>(ledger_.size()) + 1, "2024-01-01 00:00:00", statement});
    }
  }
  void Append(int count) { Append(std::vector<std::string>(count, "statement")); }

  // Makes each Read() fail until it is OK again.
  void Fail(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    error_ = std::move(error);
  }

  // After which sequences it was asked.
  std::vector<int64_t> asked_after() const {
    absl::MutexLock lock(&mutex_);
    return asked_after_;
  }
  // -1 for none.
  int64_t last_asked_after() const {
    absl::MutexLock lock(&mutex_);
    return asked_after_.empty() ? -1 : asked_after_.back();
  }

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<LedgerEntry> ledger_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> asked_after_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_FAKE_SOURCE_H_
