#include "common/ldb/row_struct.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/row_data.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"

namespace ctlstore::ldb {

class RowStructAccess {
 public:
  static const RowData* Data(const RowView& row) { return row.data(); }
};

namespace {

// Where one declaration's fields are in rows of one shape. The shape is kept, so that no other one
// can have its address.
struct Resolved {
  uint64_t fields_id = 0;
  std::shared_ptr<const TableShape> shape;
  std::vector<size_t> columns;
};

// Each place is for the pairs of a declaration and a shape that fall on it, the last one of them.
constexpr size_t kResolvedPerThread = 64;

Resolved* PlaceFor(uint64_t fields_id, const TableShape* shape) {
  thread_local std::array<Resolved, kResolvedPerThread> places;
  const uint64_t hash =
      (fields_id ^ reinterpret_cast<uintptr_t>(shape)) * uint64_t{0x9E3779B97F4A7C15};
  return &places[hash >> 58];
}
static_assert(kResolvedPerThread == size_t{1} << (64 - 58));

std::atomic<uint64_t> next_id{1};

std::string CppType(ValueKind kind, bool nullable) {
  const char* const type = kind == ValueKind::kInteger   ? "int64_t"
                           : kind == ValueKind::kDecimal ? "double"
                           : kind == ValueKind::kBytes   ? "std::string for bytes"
                                                         : "std::string";
  return nullable ? absl::StrCat("absl::optional of ", type) : type;
}

// The one form in which names are stored; a name that no table has stays as it is.
std::string Normalized(const absl::StatusOr<std::string>& normalized, absl::string_view name) {
  return normalized.ok() ? *normalized : std::string(name);
}

}  // namespace

StructFields::StructFields(absl::string_view family, absl::string_view table)
    : family_(Normalized(NormalizeFamilyName("family", family), family)),
      table_(Normalized(NormalizeTableName("table", table), table)),
      id_(next_id.fetch_add(1, std::memory_order_relaxed)) {}

void StructFields::Declare(absl::string_view column, ValueKind kind, bool nullable) {
  declared_.push_back({absl::AsciiStrToLower(column), kind, nullable});
}

absl::Status StructFields::Check(const TableSchema& table) const {
  for (const Declared& declared : declared_) {
    const absl::optional<size_t> column = table.FindField(declared.column);
    if (!column.has_value()) return Differs(declared, "the table has no such column");
    if (absl::Status status = CheckType(declared, table.fields()[*column].type); !status.ok()) {
      return status;
    }
  }
  checked_.store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::StatusOr<const size_t*> StructFields::Columns(const RowView& row) const {
  if (!row.exists()) return absl::NotFoundError("there is no such row");
  const RowData& data = *RowStructAccess::Data(row);
  Resolved* const resolved = PlaceFor(id_, &data.shape());
  if (resolved->fields_id == id_ && resolved->shape.get() == &data.shape()) {
    return resolved->columns.data();
  }

  const TableShape& shape = data.shape();
  if (shape.name.family != family_ || shape.name.table != table_) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kStructDiffers,
        absl::StrCat("the struct is declared for ", family_, ".", table_,
                     ", but the row is one of ", shape.name.family, ".", shape.name.table));
  }
  std::vector<size_t> columns;
  for (const Declared& declared : declared_) {
    const auto column = std::find_if(shape.columns.begin(), shape.columns.end(),
                                     [&declared](const TableShape::Column& column) {
                                       return absl::EqualsIgnoreCase(column.name, declared.column);
                                     });
    if (column == shape.columns.end()) return Differs(declared, "the table has no such column");
    if (absl::Status status = CheckType(declared, column->type); !status.ok()) return status;
    columns.push_back(column - shape.columns.begin());
  }
  resolved->fields_id = id_;
  resolved->shape = data.shared_shape();
  resolved->columns = std::move(columns);
  return resolved->columns.data();
}

absl::Status StructFields::CheckType(const Declared& declared,
                                     absl::optional<FieldType> type) const {
  if (type.has_value() && KindOf(*type) == declared.kind) return absl::OkStatus();
  return Differs(declared,
                 absl::StrCat("the table's type for it is ",
                              type.has_value() ? FieldTypeName(*type) : "none that a field has"));
}

absl::Status StructFields::WrongValue(const Declared& declared, const ValueView& value) const {
  return Differs(declared, value.is_null() ? std::string("it is null in a row; declare an "
                                                         "absl::optional")
                                           : absl::StrCat("a row holds a value of the kind ",
                                                          ValueKindName(value.kind())));
}

absl::Status StructFields::Differs(const Declared& declared, absl::string_view but) const {
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason::kStructDiffers,
      absl::StrCat("column \"", declared.column, "\" of ", family_, ".", table_, " is declared as ",
                   CppType(declared.kind, declared.nullable), ", but ", but));
}

}  // namespace ctlstore::ldb
