#include "executive/limit_book.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/numeric/int128.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

using Lease = ctldb::ConnectionPool::Lease;

// How long the thread waits for a connection; it can be tried again soon.
constexpr absl::Duration kAcquireTimeout = absl::Seconds(1);

// Where measuring takes long, it takes no more than this part of the time.
constexpr int kMeasureShare = 10;

// Usage is kept somewhat longer than its period lasts, for executives whose clocks differ.
constexpr absl::Duration kKeepUsage = absl::Hours(1);
constexpr absl::Duration kForgetUsageEvery = absl::Minutes(1);
// Of a few hundred counts each.
constexpr int kForgetUsageCalls = 20;

// The share of its limit from which a writer is warned about.
constexpr double kNearLimit = 0.8;

enum class Fullness { kBelowWarn, kWarn, kFull };

Fullness FullnessOf(int64_t bytes, const ctldb::TableSizeLimit& limit) {
  if (bytes >= limit.max_bytes) return Fullness::kFull;
  return bytes >= limit.warn_bytes ? Fullness::kWarn : Fullness::kBelowWarn;
}

LimitBook::Options Sane(LimitBook::Options options) {
  options.writer_period =
      std::max(absl::Floor(options.writer_period, absl::Seconds(1)), absl::Seconds(1));
  options.limits_refresh = std::max(options.limits_refresh, absl::Milliseconds(10));
  options.sizes_refresh = std::max(options.sizes_refresh, absl::Milliseconds(10));
  return options;
}

// `rows` in a minute as rows in `period`, rounded down.
int64_t Scaled(int64_t rows, absl::Duration period) {
  if (rows <= 0) return 0;
  const absl::int128 scaled = absl::int128(rows) * absl::ToInt64Seconds(period) / 60;
  if (scaled > std::numeric_limits<int64_t>::max()) return std::numeric_limits<int64_t>::max();
  return std::max<int64_t>(static_cast<int64_t>(scaled), 1);
}

}  // namespace

class LimitBook::Impl {
 public:
  Impl(const Options& options, ctldb::ConnectionPool* pool, Clock* clock, ExecutiveMetrics* metrics)
      : options_(Sane(options)), pool_(pool), clock_(clock), metrics_(metrics), thread_([this] {
          Run();
        }) {}

  ~Impl() {
    stop_.Notify();
    thread_.join();
  }

  const Options& options() const { return options_; }

  absl::Status RefreshLimits(absl::Time deadline);
  absl::Status RefreshSizes(absl::Time deadline);
  absl::Status CheckTableSize(const TableName& table) const;
  absl::optional<int64_t> RowsPerPeriod(absl::string_view writer) const;
  absl::Time PeriodStart(absl::Time time) const;
  void NoteUsage(absl::string_view writer, absl::Time period, int64_t used, int64_t limit);

 private:
  using TableLimits = absl::flat_hash_map<TableName, ctldb::TableSizeLimit>;
  using WriterLimits = absl::flat_hash_map<std::string, int64_t>;
  using TableSizes = absl::flat_hash_map<TableName, int64_t>;

  // Readings may overtake one another: the one that began last counts.
  struct Source {
    const char* what;
    int64_t last_begun = 0;
    int64_t last_kept = 0;
    bool failing = false;
  };

  void Run();
  absl::Status ForgetUsage(absl::Time deadline);
  // The period of what was noted is over.
  void EndPeriod(absl::Time now);

  int64_t Begin(Source* source) ABSL_LOCKS_EXCLUDED(report_mutex_);
  // Whether what was read is to be kept. Logs where an outage begins or ends.
  bool End(const absl::Status& status, int64_t begun, Source* source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(report_mutex_);
  // Logs tables that have come to a limit, and sets the metrics.
  void Report() ABSL_EXCLUSIVE_LOCKS_REQUIRED(report_mutex_);

  ctldb::TableSizeLimit LimitOf(const TableName& table) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const auto found = table_limits_.find(table);
    return found == table_limits_.end() ? options_.default_table_limit : found->second;
  }

  const Options options_;
  ctldb::ConnectionPool* const pool_;
  Clock* const clock_;
  ExecutiveMetrics* const metrics_;

  // Held while something new is taken over and reported; never while the ctldb is asked.
  absl::Mutex report_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  Source limits_source_ ABSL_GUARDED_BY(report_mutex_) = {"limits"};
  Source sizes_source_ ABSL_GUARDED_BY(report_mutex_) = {"table_sizes"};
  Source usage_source_ ABSL_GUARDED_BY(report_mutex_) = {"writer_usage"};
  absl::flat_hash_map<TableName, Fullness> reported_ ABSL_GUARDED_BY(report_mutex_);

  // What is asked by every Mutate.
  mutable absl::Mutex mutex_;
  TableLimits table_limits_ ABSL_GUARDED_BY(mutex_);
  WriterLimits writer_limits_ ABSL_GUARDED_BY(mutex_);
  TableSizes sizes_ ABSL_GUARDED_BY(mutex_);

