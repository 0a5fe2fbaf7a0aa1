#include "common/ldb/reader_core.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_locator.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"

namespace ctlstore::ldb {
namespace {

constexpr int64_t kNanosPerMilli = 1000000;

// The housekeeping's rounds: while anything is held, so that the WAL can be emptied soon after a
// commit, and while nothing is.
constexpr std::chrono::milliseconds kBusyRound(20);
constexpr std::chrono::milliseconds kQuietRound(200);
// A state that a thread has not used for so many rounds is let go of, although it is the newest.
constexpr int kIdleRounds = 10;
// No state's epoch: it is odd.
constexpr uint64_t kUnknownEpoch = 1;
constexpr int64_t kLookNanos = 200 * kNanosPerMilli;
constexpr int64_t kPageCheckNanos = 1000 * kNanosPerMilli;
// A connection that was not used for so long is closed.
constexpr int64_t kIdleCheckNanos = 60000 * kNanosPerMilli;

// How long a file that has taken the place of another, and is behind it, is not read yet.
constexpr int64_t kBehindNanos = 10000 * kNanosPerMilli;
constexpr int64_t kBehindCheckNanos = 100 * kNanosPerMilli;

// How often a read is tried that fails, and that finds the file replaced once more.
constexpr int kTries = 2;
constexpr int kTriesReplaced = 10;

constexpr absl::Duration kMinWaitPause = absl::Microseconds(50);
constexpr absl::Duration kMaxWaitPause = absl::Milliseconds(5);

// Exact to a few milliseconds, and far cheaper than an exact one.
int64_t SteadyNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

// How often this process is the child of a fork.
std::atomic<uint64_t> forks{0};

void CountForks() {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);
}

absl::Status Forked() {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kForked,
                         "the reader was opened before the process was forked; a child opens its "
                         "own");
}

}  // namespace

ReaderCore::ReaderCore(std::string path, const ReaderOptions& options)
    : path_(std::move(path)),
      options_(options),
      forks_((CountForks(), forks.load(std::memory_order_relaxed))),
      lanes_([] { return static_cast<void*>(new LaneState); },
             [](void* data) {
               LaneState* const state = static_cast<LaneState*>(data);
               delete state->connection.load(std::memory_order_acquire);
               delete state;
             }) {
  house_ = std::thread([this] { KeepHouse(); });
}

ReaderCore::~ReaderCore() {
  {
    std::lock_guard<std::mutex> lock(house_mutex_);
    ending_ = true;
  }
  house_wake_.notify_one();
  house_.join();
  current_.store(nullptr, std::memory_order_release);
  source_ = nullptr;
}

bool ReaderCore::forked() const { return forks.load(std::memory_order_relaxed) != forks_; }

ReaderCore::LaneState::KnownTable& ReaderCore::KnownTableFor(LaneState* state,
                                                             absl::string_view family,
                                                             absl::string_view table) {
  const size_t mixed = family.size() * 31 + table.size() +
                       (table.empty() ? 0 : static_cast<unsigned char>(table.back()) * 7u) +
                       (family.empty() ? 0 : static_cast<unsigned char>(family.front()) * 3u);
  return state->known_tables[mixed % LaneState::kKnownTables];
}

absl::StatusOr<Row> ReaderCore::GetRow(absl::string_view family, absl::string_view table,
                                       absl::Span<const ValueView> key) {
  if (forked()) return Forked();
  Lane* const lane = lanes_.Mine();
  LaneState* const state = StateOf(lane);
  ReaderLanes::Pin pin = lanes_.MakePin(lane);
  LdbSource* const source = pinned_source();
  if (source != nullptr && source->cache() != nullptr) {
    RowCache* const cache = source->cache();
    const LaneState::KnownTable& known = KnownTableFor(state, family, table);
    if (known.Is(*source, family, table) && cache->Sync() != 0) {
      const RowData* const data = cache->Find(known.table, FreshnessKeyHash(key), key);
      if (data != nullptr) {
        state->cache_hits.store(state->cache_hits.load(std::memory_order_relaxed) + 1,
                                std::memory_order_relaxed);
        return Row(data, std::move(pin));
      }
    }
  }
  return GetRowSlowly(state, std::move(pin), family, table, key);
}

