#include "common/ldb/reader.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/ldb/held_state.h"
#include "common/ldb/reader_core.h"

namespace ctlstore::ldb {
namespace {

constexpr char kDefaultFolder[] = "/var/spool/ctlstore";
constexpr char kFolderVariable[] = "CTLSTORE_PATH";
constexpr char kFileName[] = "ldb.db";

}  // namespace

RowIterator::RowIterator(std::unique_ptr<Cursor> cursor) : cursor_(std::move(cursor)) {}
RowIterator::RowIterator(RowIterator&&) noexcept = default;
RowIterator& RowIterator::operator=(RowIterator&&) noexcept = default;
RowIterator::~RowIterator() = default;

bool RowIterator::Next() { return cursor_->Next(); }
const RowView& RowIterator::row() const { return cursor_->row(); }
OwnedRow RowIterator::Copy() const { return cursor_->owned_row(); }
std::vector<Value> RowIterator::key() const { return cursor_->key(); }
const absl::Status& RowIterator::status() const { return cursor_->status(); }

absl::optional<absl::Duration> Position::Lag(absl::Time now) const {
  absl::optional<absl::Time> newest = applied_entry_time;
  if (heartbeat_time.has_value() && (!newest.has_value() || *heartbeat_time > *newest)) {
    newest = heartbeat_time;
  }
  if (!newest.has_value()) return absl::nullopt;
  return std::max(now - *newest, absl::ZeroDuration());
}

Snapshot::Snapshot(std::shared_ptr<HeldState> state) : state_(std::move(state)) {}
Snapshot::Snapshot(Snapshot&&) noexcept = default;
Snapshot& Snapshot::operator=(Snapshot&&) noexcept = default;
Snapshot::~Snapshot() = default;

int64_t Snapshot::sequence() const { return state_->sequence(); }

absl::StatusOr<Row> Snapshot::GetRow(absl::string_view family, absl::string_view table,
                                     absl::Span<const ValueView> key) {
  return state_->core()->GetRowIn(state_.get(), family, table, key);
}

RowIterator Snapshot::ListRows(absl::string_view family, absl::string_view table,
                               absl::Span<const ValueView> key_prefix, const ListOptions& options) {
  return ReaderCore::ListRowsIn(state_, family, table, key_prefix, options);
}

absl::StatusOr<TableSchema> Snapshot::GetTable(absl::string_view family, absl::string_view table) {
  return state_->With(
      [&](ReaderConnection& connection) { return connection.GetTable(family, table); });
}

absl::StatusOr<std::vector<TableSchema>> Snapshot::ListTables() {
  return state_->With([](ReaderConnection& connection) { return connection.ListTables(); });
}

absl::StatusOr<std::vector<ChangeEvent>> Snapshot::ReadChanges(int64_t sequence, size_t max_changes,
                                                               int64_t* reached) {
  return state_->With([&](ReaderConnection& connection) {
    return connection.ReadChanges(sequence, max_changes, reached);
  });
}

absl::StatusOr<absl::optional<int64_t>> Snapshot::ChangesBegin() {
  return state_->With([](ReaderConnection& connection) { return connection.ChangesBegin(); });
}

absl::StatusOr<std::string> Snapshot::GetIdentity() {
  return state_->With([](ReaderConnection& connection) { return connection.GetIdentity(); });
}

Reader::Reader(std::string path, const ReaderOptions& options)
    : core_(std::make_unique<ReaderCore>(std::move(path), options)) {}

Reader::~Reader() {
  // What the parent had is not the child's: neither its thread nor SQLite's locks came along.
  if (core_->forked()) core_.release();
}

absl::StatusOr<Row> Reader::GetRow(absl::string_view family, absl::string_view table,
                                   absl::Span<const ValueView> key) {
  return core_->GetRow(family, table, key);
}

RowIterator Reader::ListRows(absl::string_view family, absl::string_view table,
                             absl::Span<const ValueView> key_prefix, const ListOptions& options) {
  return core_->ListRows(family, table, key_prefix, options);
}

absl::StatusOr<TableSchema> Reader::GetTable(absl::string_view family, absl::string_view table) {
  return core_->GetTable(family, table);
}

absl::StatusOr<std::vector<TableSchema>> Reader::ListTables() { return core_->ListTables(); }

absl::StatusOr<Snapshot> Reader::GetSnapshot() { return core_->GetSnapshot(); }

absl::StatusOr<int64_t> Reader::GetSequence() { return core_->GetSequence(); }

absl::StatusOr<Position> Reader::GetPosition() { return core_->GetPosition(); }

absl::Status Reader::WaitForSequence(int64_t sequence, absl::Time deadline) {
  return core_->WaitForSequence(sequence, deadline);
}

ReaderStats Reader::stats() const { return core_->stats(); }

const std::string& Reader::path() const { return core_->path(); }

std::string Reader::DefaultPath() {
  const char* folder = std::getenv(kFolderVariable);
  return absl::StrCat(folder == nullptr || *folder == '\0' ? kDefaultFolder : folder, "/",
                      kFileName);
}

}  // namespace ctlstore::ldb
