#include "common/ldb/reader.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ldb/reader_connection.h"
#include "common/ldb/reader_pool.h"
#include "common/schema/errors.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

constexpr char kDefaultFolder[] = "/var/spool/ctlstore";
constexpr char kFolderVariable[] = "CTLSTORE_PATH";
constexpr char kFileName[] = "ldb.db";

constexpr absl::Duration kMinWaitPause = absl::Microseconds(50);
constexpr absl::Duration kMaxWaitPause = absl::Milliseconds(5);

// A column's value as its declared type has it, where what is stored is of another one.
ValueView AsDeclared(FieldType type, const ValueView& stored) {
  switch (KindOf(type)) {
    case ValueKind::kDecimal:
      if (stored.kind() == ValueKind::kInteger) return static_cast<double>(stored.integer());
      break;
    case ValueKind::kText:
      // The Go reflector stores text with a NUL as bytes.
      if (stored.kind() == ValueKind::kBytes) return stored.data();
      break;
    case ValueKind::kBytes:
      if (stored.kind() == ValueKind::kText) return ValueView::Bytes(stored.data());
      break;
    default:
      break;
  }
  return stored;
}

}  // namespace

// A connection with a select under way. The row that it stands on is the row; where it stands on
// none, there are no columns.
class Row::State {
 public:
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { End(); }

  // Begins the select. The second try is on a new connection, because an error may be the old
  // one's alone.
  absl::Status Select(ReaderPool* pool, absl::string_view family, absl::string_view table,
                      absl::Span<const ValueView> key, bool whole_key) {
    absl::StatusOr<ReaderPool::Lease> lease = pool->Take();
    for (bool last_try : {false, true}) {
      if (!lease.ok()) return lease.status();
      absl::StatusOr<ReaderConnection::Cursor> cursor =
          (*lease)->Select(family, table, key, whole_key);
      if (cursor.ok()) {
        lease_ = *std::move(lease);
        cursor_ = *cursor;
        return absl::OkStatus();
      }
      if (IsCallersMistake(cursor.status())) return cursor.status();
      lease->Discard();
      if (last_try) return cursor.status();
      lease = pool->TakeNew();
    }
    return absl::OkStatus();
  }

  void End() {
    if (!lease_) return;
    lease_->End(cursor_);
    lease_.GiveBack();
    on_row_ = false;
  }

  bool has_row() const { return cursor_.has_row; }

  // Goes on to the next row.
  absl::Status Step() { return lease_->Next(&cursor_); }

  // Closes the connection.
  void Discard() {
    lease_->End(cursor_);
    lease_.Discard();
    on_row_ = false;
  }

  size_t size() const { return on_row_ ? cursor_.table->columns.size() : 0; }
  absl::string_view name(size_t column) const { return cursor_.table->columns[column].name; }
  ValueView value(size_t column) const {
    const ValueView stored = cursor_.statement->Column(static_cast<int>(column));
    const absl::optional<FieldType>& type = cursor_.table->columns[column].type;
    if (!type.has_value() || stored.kind() == KindOf(*type)) return stored;
    return AsDeclared(*type, stored);
  }

  bool on_row() const { return on_row_; }
  void set_on_row(bool on_row) { on_row_ = on_row; }

  // Of an iterator: what it may still show, whether it has begun, and the key that its statement
  // looks at.
  int64_t remaining = Reader::kNoLimit;
  bool begun = false;
  std::vector<Value> key_prefix;

 private:
  ReaderPool::Lease lease_;
  ReaderConnection::Cursor cursor_;
  bool on_row_ = false;
};

Row::Row(std::unique_ptr<State> state) : state_(std::move(state)) {}
Row::Row(Row&&) noexcept = default;
Row& Row::operator=(Row&&) noexcept = default;
Row::~Row() = default;

bool Row::exists() const { return state_ != nullptr && state_->on_row(); }

size_t Row::size() const { return state_ == nullptr ? 0 : state_->size(); }

absl::string_view Row::name(size_t column) const { return state_->name(column); }

ValueView Row::value(size_t column) const { return state_->value(column); }

absl::StatusOr<ValueView> Row::Get(absl::string_view column) const {
  for (size_t i = 0; i < size(); ++i) {
    if (absl::EqualsIgnoreCase(name(i), column)) return value(i);
  }
  return absl::NotFoundError(exists() ? absl::StrCat("there is no column ", column)
                                      : absl::StrCat("there is no row, so no column ", column));
}

namespace {

absl::Status WrongKind(absl::string_view column, ValueKind wanted, ValueKind found) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the column ", column, " is ", ValueKindName(found), ", not ", ValueKindName(wanted)));
}

}  // namespace

absl::StatusOr<absl::string_view> Row::GetText(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kText) return WrongKind(column, ValueKind::kText, value->kind());
  return value->data();
}

absl::StatusOr<int64_t> Row::GetInteger(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kInteger) {
    return WrongKind(column, ValueKind::kInteger, value->kind());
  }
  return value->integer();
}

absl::StatusOr<double> Row::GetDecimal(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kDecimal) {
    return WrongKind(column, ValueKind::kDecimal, value->kind());
  }
  return value->decimal();
}