  absl::Mutex usage_mutex_;
  absl::Time noted_period_ ABSL_GUARDED_BY(usage_mutex_) = absl::InfinitePast();
  double nearest_share_ ABSL_GUARDED_BY(usage_mutex_) = 0;
  absl::flat_hash_set<std::string> warned_writers_ ABSL_GUARDED_BY(usage_mutex_);

  absl::Notification stop_;
  std::thread thread_;  // last: it uses all the others
};

void LimitBook::Impl::Run() {
  // Counted down, and not compared with the time of day, which may be set back.
  absl::Duration until_limits, until_sizes, until_usage;
  while (!stop_.HasBeenNotified()) {
    // What fails is reported where it fails, and tried again.
    if (until_limits <= absl::ZeroDuration()) {
      (void)RefreshLimits(absl::Now() + kAcquireTimeout);
      until_limits = options_.limits_refresh;
    }
    if (until_sizes <= absl::ZeroDuration()) {
      const absl::Time begin = absl::Now();
      (void)RefreshSizes(begin + kAcquireTimeout);
      until_sizes = std::max(options_.sizes_refresh, kMeasureShare * (absl::Now() - begin));
    }
    if (until_usage <= absl::ZeroDuration()) {
      (void)ForgetUsage(absl::Now() + kAcquireTimeout);
      until_usage = kForgetUsageEvery;
    }
    EndPeriod(clock_->Now());
    const absl::Duration wait = std::min({until_limits, until_sizes, until_usage});
    if (clock_->SleepOrStop(wait, &stop_)) return;
    until_limits -= wait;
    until_sizes -= wait;
    until_usage -= wait;
  }
}

int64_t LimitBook::Impl::Begin(Source* source) {
  absl::MutexLock lock(&report_mutex_);
  return ++source->last_begun;
}

bool LimitBook::Impl::End(const absl::Status& status, int64_t begun, Source* source) {
  if (!status.ok()) {
    metrics_->CtldbError(status);
    if (!source->failing) {
      LOG(WARNING) << "event=limits_not_read what=" << source->what << " error=\"" << status
                   << "\"";
    }
    source->failing = true;
    return false;
  }
  if (source->failing) LOG(INFO) << "event=limits_read_again what=" << source->what;
  source->failing = false;
  if (begun < source->last_kept) return false;
  source->last_kept = begun;
  return true;
}

absl::Status LimitBook::Impl::RefreshLimits(absl::Time deadline) {
  const int64_t begun = Begin(&limits_source_);
  TableLimits tables;
  WriterLimits writers;
  const absl::Status status = [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<std::vector<ctldb::TableLimit>> table_limits =
        ctldb::ListTableLimits(lease->get());
    if (!table_limits.ok()) return table_limits.status();
    absl::StatusOr<std::vector<ctldb::WriterLimit>> writer_limits =
        ctldb::ListWriterLimits(lease->get());
    if (!writer_limits.ok()) return writer_limits.status();
    for (ctldb::TableLimit& limit : *table_limits) tables[std::move(limit.table)] = limit.limit;
    for (ctldb::WriterLimit& limit : *writer_limits) {
      writers[std::move(limit.writer)] = limit.rows_per_minute;
    }
    return absl::OkStatus();
  }();

  absl::MutexLock report_lock(&report_mutex_);
  if (!End(status, begun, &limits_source_)) return status;
  {
    absl::MutexLock lock(&mutex_);
    table_limits_.swap(tables);
    writer_limits_.swap(writers);
  }
  Report();
  return absl::OkStatus();
}

absl::Status LimitBook::Impl::RefreshSizes(absl::Time deadline) {
  const int64_t begun = Begin(&sizes_source_);
  TableSizes sizes;
  const absl::Status status = [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<TableSizes> measured = ctldb::MeasureTableSizes(lease->get());
    if (!measured.ok()) return measured.status();
    sizes = *std::move(measured);
    return absl::OkStatus();
  }();

  absl::MutexLock report_lock(&report_mutex_);
  if (!End(status, begun, &sizes_source_)) return status;
  {
    absl::MutexLock lock(&mutex_);
    sizes_.swap(sizes);
  }
  Report();
  return absl::OkStatus();
}

void LimitBook::Impl::Report() {
  absl::ReaderMutexLock lock(&mutex_);
  for (const auto& [table, bytes] : sizes_) {
    const ctldb::TableSizeLimit limit = LimitOf(table);
    metrics_->SetTableSize(table, bytes, limit.warn_bytes, limit.max_bytes);
    const Fullness fullness = FullnessOf(bytes, limit);
    Fullness& reported = reported_[table];
    if (fullness > reported) {
      LOG(WARNING) << "event=" << (fullness == Fullness::kFull ? "table_full" : "table_nearly_full")
                   << " family=" << table.family << " table=" << table.table << " bytes=" << bytes
                   << " warn_bytes=" << limit.warn_bytes << " max_bytes=" << limit.max_bytes;
    }
    reported = fullness;
  }
  absl::erase_if(reported_, [this](const auto& entry) ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    if (sizes_.contains(entry.first)) return false;
    metrics_->ForgetTable(entry.first);
    return true;
  });
}

