// Rows as readers show them: in place, or kept.

#ifndef CTLSTORE_COMMON_LDB_ROW_H_
#define CTLSTORE_COMMON_LDB_ROW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ldb/reader_lanes.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

class RowData;

// What every row has. Nothing is copied: what it returns is valid while the row lives.
class RowView {
 public:
  // Whether there is such a row. Where not, it has no columns.
  bool exists() const;

  size_t size() const;
  // `column` is less than size().
  absl::string_view name(size_t column) const;
  ValueView value(size_t column) const;

  // The column's value, by its name in any case. NOT_FOUND where the table has no such column, and
  // where there is no row.
  absl::StatusOr<ValueView> Get(absl::string_view column) const;

  // The same for a known type. FAILED_PRECONDITION where the value is of another, or null.
  absl::StatusOr<absl::string_view> GetText(absl::string_view column) const;
  absl::StatusOr<int64_t> GetInteger(absl::string_view column) const;
  absl::StatusOr<double> GetDecimal(absl::string_view column) const;
  absl::StatusOr<absl::string_view> GetBytes(absl::string_view column) const;

 protected:
  RowView() = default;
  explicit RowView(const RowData* data) : data_(data) {}
  ~RowView() = default;
  RowView(const RowView&) = default;
  RowView& operator=(const RowView&) = default;

  const RowData* data() const { return data_; }
  void Forget() { data_ = nullptr; }

 private:
  friend class RowStructAccess;
  // Null where there is no row.
  const RowData* data_ = nullptr;
};

// A row that can be kept for as long as it is wanted, also without its reader. Cheap to copy.
// Thread-safe: it never changes.
class OwnedRow : public RowView {
 public:
  OwnedRow() = default;

 private:
  friend class Cursor;
  friend class Row;
  explicit OwnedRow(std::shared_ptr<const RowData> data)
      : RowView(data.get()), owned_(std::move(data)) {}
  std::shared_ptr<const RowData> owned_;
};

// A row for the moment: it may be the reader's own copy of it, which the reader cannot let go of
// while this lives. It must not outlive its reader. One thread at a time.
class Row : public RowView {
 public:
  Row(Row&& other) noexcept;
  Row& operator=(Row&& other) noexcept;
  ~Row();

  OwnedRow Copy() const;

 private:
  friend class ReaderCore;
  // In a cache, for as long as the pin is held.
  Row(const RowData* data, ReaderLanes::Pin pin) : RowView(data), pin_(std::move(pin)) {}
  // Its own.
  explicit Row(std::shared_ptr<const RowData> data)
      : RowView(data.get()), owned_(std::move(data)) {}
  ReaderLanes::Pin pin_;
  std::shared_ptr<const RowData> owned_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ROW_H_