absl::StatusOr<Row> ReaderCore::GetRowSlowly(LaneState* state, ReaderLanes::Pin pin,
                                             absl::string_view family, absl::string_view table,
                                             absl::Span<const ValueView> key) {
  state->cache_misses.store(state->cache_misses.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
  LdbSource* read_from = nullptr;
  uint64_t epoch = 0;
  absl::StatusOr<RowData::Ptr> data = WithConnection(
      state,
      [&](LdbSource* source,
          std::unique_ptr<ReaderConnection>& connection) -> absl::StatusOr<RowData::Ptr> {
        read_from = source;
        absl::StatusOr<uint64_t> begun = connection->BeginRead(source->page(), false);
        if (!begun.ok()) return begun.status();
        epoch = *begun;
        return connection->ReadRow(family, table, key);
      });
  if (!data.ok()) return data.status();
  return ToRow(state, read_from, std::move(pin), family, table, *std::move(data), epoch);
}

Row ReaderCore::ToRow(LaneState* state, LdbSource* source, ReaderLanes::Pin pin,
                      absl::string_view family, absl::string_view table, RowData::Ptr data,
                      uint64_t epoch) {
  RowCache* const cache = source->cache();
  // The cache takes what was read while the epoch was the same even one, before and after.
  if (cache == nullptr || epoch == 0 || cache->Sync() != epoch) {
    return Row(std::shared_ptr<const RowData>(std::move(data)));
  }
  LaneState::KnownTable& known = KnownTableFor(state, family, table);
  if (!known.Is(*source, family, table)) {
    known.table = cache->GetTable(data->shape().name);
    known.source_id = source->id();
    known.family.assign(family.data(), family.size());
    known.name.assign(table.data(), table.size());
  }
  constexpr size_t kUsualKeyFields = 8;
  absl::InlinedVector<ValueView, kUsualKeyFields> key;
  for (size_t i = 0; i < data->shape().key.size(); ++i) {
    key.push_back(data->key_value(i));
    // The page names it by another hash.
    if (IsStoredAsBytes(key.back())) return Row(std::shared_ptr<const RowData>(std::move(data)));
  }
  const uint64_t key_hash = FreshnessKeyHash(key);
  const RowData* const kept = data.get();
  if (!cache->Keep(known.table, key_hash, &data, epoch)) {
    return Row(std::shared_ptr<const RowData>(std::move(data)));
  }
  return Row(kept, std::move(pin));
}

absl::StatusOr<Row> ReaderCore::GetRowIn(HeldState* held, absl::string_view family,
                                         absl::string_view table, absl::Span<const ValueView> key) {
  if (forked()) return Forked();
  Lane* const lane = lanes_.Mine();
  LaneState* const state = StateOf(lane);
  ReaderLanes::Pin pin = lanes_.MakePin(lane);
  LdbSource* const source = held->source();
  RowCache* const cache = source->cache();
  const uint64_t epoch = held->epoch();
  if (cache != nullptr && epoch != 0 && !held->let_go()) {
    const LaneState::KnownTable& known = KnownTableFor(state, family, table);
    if (known.Is(*source, family, table) && cache->Sync() == epoch) {
      const RowData* const data = cache->Find(known.table, FreshnessKeyHash(key), key);
      // What was found may have been put there after a commit behind this state.
      if (data != nullptr && source->page()->epoch() == epoch) return Row(data, std::move(pin));
    }
  }
  absl::StatusOr<RowData::Ptr> data = held->With(
      [&](ReaderConnection& connection) { return connection.ReadRow(family, table, key); });
  if (!data.ok()) return data.status();
  return ToRow(state, source, std::move(pin), family, table, *std::move(data), epoch);
}

template <typename Read>
auto ReaderCore::WithConnection(LaneState* state, Read read)
    -> decltype(read(std::declval<LdbSource*>(),
                     std::declval<std::unique_ptr<ReaderConnection>&>())) {
  absl::Status failure;
  for (int errors = 0, replaced = 0; errors < kTries && replaced < kTriesReplaced;) {
    absl::StatusOr<LdbSource*> source = FindSource();
    if (!source.ok()) return source.status();
    absl::StatusOr<std::unique_ptr<ReaderConnection>> connection = TakeConnection(state, *source);
    failure = connection.status();
    if (connection.ok()) {
      auto result = read(*source, *connection);
      if (result.ok() || IsCallersMistake(result.status())) {
        if (*connection != nullptr) GiveBack(state, *source, *std::move(connection));
        return result;
      }
      failure = result.status();
      // Not to be used again.
      *connection = nullptr;
      (*source)->CloseSpare();
    }
    // The error may be of this connection alone, or of a file that another one has replaced.
    ++(HasReason(failure, reason::kLdbReplaced) ? replaced : errors);
    absl::Status found = CheckPath();
    if (!found.ok()) return found;
  }
  return failure;
}

absl::StatusOr<LdbSource*> ReaderCore::FindSource() {
  LdbSource* source = pinned_source();
  if (source != nullptr) {
    const FreshnessPageView* const page = source->page();
    if (page == nullptr || page->epoch() % 2 == 0) return source;
    // A commit is under way, or nobody keeps the page any more: because another file is in place,
    // it may be.
  }
  absl::Status status = CheckPath();
  if (!status.ok()) return status;
  source = pinned_source();
  // Another thread may have found since that the file is gone.
  if (source == nullptr) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLdbUnavailable,
                           absl::StrCat("there is no local database at ", path_));
  }
  return source;
}

