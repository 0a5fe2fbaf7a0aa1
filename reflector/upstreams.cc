#include "reflector/upstreams.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

bool SameKind(const absl::Status& a, const absl::Status& b) {
  return a.code() == b.code() && ErrorReason(a) == ErrorReason(b);
}

absl::Status Cancelled() { return absl::CancelledError("the reading of the ledger was ended"); }

}  // namespace

Upstreams::Upstream::Upstream(std::unique_ptr<LedgerSource> its_source, const Options& options)
    : source(std::move(its_source)), backoff(options.min_retry_pause, options.max_retry_pause) {}

Upstreams::Upstreams(std::vector<std::unique_ptr<LedgerSource>> sources, const Options& options)
    : options_(options) {
  CHECK(!sources.empty());
  for (std::unique_ptr<LedgerSource>& source : sources) {
    upstreams_.push_back(std::make_unique<Upstream>(std::move(source), options));
  }
}

Upstreams::~Upstreams() {
  Cancel();
  if (probe_ != nullptr) probe_->thread.join();
}

void Upstreams::Use(size_t index) {
  Upstream& upstream = *upstreams_[index];
  upstream.last_error = absl::OkStatus();
  if (!upstream.works_since.has_value()) upstream.works_since = std::chrono::steady_clock::now();
  current_ = index;
  if (last_used_ == index) return;
  if (!last_used_.has_value()) {
    LOG(INFO) << "event=upstream_chosen upstream=" << upstream.source->name();
  } else {
    Upstream& before = *upstreams_[*last_used_];
    before.works_since.reset();
    LOG(INFO) << "event=upstream_changed from=" << before.source->name()
              << " to=" << upstream.source->name() << " reason=\""
              << (before.last_error.ok() ? "preferred" : before.last_error.ToString()) << "\"";
    ++switches_;
  }
  last_used_ = index;
}

void Upstreams::RecordFailure(size_t index, const absl::Status& status) {
  Upstream& upstream = *upstreams_[index];
  const Time now = std::chrono::steady_clock::now();
  if (upstream.works_since.has_value() &&
      absl::FromChrono(now - *upstream.works_since) >= options_.max_retry_pause) {
    upstream.backoff.Reset();
  }
  upstream.works_since.reset();
  upstream.retry_at = now + absl::ToChronoNanoseconds(upstream.backoff.Next());
  if (!SameKind(upstream.last_error, status)) {
    LOG(WARNING) << "event=upstream_failed upstream=" << upstream.source->name() << " error=\""
                 << status.ToString() << "\"";
  }
  upstream.last_error = status;
  ++upstream.failures;
  if (current_ == index) current_.reset();
}

absl::StatusOr<LedgerSource::Batch> Upstreams::ReadFrom(size_t index, const LedgerPosition& after,
                                                        const Limits& limits) {
  absl::StatusOr<Batch> batch = upstreams_[index]->source->Read(after, limits);
  LedgerSource* unused = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return Cancelled();
    if (!batch.ok()) {
      RecordFailure(index, batch.status());
      return batch;
    }
    if (last_used_.has_value() && last_used_ != index) {
      unused = upstreams_[*last_used_]->source.get();
    }
    Use(index);
  }
  if (unused != nullptr) unused->Release();
  return batch;
}

void Upstreams::StartProbe(const LedgerPosition& after) {
  absl::MutexLock lock(&mutex_);
  if (probe_ != nullptr || !current_.has_value()) return;
  const Time now = std::chrono::steady_clock::now();
  for (size_t index = 0; index < *current_; ++index) {
    if (upstreams_[index]->retry_at > now) continue;
    probe_ = std::make_unique<Probe>();
    probe_->index = index;
    probe_->thread = std::thread([this, probe = probe_.get(), after] {
      LedgerSource* const source = upstreams_[probe->index]->source.get();
      Limits limits;
      limits.max_entries = 1;
      const absl::Status status = source->Read(after, limits).status();
      if (!status.ok()) source->Release();
      absl::MutexLock thread_lock(&mutex_);
      if (!status.ok() && !cancelled_) RecordFailure(probe->index, status);
      probe->works = status.ok();
      probe->done = true;
    });
    return;
  }
}

