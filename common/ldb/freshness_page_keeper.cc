#include "common/ldb/freshness_page_keeper.h"

#include <glog/logging.h>
#include <unistd.h>

#include <utility>

#include "absl/status/statusor.h"

namespace ctlstore::ldb {
namespace {

// Between two tries to make the page.
constexpr absl::Duration kRetryPause = absl::Seconds(10);

}  // namespace

FreshnessPageKeeper::FreshnessPageKeeper(const std::string& ldb_path, std::string identity,
                                         Clock* clock)
    : path_(FreshnessPagePath(ldb_path)), identity_(std::move(identity)), clock_(clock) {}

void FreshnessPageKeeper::Attach(int64_t applied_sequence) {
  if (page_ != nullptr) return;
  const absl::Time now = clock_->Now();
  if (failing_ && now >= last_try_ && now - last_try_ < kRetryPause) return;
  last_try_ = now;
  absl::StatusOr<std::unique_ptr<FreshnessPageWriter>> page =
      FreshnessPageWriter::Open(path_, identity_, applied_sequence);
  if (page.ok()) {
    page_ = *std::move(page);
    if (failing_) LOG(INFO) << "event=freshness_page_written path=" << path_;
    failing_ = false;
    return;
  }
  // An old one would be trusted.
  unlink(path_.c_str());
  if (!failing_) {
    LOG(WARNING) << "event=freshness_page_failed path=" << path_ << " error=\"" << page.status()
                 << "\"";
  }
  failing_ = true;
}

void FreshnessPageKeeper::Committing(absl::Span<const Change> changes) {
  if (page_ != nullptr) page_->Committing(changes);
}

void FreshnessPageKeeper::Committed(absl::Span<const Change> changes, int64_t applied_sequence) {
  if (page_ != nullptr) page_->Committed(changes, applied_sequence);
}

void FreshnessPageKeeper::CommitFailed() { Detach(); }

void FreshnessPageKeeper::Pause() {
  if (page_ != nullptr) page_->Pause();
}

void FreshnessPageKeeper::Resume() {
  if (page_ != nullptr) page_->Resume();
}

}  // namespace ctlstore::ldb