absl::Status ReaderCore::CheckPath() {
  std::lock_guard<std::mutex> lock(source_mutex_);
  const std::string file_path = LocateLdb(path_);
  const absl::optional<FileIdentity> identity = IdentityOf(file_path);
  if (source_ != nullptr && identity == source_->identity()) {
    behind_since_ = 0;
    return absl::OkStatus();
  }
  if (behind_since_ != 0 && SteadyNanos() - behind_checked_ < kBehindCheckNanos) return Behind();
  absl::StatusOr<std::shared_ptr<LdbSource>> source =
      LdbSource::Open(file_path, options_, &lanes_, &open_connections_);
  if (!source.ok()) {
    if (source_ != nullptr) Install(nullptr);
    return source.status();
  }
  if (IsBehind(source->get())) return Behind();
  Install(*std::move(source));
  return absl::OkStatus();
}

absl::Status ReaderCore::Behind() const {
  if (source_ != nullptr) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, reason::kLdbUnavailable,
      absl::StrCat("the local database at ", path_, " is behind what was read there before"));
}

bool ReaderCore::IsBehind(LdbSource* source) {
  const int64_t before = source_ != nullptr ? source_->LastSequence() : left_sequence_;
  const absl::StatusOr<int64_t> after = source->ReadSequence();
  if (!after.ok() || *after >= before) return false;
  const int64_t now = SteadyNanos();
  behind_checked_ = now;
  if (behind_since_ == 0) behind_since_ = now;
  return now - behind_since_ < kBehindNanos;
}

void ReaderCore::Install(std::shared_ptr<LdbSource> source) {
  behind_since_ = 0;
  if (source_ != nullptr) left_sequence_ = source_->LastSequence();
  current_.store(source.get(), std::memory_order_seq_cst);
  std::swap(source_, source);
  if (source == nullptr) return;
  if (source_ == nullptr || source_->identity() != source->identity()) {
    files_replaced_.fetch_add(1, std::memory_order_relaxed);
  }
  // Its connections in the lanes are closed when the lanes are used, or by the housekeeping.
  source->CloseSpare();
  auto* const retired = new std::shared_ptr<LdbSource>(std::move(source));
  lanes_.Retire(
      retired, [](void* object) { delete static_cast<std::shared_ptr<LdbSource>*>(object); },
      sizeof(LdbSource));
}

absl::StatusOr<std::unique_ptr<ReaderConnection>> ReaderCore::TakeConnection(LaneState* state,
                                                                             LdbSource* source) {
  std::unique_ptr<ReaderConnection> connection(
      state->connection.exchange(nullptr, std::memory_order_acq_rel));
  // Of an earlier source: closed.
  if (connection != nullptr && connection->source_id() != source->id()) connection = nullptr;
  if (connection != nullptr) return connection;
  return source->TakeConnection();
}

