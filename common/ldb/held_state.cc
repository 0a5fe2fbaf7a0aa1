#include "common/ldb/held_state.h"

#include <algorithm>
#include <utility>

#include "common/ldb/reader_core.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {

HeldState::HeldState(ReaderCore* core, std::shared_ptr<LdbSource> source,
                     std::unique_ptr<ReaderConnection> connection, uint64_t epoch, int64_t sequence)
    : core_(core),
      source_(std::move(source)),
      epoch_(epoch),
      sequence_(sequence),
      connection_(std::move(connection)) {
  core_->AddHeld(this);
}

HeldState::~HeldState() {
  core_->RemoveHeld(this);
  if (connection_ != nullptr) LetGo(/*usable=*/true);
}

absl::Status HeldState::Expired() const {
  if (!failure_.ok()) return failure_;
  return ErrorWithReason(absl::StatusCode::kAborted, reason::kSnapshotExpired,
                         "the state of the database was held for longer than it may be");
}

void HeldState::Fail(const absl::Status& status) {
  failure_ = status;
  LetGo(/*usable=*/false);
}

void HeldState::LetGo(bool usable) {
  let_go_.store(true, std::memory_order_relaxed);
  selects_.clear();
  if (usable) {
    core_->Release(source_.get(), std::move(connection_));
  } else {
    connection_ = nullptr;
  }
}

void HeldState::ExpireAt(int64_t now_nanos) {
  if (now_nanos < expires_nanos_) return;
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (lock.owns_lock() && connection_ != nullptr) LetGo(/*usable=*/true);
}

absl::StatusOr<ReaderConnection::Select*> HeldState::BeginSelect(
    absl::string_view family, absl::string_view table, absl::Span<const ValueView> key_prefix,
    absl::Span<const ValueView> after) {
  return With([&](ReaderConnection& connection) -> absl::StatusOr<ReaderConnection::Select*> {
    absl::StatusOr<std::unique_ptr<ReaderConnection::Select>> select =
        connection.BeginSelect(family, table, key_prefix, after);
    if (!select.ok()) return select.status();
    selects_.push_back(*std::move(select));
    return selects_.back().get();
  });
}

absl::StatusOr<RowData::Ptr> HeldState::Next(ReaderConnection::Select* select) {
  return With([&](ReaderConnection& connection) { return connection.Next(select); });
}

void HeldState::EndSelect(ReaderConnection::Select* select) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto place = std::find_if(selects_.begin(), selects_.end(),
                                  [select](const auto& mine) { return mine.get() == select; });
  if (place == selects_.end()) return;
  connection_->EndSelect(std::move(*place));
  selects_.erase(place);
}

bool Cursor::Next() {
  if (state_ == nullptr) return false;
  if (remaining_ == 0) {
    End();
    return false;
  }
  absl::StatusOr<RowData::Ptr> row = state_->Next(select_);
  if (!row.ok() || *row == nullptr) {
    status_ = row.status();
    End();
    return false;
  }
  if (remaining_ > 0) --remaining_;
  row_ = OwnedRow(std::shared_ptr<const RowData>(*std::move(row)));
  return true;
}

std::vector<Value> Cursor::key() const {
  std::vector<Value> key;
  if (!row_.exists()) return key;
  const RowData& data = *row_.owned_;
  for (size_t i = 0; i < data.shape().key.size(); ++i) key.emplace_back(data.key_value(i));
  return key;
}

void Cursor::End() {
  row_ = OwnedRow();
  if (state_ == nullptr) return;
  state_->EndSelect(select_);
  state_ = nullptr;
}

}  // namespace ctlstore::ldb
