// One row of a local database as it was read, in one piece of memory that never changes.

#ifndef CTLSTORE_COMMON_LDB_ROW_DATA_H_
#define CTLSTORE_COMMON_LDB_ROW_DATA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// What a table's rows look like, as the file declares it. Never changes; shared by the rows.
struct TableShape {
  struct Column {
    std::string name;
    // Not set for a type that no field has.
    absl::optional<FieldType> type;

    friend bool operator==(const Column& a, const Column& b) {
      return a.name == b.name && a.type == b.type;
    }
  };

  TableName name;
  std::vector<Column> columns;
  // Positions in `columns`, in key order.
  std::vector<size_t> key;
};

// A row, or the knowledge that there is none with its key. Everything is in one allocation, so a
// look at it costs few cache lines. Thread-safe: it never changes.
class RowData {
 public:
  struct Deleter {
    void operator()(RowData* data) const;
  };
  using Ptr = std::unique_ptr<RowData, Deleter>;

  // A row with these values, one for each column of the shape; they are copied.
  static Ptr Row(std::shared_ptr<const TableShape> shape, absl::Span<const ValueView> values);
  // There is no row with this key, which has a value for each key field.
  static Ptr Missing(std::shared_ptr<const TableShape> shape, absl::Span<const ValueView> key);

  // The same once more, on its own.
  Ptr Copy() const;

  bool exists() const { return exists_; }
  const TableShape& shape() const { return *shape_; }
  const std::shared_ptr<const TableShape>& shared_shape() const { return shape_; }
  // Columns; 0 where it does not exist.
  size_t size() const { return exists_ ? count_ : 0; }
  ValueView value(size_t column) const { return At(column); }
  // Of existing and missing rows alike; in key order.
  ValueView key_value(size_t i) const { return At(exists_ ? shape_->key[i] : i); }
  bool HasKey(absl::Span<const ValueView> key) const;
  // The memory that it takes.
  size_t bytes() const { return bytes_; }

  // For the cache that holds the row, and used by nothing else.
  struct CacheLink;
  CacheLink* cache_link() const { return reinterpret_cast<CacheLink*>(link_); }
  static constexpr size_t kCacheLinkBytes = 48;

  RowData(const RowData&) = delete;
  RowData& operator=(const RowData&) = delete;

 private:
  struct Cell {
    ValueKind kind;
    // Of text and bytes; they stand behind the cells.
    uint32_t size;
    union {
      int64_t integer;
      double decimal;
      uint64_t offset;
    };
  };

  RowData() = default;
  ~RowData() = default;
  static Ptr Create(std::shared_ptr<const TableShape> shape, bool exists,
                    absl::Span<const ValueView> values);
  const Cell* cells() const { return reinterpret_cast<const Cell*>(this + 1); }
  ValueView At(size_t i) const;

  alignas(8) mutable unsigned char link_[kCacheLinkBytes] = {};
  std::shared_ptr<const TableShape> shape_;
  size_t bytes_ = 0;
  uint32_t count_ = 0;
  bool exists_ = false;
};

inline ValueView RowData::At(size_t i) const {
  const Cell& cell = cells()[i];
  switch (cell.kind) {
    case ValueKind::kNull:
      return ValueView();
    case ValueKind::kInteger:
      return ValueView(cell.integer);
    case ValueKind::kDecimal:
      return ValueView(cell.decimal);
    case ValueKind::kText:
      return ValueView(absl::string_view(
          reinterpret_cast<const char*>(cells() + count_) + cell.offset, cell.size));
    case ValueKind::kBytes:
      return ValueView::Bytes(absl::string_view(
          reinterpret_cast<const char*>(cells() + count_) + cell.offset, cell.size));
  }
  return ValueView();
}

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ROW_DATA_H_