void ReaderCore::GiveBack(LaneState* state, LdbSource* source,
                          std::unique_ptr<ReaderConnection> connection) {
  connection->EndRead();
  const uint64_t held_epoch = connection->held_epoch();
  // A lane keeps one. The thread may have given another one back since it took this one.
  if (state->connection.load(std::memory_order_relaxed) != nullptr) {
    source->GiveBack(std::move(connection));
    return;
  }
  state->uses.store(state->uses.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  ReaderConnection* expected = nullptr;
  ReaderConnection* const mine = connection.release();
  // Only the housekeeping can have put one there meanwhile, and only one that it took from there.
  if (!state->connection.compare_exchange_strong(expected, mine, std::memory_order_acq_rel)) {
    source->GiveBack(std::unique_ptr<ReaderConnection>(mine));
    return;
  }
  state->held_epoch.store(held_epoch, std::memory_order_relaxed);
  if (held_epoch != 0 && house_asleep_.load(std::memory_order_relaxed)) WakeHouse();
}

absl::StatusOr<std::shared_ptr<HeldState>> ReaderCore::Hold() {
  if (forked()) return Forked();
  Lane* const lane = lanes_.Mine();
  const ReaderLanes::Pin pin = lanes_.MakePin(lane);
  return WithConnection(StateOf(lane),
                        [&](LdbSource* source, std::unique_ptr<ReaderConnection>& connection)
                            -> absl::StatusOr<std::shared_ptr<HeldState>> {
                          const FreshnessPageView* const page = source->page();
                          absl::StatusOr<uint64_t> epoch = connection->BeginRead(page, true);
                          if (!epoch.ok()) return epoch.status();
                          absl::optional<int64_t> sequence;
                          if (*epoch != 0) {
                            sequence = page->applied_sequence();
                            if (page->epoch() != *epoch) sequence.reset();
                          }
                          if (!sequence.has_value()) {
                            absl::StatusOr<int64_t> read = connection->GetSequence();
                            if (!read.ok()) return read.status();
                            sequence = *read;
                          }
                          return std::make_shared<HeldState>(this, source->shared_from_this(),
                                                             std::move(connection), *epoch,
                                                             *sequence);
                        });
}

void ReaderCore::AddHeld(HeldState* state) {
  state->expires_nanos_ = SteadyNanos() + absl::ToInt64Nanoseconds(options_.max_hold);
  {
    std::lock_guard<std::mutex> lock(held_mutex_);
    state->next_ = held_;
    if (held_ != nullptr) held_->previous_ = state;
    held_ = state;
  }
  if (house_asleep_.load(std::memory_order_relaxed)) WakeHouse();
}

void ReaderCore::RemoveHeld(HeldState* state) {
  std::lock_guard<std::mutex> lock(held_mutex_);
  if (state->next_ != nullptr) state->next_->previous_ = state->previous_;
  (state->previous_ != nullptr ? state->previous_->next_ : held_) = state->next_;
}

void ReaderCore::Release(LdbSource* source, std::unique_ptr<ReaderConnection> connection) {
  GiveBack(StateOf(lanes_.Mine()), source, std::move(connection));
}

RowIterator ReaderCore::ListRows(absl::string_view family, absl::string_view table,
                                 absl::Span<const ValueView> key_prefix,
                                 const ListOptions& options) {
  absl::StatusOr<std::shared_ptr<HeldState>> state = Hold();
  if (!state.ok()) return RowIterator(std::make_unique<Cursor>(state.status()));
  return ListRowsIn(*std::move(state), family, table, key_prefix, options);
}

RowIterator ReaderCore::ListRowsIn(std::shared_ptr<HeldState> state, absl::string_view family,
                                   absl::string_view table, absl::Span<const ValueView> key_prefix,
                                   const ListOptions& options) {
  absl::StatusOr<ReaderConnection::Select*> select =
      state->BeginSelect(family, table, key_prefix, options.after);
  if (!select.ok()) return RowIterator(std::make_unique<Cursor>(select.status()));
  return RowIterator(std::make_unique<Cursor>(std::move(state), *select,
                                              options.limit < 0 ? kNoLimit : options.limit));
}

absl::StatusOr<Snapshot> ReaderCore::GetSnapshot() {
  absl::StatusOr<std::shared_ptr<HeldState>> state = Hold();
  if (!state.ok()) return state.status();
  return Snapshot(*std::move(state));
}

absl::StatusOr<TableSchema> ReaderCore::GetTable(absl::string_view family,
                                                 absl::string_view table) {
  absl::StatusOr<std::shared_ptr<HeldState>> state = Hold();
  if (!state.ok()) return state.status();
  return (*state)->With(
      [&](ReaderConnection& connection) { return connection.GetTable(family, table); });
}

absl::StatusOr<std::vector<TableSchema>> ReaderCore::ListTables() {
  absl::StatusOr<std::shared_ptr<HeldState>> state = Hold();
  if (!state.ok()) return state.status();
  return (*state)->With([](ReaderConnection& connection) { return connection.ListTables(); });
}

absl::StatusOr<int64_t> ReaderCore::GetSequence() {
  if (forked()) return Forked();
  Lane* const lane = lanes_.Mine();
  const ReaderLanes::Pin pin = lanes_.MakePin(lane);
  LdbSource* const current = pinned_source();
  if (current != nullptr && current->page() != nullptr) {
    const FreshnessPageView* const page = current->page();
    const uint64_t epoch = page->epoch();
    const int64_t sequence = page->applied_sequence();
    if (epoch % 2 == 0 && page->epoch() == epoch) return sequence;
  }
  return WithConnection(
      StateOf(lane),
      [](LdbSource* source,
         std::unique_ptr<ReaderConnection>& connection) -> absl::StatusOr<int64_t> {
        absl::StatusOr<uint64_t> epoch = connection->BeginRead(source->page(), false);
        if (!epoch.ok()) return epoch.status();
        return connection->GetSequence();
      });
}

absl::StatusOr<Position> ReaderCore::GetPosition() {
  absl::StatusOr<std::shared_ptr<HeldState>> state = Hold();
  if (!state.ok()) return state.status();
  return (*state)->With([](ReaderConnection& connection) { return connection.GetPosition(); });
}

absl::Status ReaderCore::WaitForSequence(int64_t sequence, absl::Time deadline) {
  absl::Duration pause = kMinWaitPause;
  while (true) {
    absl::StatusOr<int64_t> applied = GetSequence();
    if (applied.ok() && *applied >= sequence) return absl::OkStatus();
    if (!applied.ok() && !absl::IsUnavailable(applied.status())) return applied.status();
    const absl::Duration rest = deadline - absl::Now();
    if (rest <= absl::ZeroDuration()) {
      if (!applied.ok()) return applied.status();
      return absl::DeadlineExceededError(
          absl::StrCat("sequence ", sequence, " is not applied yet; the last one is ", *applied));
    }
    absl::SleepFor(std::min(pause, rest));
    pause = std::min(pause * 2, kMaxWaitPause);
  }
}

ReaderStats ReaderCore::stats() {
  ReaderStats stats;
  stats.connections = open_connections_.load(std::memory_order_relaxed);
  stats.files_replaced = files_replaced_.load(std::memory_order_relaxed);
  lanes_.ForEach([&stats](void* data) {
    const LaneState& state = *static_cast<const LaneState*>(data);
    stats.cache_hits += state.cache_hits.load(std::memory_order_relaxed);
    stats.cache_misses += state.cache_misses.load(std::memory_order_relaxed);
  });
  std::lock_guard<std::mutex> lock(source_mutex_);
  if (source_ == nullptr) return stats;
  stats.has_freshness_page = source_->page() != nullptr;
  if (source_->cache() == nullptr) return stats;
  const RowCache::Stats cache = source_->cache()->stats();
  stats.cache_rows = cache.rows;
  stats.cache_bytes = cache.bytes;
  stats.cache_max_bytes = cache.max_bytes;
  stats.cache_evicted = cache.evicted;
  stats.cache_invalidated = cache.invalidated;
  stats.cache_tables_invalidated = cache.tables_invalidated;
  return stats;
}

void ReaderCore::WakeHouse() {
  if (!house_asleep_.exchange(false, std::memory_order_relaxed)) return;
  {
    std::lock_guard<std::mutex> lock(house_mutex_);
    house_woken_ = true;
  }
  house_wake_.notify_one();
}

void ReaderCore::KeepHouse() {
  bool busy = false;
  std::unique_lock<std::mutex> lock(house_mutex_);
  while (true) {
    house_asleep_.store(!busy, std::memory_order_relaxed);
    house_wake_.wait_for(lock, busy ? kBusyRound : kQuietRound,
                         [this] { return ending_ || house_woken_; });
    if (ending_) return;
    // Who has woken it holds something that is to be looked at a round later.
    busy = house_woken_;
    house_woken_ = false;
    lock.unlock();
    busy |= DoHousework();
    lock.lock();
  }
}

bool ReaderCore::DoHousework() {
  const int64_t now = SteadyNanos();
  std::shared_ptr<LdbSource> source;
  {
    std::lock_guard<std::mutex> lock(source_mutex_);
    source = source_;
  }
  bool busy = LetGoOfLanes(source.get());
  busy |= LetGoOfHeld();
  // Where there is no file yet, who reads looks for it.
  if (source != nullptr && now >= next_look_) {
    next_look_ = now + kLookNanos;
    // Who reads next learns what is wrong.
    CheckPath().IgnoreError();
  }
  if (source != nullptr && now >= next_page_check_) {
    next_page_check_ = now + kPageCheckNanos;
    if (!source->PageIsRight()) {
      std::lock_guard<std::mutex> lock(source_mutex_);
      absl::StatusOr<std::shared_ptr<LdbSource>> again =
          LdbSource::Open(source->file_path(), options_, &lanes_, &open_connections_);
      if (source_ == source && again.ok() && (*again)->identity() == source->identity()) {
        Install(*std::move(again));
      }
    }
  }
  if (now >= next_idle_check_) {
    next_idle_check_ = now + kIdleCheckNanos;
    CloseIdleConnections();
  }
  source = nullptr;
  lanes_.Reclaim();
  return busy || lanes_.retired_bytes() > 0;
}

bool ReaderCore::LetGoOfLanes(LdbSource* source) {
  const FreshnessPageView* const page = source == nullptr ? nullptr : source->page();
  bool any_held = false;
  lanes_.ForEach([&](void* data) {
    LaneState* const state = static_cast<LaneState*>(data);
    const uint64_t held_epoch = state->held_epoch.load(std::memory_order_relaxed);
    if (held_epoch == 0) return;
    const uint64_t uses = state->uses.load(std::memory_order_relaxed);
    state->idle_rounds = uses == state->seen_uses ? state->idle_rounds + 1 : 0;
    state->seen_uses = uses;
    any_held = true;
    if (page != nullptr && page->epoch() == held_epoch && state->idle_rounds < kIdleRounds) return;
    std::unique_ptr<ReaderConnection> connection(
        state->connection.exchange(nullptr, std::memory_order_acq_rel));
    // Where there is none the thread is using it, and lets go itself of what is not current.
    if (connection == nullptr) return;
    state->held_epoch.store(0, std::memory_order_relaxed);
    // Of an earlier source: closed.
    if (source == nullptr || connection->source_id() != source->id()) return;
    connection->LetGo();
    ReaderConnection* expected = nullptr;
    ReaderConnection* const mine = connection.release();
    if (!state->connection.compare_exchange_strong(expected, mine, std::memory_order_acq_rel)) {
      source->GiveBack(std::unique_ptr<ReaderConnection>(mine));
      // The thread has given another one back, and what that holds may just have been overwritten.
      state->held_epoch.store(kUnknownEpoch, std::memory_order_relaxed);
    }
  });
  return any_held;
}

bool ReaderCore::LetGoOfHeld() {
  const int64_t now = SteadyNanos();
  std::lock_guard<std::mutex> lock(held_mutex_);
  for (HeldState* state = held_; state != nullptr; state = state->next_) state->ExpireAt(now);
  return held_ != nullptr;
}

void ReaderCore::CloseIdleConnections() {
  lanes_.ForEach([](void* data) {
    LaneState* const state = static_cast<LaneState*>(data);
    const uint64_t uses = state->uses.load(std::memory_order_relaxed);
    if (uses == state->uses_at_idle_check) {
      delete state->connection.exchange(nullptr, std::memory_order_acq_rel);
    }
    state->uses_at_idle_check = uses;
  });
}

}  // namespace ctlstore::ldb
