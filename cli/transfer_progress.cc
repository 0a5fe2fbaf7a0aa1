#include "cli/transfer_progress.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ctlstore::cli {
namespace {

constexpr absl::Duration kTimeALine = absl::Milliseconds(200);

std::string Megabytes(int64_t bytes) {
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace

void TransferProgress::ShowLine(const std::string& line, bool at_once) {
  if (!terminal_) return;
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_->Now();
  if (!at_once && now - last_shown_ < kTimeALine) return;
  last_shown_ = now;
  *out_ << "\r" << line << std::string(width_ - std::min(width_, line.size()), ' ') << std::flush;
  width_ = line.size();
}

void TransferProgress::Show(const snapshot::FetchProgress& progress) {
  using Stage = snapshot::FetchProgress::Stage;
  switch (progress.stage) {
    case Stage::kLooking:
      return ShowLine("looking for snapshots", true);
    case Stage::kChecking:
      return ShowLine(absl::StrCat("checking ", progress.id), true);
    case Stage::kFetching:
      break;
  }
  const int64_t percent =
      progress.bytes_total == 0 ? 0 : progress.bytes_done * 100 / progress.bytes_total;
  std::string line = absl::StrCat("fetching ", progress.id, ": ", percent, " % of ",
                                  Megabytes(progress.bytes_total));
  if (progress.bytes_per_second > 0) {
    absl::StrAppend(&line, ", ", Megabytes(progress.bytes_per_second), "/s");
  }
  if (progress.time_left.has_value()) {
    absl::StrAppend(&line, ", ",
                    absl::FormatDuration(absl::Ceil(*progress.time_left, absl::Seconds(1))),
                    " left");
  }
  ShowLine(line, progress.bytes_done == progress.bytes_total);
}

void TransferProgress::Show(const RestoreProgress& progress) {
  const bool copying = progress.stage == RestoreProgress::Stage::kCopying;
  ShowLine(absl::StrCat(copying ? "writing" : "comparing", " table ",
                        std::min(progress.tables_done + 1, progress.tables), " of ",
                        progress.tables, ", ", progress.rows, " rows so far",
                        progress.table.empty() ? "" : ": ", progress.table),
           progress.table.empty());
}

void TransferProgress::Finish() {
  absl::MutexLock lock(&mutex_);
  if (width_ > 0) *out_ << "\n" << std::flush;
  width_ = 0;
}

}  // namespace ctlstore::cli
