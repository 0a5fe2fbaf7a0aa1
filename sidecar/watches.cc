#include "sidecar/watches.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"
#include "sidecar/watch_cursor.h"
#include "sidecar/watch_filter.h"

namespace ctlstore::sidecar {
namespace {

constexpr absl::Duration kRetryDelay = absl::Seconds(1);

absl::StatusOr<WatchCursor> CursorFor(const v1::WatchRequest& request) {
  absl::optional<int64_t> after;
  if (request.has_after_sequence()) {
    after = request.after_sequence();
    if (*after < 0) {
      return InvalidField("after_sequence", reason::kInvalidRequest,
                          absl::StrCat("is 0 or more, not ", *after));
    }
  }
  absl::StatusOr<WatchFilter> filter = WatchFilter::Create(request.selectors());
  if (!filter.ok()) return filter.status();
  return WatchCursor(after, *std::move(filter), request.with_rows());
}

absl::Status Ending() {
  return WithRetryDelay(absl::UnavailableError("this sidecar ends; begin again at another one"),
                        kRetryDelay);
}

}  // namespace

Watches::Watches(ChangeSource* source, const Options& options)
    : options_(options),
      // A read of a call that has ended meanwhile may be there still.
      readers_(options.reading_threads, 2 * options.max_watches) {
  parts_.source = source;
  parts_.readers = &readers_;
  parts_.progress_interval = options.progress_interval;
}

Watches::Reactor* Watches::Watch(grpc::CallbackServerContext* context, const absl::Status& allowed,
                                 const v1::WatchRequest& request, OnEnd on_end) {
  auto* const call = new WatchCall(
      context, &parts_, [this, on_end = std::move(on_end)](WatchCall* call, absl::StatusCode code) {
        Leave(call);
        on_end(code);
      });
  absl::StatusOr<WatchCursor> cursor = allowed.ok() ? CursorFor(request) : allowed;
  absl::Status status = cursor.status();
  if (status.ok()) status = Enter(call);
  if (status.ok()) {
    call->Start(*std::move(cursor));
  } else {
    call->End(status);
  }
  return call;
}

absl::Status Watches::Enter(WatchCall* call) {
  absl::MutexLock lock(&mutex_);
  if (ending_) return Ending();
  if (calls_.size() >= options_.max_watches) {
    return WithRetryDelay(
        ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                        absl::StrCat("there are ", calls_.size(),
                                     " watches already, which is this sidecar's limit "
                                     "(--max_watches); try again later")),
        kRetryDelay);
  }
  calls_.insert(call);
  return absl::OkStatus();
}

void Watches::Leave(WatchCall* call) {
  absl::MutexLock lock(&mutex_);
  calls_.erase(call);
}

void Watches::Shutdown() {
  absl::MutexLock lock(&mutex_);
  ending_ = true;
  // None of them goes before it has left.
  for (WatchCall* call : calls_) call->End(Ending());
}

Watches::Stats Watches::stats() const {
  Stats stats;
  stats.max_watches = static_cast<int64_t>(options_.max_watches);
  stats.changes_sent = parts_.changes_sent;
  stats.resets_sent = parts_.resets_sent;
  absl::MutexLock lock(&mutex_);
  stats.watches = static_cast<int64_t>(calls_.size());
  return stats;
}

}  // namespace ctlstore::sidecar
