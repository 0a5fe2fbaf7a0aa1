#include "sidecar/ldb_change_source.h"

#include <string>
#include <utility>
#include <vector>

#include "sidecar/row_conversion.h"

namespace ctlstore::sidecar {
namespace {

class LdbView : public ChangeView {
 public:
  explicit LdbView(ldb::Snapshot snapshot) : snapshot_(std::move(snapshot)) {}

  int64_t sequence() const override { return snapshot_.sequence(); }
  absl::StatusOr<std::string> GetIdentity() override { return snapshot_.GetIdentity(); }

  absl::StatusOr<std::vector<ldb::ChangeEvent>> ReadChanges(int64_t after, size_t max_changes,
                                                            int64_t* reached) override {
    return snapshot_.ReadChanges(after, max_changes, reached);
  }

  absl::StatusOr<bool> ReadRow(const TableName& table, absl::Span<const Value> key,
                               v1::Row* proto) override {
    const std::vector<ValueView> views(key.begin(), key.end());
    const absl::StatusOr<ldb::Row> row = snapshot_.GetRow(table.family, table.table, views);
    if (absl::IsNotFound(row.status()) || absl::IsInvalidArgument(row.status())) return false;
    if (!row.ok()) return row.status();
    if (row->exists()) ToProto(*row, proto);
    return row->exists();
  }

 private:
  ldb::Snapshot snapshot_;
};

}  // namespace

LdbChangeSource::LdbChangeSource(ldb::Reader* reader, size_t max_waits)
    : reader_(reader), waiter_(reader, max_waits) {}

absl::StatusOr<std::unique_ptr<ChangeView>> LdbChangeSource::View() {
  absl::StatusOr<ldb::Snapshot> snapshot = reader_->GetSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  return std::make_unique<LdbView>(*std::move(snapshot));
}

absl::StatusOr<uint64_t> LdbChangeSource::Wait(int64_t sequence, absl::Time deadline,
                                               std::function<void()> done) {
  return waiter_.Wait(sequence, deadline,
                      [done = std::move(done)](const absl::StatusOr<int64_t>&) { done(); });
}

bool LdbChangeSource::Cancel(uint64_t wait) { return waiter_.Cancel(wait); }

}  // namespace ctlstore::sidecar
