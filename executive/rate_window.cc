#include "executive/rate_window.h"

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/ctldb/limits.h"
#include "common/schema/errors.h"
#include "executive/limit_book.h"

namespace ctlstore::executive {

RateWindow::RateWindow(const LimitBook& book, absl::Time now)
    : book_(&book),
      period_(book.PeriodStart(now)),
      until_next_(absl::Ceil(period_ + book.options().writer_period - now, absl::Milliseconds(1))) {
}

absl::StatusOr<RateWindow> RateWindow::Open(const LimitBook& book, absl::Time now,
                                            absl::Span<const std::string> writers,
                                            ctldb::Connection* connection) {
  RateWindow window(book, now);
  std::vector<std::string> limited;
  for (const std::string& writer : writers) {
    if (!book.RowsPerPeriod(writer).has_value()) continue;
    if (window.usage_.try_emplace(writer).second) limited.push_back(writer);
  }
  if (limited.empty()) return window;
  absl::StatusOr<absl::flat_hash_map<std::string, int64_t>> used =
      ctldb::ReadWriterUsage(connection, absl::ToUnixSeconds(window.period_), limited);
  if (!used.ok()) return used.status();
  for (const auto& [writer, rows] : *used) window.usage_[writer].before = rows;
  return window;
}

absl::Status RateWindow::Take(absl::string_view writer, int64_t rows) {
  const absl::optional<int64_t> limit = book_->RowsPerPeriod(writer);
  if (!limit.has_value()) return absl::OkStatus();
  const auto found = usage_.find(writer);
  if (found == usage_.end()) {
    return absl::InternalError("rows were taken for a writer whose usage was not read");
  }
  Usage& usage = found->second;
  const int64_t used = usage.before + usage.taken;
  if (rows <= *limit - used) {
    usage.taken += rows;
    return absl::OkStatus();
  }

  const std::string refusal = absl::StrCat(
      "the writer \"", absl::Utf8SafeCEscape(writer), "\" may change ", *limit, " rows in ",
      absl::FormatDuration(book_->options().writer_period), " and has changed ", used);
  if (rows > *limit) {
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, reason::kRateLimited,
        absl::StrCat(refusal, "; a request of ", rows,
                     " rows is more than its whole limit: make the request smaller, or have the "
                     "writer's limit raised"));
  }
  return WithRetryDelay(
      ErrorWithReason(
          absl::StatusCode::kResourceExhausted, reason::kRateLimited,
          absl::StrCat(refusal, "; ", rows, " more do not fit: try again in ",
                       absl::FormatDuration(until_next_), ", when the next period begins")),
      until_next_);
}

void RateWindow::GiveBack(absl::string_view writer, int64_t rows) {
  const auto found = usage_.find(writer);
  if (found == usage_.end()) return;
  found->second.taken = std::max<int64_t>(found->second.taken - rows, 0);
}

absl::Status RateWindow::Write(ctldb::Connection* connection) {
  std::vector<ctldb::WriterRows> taken;
  for (const auto& [writer, usage] : usage_) {
    if (usage.taken > 0) taken.push_back({writer, usage.taken});
  }
  if (taken.empty()) return absl::OkStatus();
  absl::Status status = ctldb::AddWriterUsage(connection, absl::ToUnixSeconds(period_), taken);
  if (!status.ok()) return status;
  for (const ctldb::WriterRows& writer : taken) {
    const Usage& usage = usage_.find(writer.writer)->second;
    book_->NoteUsage(writer.writer, period_, usage.before + usage.taken,
                     book_->RowsPerPeriod(writer.writer).value_or(0));
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::executive
