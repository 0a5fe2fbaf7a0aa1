// A table's definition: field types, fields and the key, checked as a whole.

#ifndef CTLSTORE_COMMON_SCHEMA_TABLE_SCHEMA_H_
#define CTLSTORE_COMMON_SCHEMA_TABLE_SCHEMA_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/schema/names.h"
#include "common/schema/value.h"

namespace ctlstore {

enum class FieldType : uint8_t { kString, kInteger, kDecimal, kText, kBinary, kBytestring };

// "string", "integer", "decimal", "text", "binary" or "bytestring": the names of the HTTP API and
// the command line.
absl::string_view FieldTypeName(FieldType type);
absl::optional<FieldType> FieldTypeFromName(absl::string_view name);

// Strings, integers and bytestrings.
bool MayBeKey(FieldType type);

// The kind of the values that a field of this type holds, besides null.
ValueKind KindOf(FieldType type);

struct Field {
  std::string name;
  FieldType type = FieldType::kString;

  friend bool operator==(const Field& a, const Field& b) {
    return a.name == b.name && a.type == b.type;
  }
};

// A valid table definition: names are normalized, at least one field and one key field, no name
// twice, every key field of a type that may be a key, and within what every ctldb can hold
// (limits.h). A plain value type; const access is thread-safe.
class TableSchema {
 public:
  // INVALID_ARGUMENT (INVALID_NAME or INVALID_SCHEMA) names the part: "family", "name",
  // "fields[2].name", "key_fields[0]".
  static absl::StatusOr<TableSchema> Create(absl::string_view family, absl::string_view table,
                                            std::vector<Field> fields,
                                            const std::vector<std::string>& key_fields);

  const TableName& name() const { return name_; }
  const std::vector<Field>& fields() const { return fields_; }
  // Positions in fields(), in key order.
  const std::vector<size_t>& key_positions() const { return key_positions_; }
  const Field& key_field(size_t i) const { return fields_[key_positions_[i]]; }
  std::vector<std::string> key_field_names() const;
  bool is_key(size_t field_position) const;

  // The position of the field with this (normalized) name.
  absl::optional<size_t> FindField(absl::string_view field_name) const;

  // The table with these fields added behind its own; those it has already with the same type are
  // skipped. ALREADY_EXISTS (FIELD_DIFFERS) where one exists with another type. `*added` receives
  // what is new.
  absl::StatusOr<TableSchema> WithFields(absl::Span<const Field> new_fields,
                                         std::vector<Field>* added) const;

  friend bool operator==(const TableSchema& a, const TableSchema& b) {
    return a.name_ == b.name_ && a.fields_ == b.fields_ && a.key_positions_ == b.key_positions_;
  }
  friend bool operator!=(const TableSchema& a, const TableSchema& b) { return !(a == b); }

 private:
  TableSchema() = default;

  TableName name_;
  std::vector<Field> fields_;
  std::vector<size_t> key_positions_;
};

// What a caller who wanted `wanted` has to know about `existing`, in words; empty where equal.
std::string DescribeDifference(const TableSchema& existing, const TableSchema& wanted);

// Whether a field can hold a value exactly: the kind fits the type, text is UTF-8 without NUL,
// lengths are within the limits, a decimal is finite and not negative zero. `nullable` is false for
// a key. INVALID_ARGUMENT (INVALID_VALUE or TOO_LARGE) with path `path` says what is wrong, with
// the limit and the value's size.
absl::Status CheckValue(absl::string_view path, FieldType type, bool nullable,
                        const ValueView& value);

// Integers that a double holds exactly become decimals for a decimal field; everything else is
// unchanged. Call before CheckValue.
ValueView AdaptValue(FieldType type, const ValueView& value);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_TABLE_SCHEMA_H_
