#include "sidecar/watch_cursor.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/proto_conversion.h"

namespace ctlstore::sidecar {
namespace {

// A message ends with the ledger entry that reaches one of these: a slow client holds no more.
constexpr size_t kMessageBytes = 64 * 1024;
constexpr int kMessageChanges = 256;

// Changes that are read at once, and how often that is done before it is another watch's turn.
constexpr size_t kReadChanges = 256;
constexpr int kReadsPerTurn = 16;

}  // namespace

WatchCursor::WatchCursor(absl::optional<int64_t> after, WatchFilter filter, bool with_rows)
    : filter_(std::move(filter)), with_rows_(with_rows), position_(after) {}

absl::StatusOr<WatchCursor::Step> WatchCursor::Advance(ChangeView* view,
                                                       v1::WatchResponse* message) {
  bytes_ = 0;
  absl::StatusOr<std::string> identity = view->GetIdentity();
  if (!identity.ok()) return identity.status();
  const bool is_another = identity_.has_value() && *identity_ != *identity;
  identity_ = *std::move(identity);
  const int64_t last_state = std::exchange(state_, view->sequence());
  if (!position_.has_value()) position_ = state_;
  // What was told need not be what is there now: it may have other families, or another ledger.
  if (is_another || state_ < last_state) return Reset(message);
  for (int i = 0; i < kReadsPerTurn && *position_ < state_; ++i) {
    int64_t reached = 0;
    const absl::StatusOr<std::vector<ldb::ChangeEvent>> changes =
        view->ReadChanges(*position_, kReadChanges, &reached);
    if (absl::IsOutOfRange(changes.status())) return Reset(message);
    if (!changes.ok()) return changes.status();
    if (reached <= *position_) {
      return absl::InternalError(
          absl::StrCat("the changes after sequence ", *position_, " end at sequence ", reached));
    }
    for (const ldb::ChangeEvent& change : *changes) {
      if (change.kind == ldb::Change::Kind::kEverything) return Reset(message);
      // All that is before this entry is in the message, if it begins one.
      const bool full = bytes_ >= kMessageBytes || message->changes_size() >= kMessageChanges;
      if (full && change.sequence > message->changes().rbegin()->sequence()) {
        position_ = change.sequence - 1;
        return Step::kMessage;
      }
      if (!filter_.Matches(change)) continue;
      const absl::Status added = AddChange(change, view, message);
      if (!added.ok()) return added;
    }
    position_ = reached;
    if (bytes_ >= kMessageBytes || message->changes_size() >= kMessageChanges) break;
  }
  if (!message->changes().empty()) return Step::kMessage;
  return caught_up() ? Step::kCaughtUp : Step::kMore;
}

WatchCursor::Step WatchCursor::Reset(v1::WatchResponse* message) {
  message->Clear();
  message->set_everything_changed(true);
  position_ = state_;
  return Step::kMessage;
}

absl::Status WatchCursor::AddChange(const ldb::ChangeEvent& change, ChangeView* view,
                                    v1::WatchResponse* message) {
  v1::RowChange* added = message->add_changes();
  added->set_sequence(change.sequence);
  added->set_family(change.table.family);
  added->set_table(change.table.table);
  if (change.kind == ldb::Change::Kind::kKey) {
    for (const Value& value : change.key) rpc::ToProto(value, added->add_key());
    if (with_rows_) {
      const absl::StatusOr<bool> exists =
          view->ReadRow(change.table, change.key, added->mutable_row());
      if (!exists.ok()) return exists.status();
      if (!*exists) added->clear_row();
    }
  }
  bytes_ += added->ByteSizeLong();
  return absl::OkStatus();
}

}  // namespace ctlstore::sidecar