absl::optional<size_t> Upstreams::EndProbe() {
  probe_->thread.join();
  const std::unique_ptr<Probe> ended = std::move(probe_);
  if (!ended->works) return absl::nullopt;
  return ended->index;
}

std::vector<size_t> Upstreams::Others(const std::vector<bool>& tried) const {
  absl::MutexLock lock(&mutex_);
  const Time now = std::chrono::steady_clock::now();
  std::vector<size_t> others;
  for (size_t index = 0; index < upstreams_.size(); ++index) {
    if (!tried[index]) others.push_back(index);
  }
  std::stable_partition(others.begin(), others.end(),
                        [&](size_t index) { return upstreams_[index]->retry_at <= now; });
  return others;
}

absl::Status Upstreams::AllFailed() const {
  absl::MutexLock lock(&mutex_);
  if (upstreams_.size() == 1) return upstreams_[0]->last_error;
  const auto any = [this](absl::string_view wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::any_of(upstreams_.begin(), upstreams_.end(), [&](const auto& upstream) {
      return ErrorReason(upstream->last_error) == wanted;
    });
  };
  const std::string message = absl::StrCat(
      "no upstream can be used: ",
      absl::StrJoin(upstreams_, "; ", [](std::string* out, const auto& upstream) {
        absl::StrAppend(out, upstream->source->name(), ": ",
                        upstream->last_error.ToString(absl::StatusToStringMode::kWithNoExtraData));
      }));
  if (ErrorReason(upstreams_[0]->last_error) == reason::kLedgerDiverged) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged, message);
  }
  if (any(reason::kLedgerPruned)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned, message);
  }
  if (any(reason::kLedgerBehind)) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLedgerBehind, message);
  }
  return absl::UnavailableError(message);
}

absl::StatusOr<LedgerSource::Batch> Upstreams::Read(const LedgerPosition& after,
                                                    const Limits& limits) {
  absl::optional<size_t> current;
  bool probe_done = false;
  {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return Cancelled();
    current = current_;
    probe_done = probe_ != nullptr && probe_->done;
  }
  std::vector<bool> tried(upstreams_.size());
  absl::StatusOr<Batch> batch;
  // Whether this call is over.
  const auto read_from = [&](size_t index) {
    if (tried[index]) return false;
    tried[index] = true;
    batch = ReadFrom(index, after, limits);
    return batch.ok() || absl::IsCancelled(batch.status());
  };

  if (probe_done) {
    const absl::optional<size_t> works = EndProbe();
    if (works.has_value() && current.has_value() && *works < *current && read_from(*works)) {
      return batch;
    }
  }
  StartProbe(after);
  if (current.has_value() && read_from(*current)) return batch;

  for (const size_t index : Others(tried)) {
    if (probe_ != nullptr && probe_->index == index) continue;
    if (read_from(index)) return batch;
  }
  if (probe_ != nullptr) {
    const absl::optional<size_t> works = EndProbe();
    if (works.has_value() && read_from(*works)) return batch;
  }
  absl::Status status = AllFailed();
  absl::MutexLock lock(&mutex_);
  return cancelled_ ? Cancelled() : status;
}

void Upstreams::Cancel() {
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  for (const std::unique_ptr<Upstream>& upstream : upstreams_) upstream->source->Cancel();
}

std::string Upstreams::name() const {
  absl::MutexLock lock(&mutex_);
  return current_.has_value() ? upstreams_[*current_]->source->name() : "";
}

std::vector<Upstreams::State> Upstreams::states() const {
  absl::MutexLock lock(&mutex_);
  std::vector<State> states;
  for (size_t index = 0; index < upstreams_.size(); ++index) {
    const Upstream& upstream = *upstreams_[index];
    states.push_back(
        {upstream.source->name(), current_ == index, upstream.last_error, upstream.failures});
  }
  return states;
}

int64_t Upstreams::switches() const {
  absl::MutexLock lock(&mutex_);
  return switches_;
}

}  // namespace ctlstore::reflector
