#include "reflector/ctldb_source.h"

#include <utility>

#include "common/base/backoff.h"

namespace ctlstore::reflector {

CtldbSource::CtldbSource(const ctldb::Target& target, const ctldb::ConnectionOptions& connection,
                         const Options& options, Clock* clock)
    : name_(target.ToString()),
      options_(options),
      clock_(clock),
      reader_(target, connection, options.ledger) {}

absl::StatusOr<LedgerSource::Batch> CtldbSource::Read(const LedgerPosition& after,
                                                      const Limits& limits) {
  const bool wait = end_ == after;
  end_.reset();
  if (wait) {
    clock_->SleepOrWake(Jittered(options_.poll_interval, options_.poll_jitter), &cancelled_);
  }
  // The reader says it where it was cancelled.
  const absl::Time begin = clock_->Now();
  absl::StatusOr<ctldb::LedgerReader::Result> read =
      reader_.ReadAfter(after, limits.max_entries, limits.max_bytes);
  if (!read.ok()) return read.status();
  Batch batch;
  batch.entries = std::move(read->entries);
  batch.ledger_sequence = read->last_sequence;
  if (read->at_end) {
    batch.all_as_of = begin;
    end_ = batch.entries.empty() ? after : PositionAfter(batch.entries.back());
  }
  return batch;
}

void CtldbSource::Release() {
  reader_.Disconnect();
  end_.reset();
}

void CtldbSource::Cancel() {
  reader_.Cancel();
  cancelled_.Notify();
}

}  // namespace ctlstore::reflector