absl::StatusOr<absl::string_view> Row::GetBytes(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kBytes) {
    return WrongKind(column, ValueKind::kBytes, value->kind());
  }
  return value->data();
}

RowIterator::RowIterator(absl::Status status, Row row)
    : status_(std::move(status)), row_(std::move(row)) {}
RowIterator::RowIterator(RowIterator&&) noexcept = default;
RowIterator& RowIterator::operator=(RowIterator&&) noexcept = default;
RowIterator::~RowIterator() = default;

bool RowIterator::Next() {
  Row::State* const state = row_.state_.get();
  if (state == nullptr) return false;
  // At the limit, or at the end, the state of the database is let go of at once.
  if (state->remaining == 0) {
    row_.state_ = nullptr;
    return false;
  }
  if (state->begun) {
    absl::Status status = state->Step();
    if (!status.ok()) {
      state->Discard();
      row_.state_ = nullptr;
      status_ = std::move(status);
      return false;
    }
  }
  state->begun = true;
  if (!state->has_row()) {
    row_.state_ = nullptr;
    return false;
  }
  if (state->remaining > 0) --state->remaining;
  state->set_on_row(true);
  return true;
}

const Row& RowIterator::row() const { return row_; }

const absl::Status& RowIterator::status() const { return status_; }

absl::optional<absl::Duration> Position::Lag(absl::Time now) const {
  absl::optional<absl::Time> newest = applied_entry_time;
  if (heartbeat_time.has_value() && (!newest.has_value() || *heartbeat_time > *newest)) {
    newest = heartbeat_time;
  }
  if (!newest.has_value()) return absl::nullopt;
  return std::max(now - *newest, absl::ZeroDuration());
}

class Reader::Connections : public ReaderPool {
 public:
  using ReaderPool::ReaderPool;

  // Calls `read` with a connection, and once more with a new one where it fails for another reason
  // than the caller's mistake.
  template <typename Read>
  auto With(Read read) -> decltype(read(std::declval<ReaderPool::Lease&>())) {
    absl::StatusOr<Lease> lease = Take();
    if (!lease.ok()) return lease.status();
    auto result = read(*lease);
    if (result.ok() || IsCallersMistake(result.status())) return result;
    lease->Discard();
    lease = TakeNew();
    if (!lease.ok()) return lease.status();
    result = read(*lease);
    if (!result.ok() && !IsCallersMistake(result.status())) lease->Discard();
    return result;
  }
};

Reader::Reader(std::string path) : connections_(std::make_unique<Connections>(std::move(path))) {}

Reader::~Reader() = default;

absl::StatusOr<Row> Reader::GetRow(absl::string_view family, absl::string_view table,
                                   absl::Span<const ValueView> key) {
  auto state = std::make_unique<Row::State>();
  absl::Status status = state->Select(connections_.get(), family, table, key, /*whole_key=*/true);
  if (!status.ok()) return status;
  if (!state->has_row()) return Row(nullptr);
  state->set_on_row(true);
  return Row(std::move(state));
}

RowIterator Reader::ListRows(absl::string_view family, absl::string_view table,
                             absl::Span<const ValueView> key_prefix, int64_t limit) {
  auto state = std::make_unique<Row::State>();
  state->remaining = limit < 0 ? kNoLimit : limit;
  // The statement looks at its key at every step, for longer than the caller keeps it.
  state->key_prefix = std::vector<Value>(key_prefix.begin(), key_prefix.end());
  const std::vector<ValueView> key(state->key_prefix.begin(), state->key_prefix.end());
  absl::Status status = state->Select(connections_.get(), family, table, key, /*whole_key=*/false);
  if (!status.ok()) return RowIterator(std::move(status), Row(nullptr));
  return RowIterator(absl::OkStatus(), Row(std::move(state)));
}

absl::StatusOr<TableSchema> Reader::GetTable(absl::string_view family, absl::string_view table) {
  return connections_->With(
      [&](ReaderPool::Lease& connection) { return connection->GetTable(family, table); });
}

absl::StatusOr<Position> Reader::GetPosition() {
  return connections_->With(
      [](ReaderPool::Lease& connection) { return connection->GetPosition(); });
}

absl::Status Reader::WaitForSequence(int64_t sequence, absl::Time deadline) {
  absl::Duration pause = kMinWaitPause;
  while (true) {
    absl::StatusOr<int64_t> applied =
        connections_->With([](ReaderPool::Lease& connection) { return connection->GetSequence(); });
    if (!applied.ok()) return applied.status();
    if (*applied >= sequence) return absl::OkStatus();
    const absl::Duration rest = deadline - absl::Now();
    if (rest <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("sequence ", sequence, " is not applied yet; the last one is ", *applied));
    }
    absl::SleepFor(std::min(pause, rest));
    pause = std::min(pause * 2, kMaxWaitPause);
  }
}

const std::string& Reader::path() const { return connections_->path(); }

std::string Reader::DefaultPath() {
  const char* folder = std::getenv(kFolderVariable);
  return absl::StrCat(folder == nullptr || *folder == '\0' ? kDefaultFolder : folder, "/",
                      kFileName);
}

}  // namespace ctlstore::ldb