absl::Status LimitBook::Impl::ForgetUsage(absl::Time deadline) {
  const int64_t begun = Begin(&usage_source_);
  const absl::Time before = PeriodStart(clock_->Now()) - options_.writer_period - kKeepUsage;
  const absl::Status status = [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    for (int i = 0; i < kForgetUsageCalls && !stop_.HasBeenNotified(); ++i) {
      absl::StatusOr<int64_t> forgotten =
          ctldb::DeleteOldWriterUsage(lease->get(), absl::ToUnixSeconds(before));
      if (!forgotten.ok()) return forgotten.status();
      if (*forgotten == 0) break;
    }
    return absl::OkStatus();
  }();
  absl::MutexLock report_lock(&report_mutex_);
  End(status, begun, &usage_source_);
  return status;
}

absl::Status LimitBook::Impl::CheckTableSize(const TableName& table) const {
  absl::ReaderMutexLock lock(&mutex_);
  const auto size = sizes_.find(table);
  if (size == sizes_.end()) return absl::OkStatus();
  const ctldb::TableSizeLimit limit = LimitOf(table);
  if (FullnessOf(size->second, limit) != Fullness::kFull) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kTableFull,
                         absl::StrCat("the table ", table.table, " of the family ", table.family,
                                      " takes ", size->second, " bytes, and its maximum is ",
                                      limit.max_bytes, ": delete rows, or have its limit raised"));
}

absl::optional<int64_t> LimitBook::Impl::RowsPerPeriod(absl::string_view writer) const {
  if (options_.default_writer_rows <= 0) return absl::nullopt;
  absl::ReaderMutexLock lock(&mutex_);
  const auto found = writer_limits_.find(writer);
  if (found == writer_limits_.end()) return options_.default_writer_rows;
  return Scaled(found->second, options_.writer_period);
}

absl::Time LimitBook::Impl::PeriodStart(absl::Time time) const {
  return absl::UnixEpoch() + absl::Floor(time - absl::UnixEpoch(), options_.writer_period);
}

void LimitBook::Impl::NoteUsage(absl::string_view writer, absl::Time period, int64_t used,
                                int64_t limit) {
  const double share =
      limit > 0 ? std::min(static_cast<double>(used) / static_cast<double>(limit), 1.0) : 1.0;
  absl::MutexLock lock(&usage_mutex_);
  if (period != noted_period_) {
    noted_period_ = period;
    nearest_share_ = 0;
    warned_writers_.clear();
  }
  nearest_share_ = std::max(nearest_share_, share);
  metrics_->SetNearestWriterRate(nearest_share_);
  if (share >= kNearLimit && warned_writers_.insert(std::string(writer)).second) {
    LOG(WARNING) << "event=writer_near_limit writer=\"" << absl::Utf8SafeCEscape(writer)
                 << "\" rows=" << used << " limit=" << limit
                 << " period=" << absl::FormatDuration(options_.writer_period);
  }
}

void LimitBook::Impl::EndPeriod(absl::Time now) {
  absl::MutexLock lock(&usage_mutex_);
  if (PeriodStart(now) <= noted_period_) return;
  nearest_share_ = 0;
  metrics_->SetNearestWriterRate(0);
}

LimitBook::LimitBook(const Options& options, ctldb::ConnectionPool* pool, Clock* clock,
                     ExecutiveMetrics* metrics)
    : impl_(std::make_unique<Impl>(options, pool, clock, metrics)) {}

LimitBook::~LimitBook() = default;

const LimitBook::Options& LimitBook::options() const { return impl_->options(); }

absl::Status LimitBook::Refresh(absl::Time deadline) {
  const absl::Status limits = impl_->RefreshLimits(deadline);
  const absl::Status sizes = impl_->RefreshSizes(deadline);
  return limits.ok() ? sizes : limits;
}

absl::Status LimitBook::RefreshLimits(absl::Time deadline) {
  return impl_->RefreshLimits(deadline);
}

absl::Status LimitBook::CheckTableSize(const TableName& table) const {
  return impl_->CheckTableSize(table);
}

absl::optional<int64_t> LimitBook::RowsPerPeriod(absl::string_view writer) const {
  return impl_->RowsPerPeriod(writer);
}

absl::Time LimitBook::PeriodStart(absl::Time time) const { return impl_->PeriodStart(time); }

void LimitBook::NoteUsage(absl::string_view writer, absl::Time period, int64_t used,
                          int64_t limit) const {
  impl_->NoteUsage(writer, period, used, limit);
}

}  // namespace ctlstore::executive
