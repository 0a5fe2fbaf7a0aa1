#include "common/ldb/row_data.h"

#include <cstring>
#include <new>
#include <utility>

namespace ctlstore::ldb {
namespace {

bool HasData(const ValueView& value) {
  return value.kind() == ValueKind::kText || value.kind() == ValueKind::kBytes;
}

}  // namespace

RowData::Ptr RowData::Row(std::shared_ptr<const TableShape> shape,
                          absl::Span<const ValueView> values) {
  return Create(std::move(shape), /*exists=*/true, values);
}

RowData::Ptr RowData::Missing(std::shared_ptr<const TableShape> shape,
                              absl::Span<const ValueView> key) {
  return Create(std::move(shape), /*exists=*/false, key);
}

RowData::Ptr RowData::Create(std::shared_ptr<const TableShape> shape, bool exists,
                             absl::Span<const ValueView> values) {
  size_t data_bytes = 0;
  for (const ValueView& value : values) {
    if (HasData(value)) data_bytes += value.data().size();
  }
  const size_t bytes = sizeof(RowData) + values.size() * sizeof(Cell) + data_bytes;
  RowData* const row = new (::operator new(bytes)) RowData;
  row->shape_ = std::move(shape);
  row->bytes_ = bytes;
  row->count_ = static_cast<uint32_t>(values.size());
  row->exists_ = exists;
  Cell* cell = reinterpret_cast<Cell*>(row + 1);
  char* const data = reinterpret_cast<char*>(cell + values.size());
  size_t offset = 0;
  for (const ValueView& value : values) {
    new (cell) Cell{value.kind(), 0, {0}};
    switch (value.kind()) {
      case ValueKind::kNull:
        break;
      case ValueKind::kInteger:
        cell->integer = value.integer();
        break;
      case ValueKind::kDecimal:
        cell->decimal = value.decimal();
        break;
      case ValueKind::kText:
      case ValueKind::kBytes:
        cell->size = static_cast<uint32_t>(value.data().size());
        cell->offset = offset;
        if (!value.data().empty()) {
          std::memcpy(data + offset, value.data().data(), value.data().size());
        }
        offset += value.data().size();
        break;
    }
    ++cell;
  }
  return Ptr(row);
}

RowData::Ptr RowData::Copy() const {
  std::vector<ValueView> values;
  for (size_t i = 0; i < count_; ++i) values.push_back(At(i));
  return Create(shape_, exists_, values);
}

void RowData::Deleter::operator()(RowData* data) const {
  data->~RowData();
  ::operator delete(data);
}

bool RowData::HasKey(absl::Span<const ValueView> key) const {
  if (key.size() != shape_->key.size()) return false;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key_value(i) != key[i]) return false;
  }
  return true;
}

}  // namespace ctlstore::ldb
