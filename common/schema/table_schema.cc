#include "common/schema/table_schema.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "common/schema/utf8.h"

namespace ctlstore {
namespace {

// The bytes that a column takes in an InnoDB key; text is counted at utf8mb4's four bytes a
// character.
size_t KeyBytes(FieldType type) {
  switch (type) {
    case FieldType::kString:
      return limits::kStringMaxCharacters * 4;
    case FieldType::kBytestring:
      return limits::kBytestringMaxBytes;
    default:
      return 8;
  }
}

// The bytes that a column counts for MariaDB's row size limit.
size_t InlineBytes(FieldType type) {
  switch (type) {
    case FieldType::kText:
    case FieldType::kBinary:
      return 12;
    default:
      return KeyBytes(type) + 2;
  }
}

std::string FieldText(const Field& field) {
  return absl::StrCat(field.name, " ", FieldTypeName(field.type));
}

absl::Status CheckTextSize(absl::string_view path, size_t size, size_t max_size,
                           absl::string_view unit, absl::string_view type_name) {
  if (size <= max_size) return absl::OkStatus();
  return InvalidField(path, reason::kTooLarge,
                      absl::StrCat("a ", type_name, " holds at most ", max_size, " ", unit,
                                   ", the value has ", size));
}

}  // namespace

absl::string_view FieldTypeName(FieldType type) {
  switch (type) {
    case FieldType::kString:
      return "string";
    case FieldType::kInteger:
      return "integer";
    case FieldType::kDecimal:
      return "decimal";
    case FieldType::kText:
      return "text";
    case FieldType::kBinary:
      return "binary";
    case FieldType::kBytestring:
      return "bytestring";
  }
  return "unknown";
}

absl::optional<FieldType> FieldTypeFromName(absl::string_view name) {
  for (FieldType type : {FieldType::kString, FieldType::kInteger, FieldType::kDecimal,
                         FieldType::kText, FieldType::kBinary, FieldType::kBytestring}) {
    if (FieldTypeName(type) == name) return type;
  }
  return absl::nullopt;
}

bool MayBeKey(FieldType type) {
  return type == FieldType::kString || type == FieldType::kInteger ||
         type == FieldType::kBytestring;
}

ValueKind KindOf(FieldType type) {
  switch (type) {
    case FieldType::kString:
    case FieldType::kText:
      return ValueKind::kText;
    case FieldType::kInteger:
      return ValueKind::kInteger;
    case FieldType::kDecimal:
      return ValueKind::kDecimal;
    case FieldType::kBinary:
    case FieldType::kBytestring:
      return ValueKind::kBytes;
  }
  return ValueKind::kNull;
}

absl::StatusOr<TableSchema> TableSchema::Create(absl::string_view family, absl::string_view table,
                                                std::vector<Field> fields,
                                                const std::vector<std::string>& key_fields) {
  TableSchema schema;
  absl::StatusOr<std::string> family_name = NormalizeFamilyName("family", family);
  if (!family_name.ok()) return family_name.status();
  absl::StatusOr<std::string> table_name = NormalizeTableName("name", table);
  if (!table_name.ok()) return table_name.status();
  schema.name_ = TableName{*std::move(family_name), *std::move(table_name)};
  const size_t sql_name_size = SqlTableName(schema.name_).size();
  if (sql_name_size > limits::kSqlTableNameMax) {
    const size_t rest = sql_name_size - schema.name_.table.size();
    return InvalidField(
        "name", reason::kInvalidName,
        absl::StrCat("in the family ", schema.name_.family, " a table's name has at most ",
                     limits::kSqlTableNameMax - rest, " characters, not ",
                     schema.name_.table.size()));
  }

  if (fields.empty()) {
    return InvalidField("fields", reason::kInvalidSchema, "a table needs at least one field");
  }
  if (fields.size() > limits::kFieldsMax) {
    return InvalidField(
        "fields", reason::kInvalidSchema,
        absl::StrCat("a table has at most ", limits::kFieldsMax, " fields, not ", fields.size()));
  }
  size_t row_bytes = 0;
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string path = absl::StrCat("fields[", i, "].name");
    absl::StatusOr<std::string> name = NormalizeFieldName(path, fields[i].name);
    if (!name.ok()) return name.status();
    if (schema.FindField(*name).has_value()) {
      return InvalidField(path, reason::kInvalidSchema,
                          absl::StrCat("there are two fields named ", *name));
    }
    row_bytes += InlineBytes(fields[i].type);
    schema.fields_.push_back(Field{*std::move(name), fields[i].type});
  }
  if (row_bytes > limits::kRowInlineMaxBytes) {
    return InvalidField("fields", reason::kInvalidSchema,
                        absl::StrCat("strings (766 bytes each), bytestrings (257) and numbers (10) "
                                     "take at most ",
                                     limits::kRowInlineMaxBytes, " bytes together, not ", row_bytes,
                                     "; use text or binary for some of them"));
  }

  if (key_fields.empty()) {
    return InvalidField("key_fields", reason::kInvalidSchema,
                        "a table needs at least one key field");
  }
  if (key_fields.size() > limits::kKeyFieldsMax) {
    return InvalidField("key_fields", reason::kInvalidSchema,
                        absl::StrCat("a key has at most ", limits::kKeyFieldsMax, " fields, not ",
                                     key_fields.size()));
  }
  size_t key_bytes = 0;
  for (size_t i = 0; i < key_fields.size(); ++i) {
    const std::string path = absl::StrCat("key_fields[", i, "]");
    absl::StatusOr<std::string> name = NormalizeFieldName(path, key_fields[i]);
    if (!name.ok()) return name.status();
    const absl::optional<size_t> position = schema.FindField(*name);
    if (!position.has_value()) {
      return InvalidField(path, reason::kInvalidSchema,
                          absl::StrCat("there is no field named ", *name));
    }
    if (schema.is_key(*position)) {
      return InvalidField(path, reason::kInvalidSchema,
                          absl::StrCat(*name, " is in the key already"));
    }
    const FieldType type = schema.fields_[*position].type;
    if (!MayBeKey(type)) {
      return InvalidField(path, reason::kInvalidSchema,
                          absl::StrCat(*name, " is a ", FieldTypeName(type),
                                       "; only string, integer and bytestring may be keys"));
    }
    key_bytes += KeyBytes(type);
    schema.key_positions_.push_back(*position);
  }
  if (key_bytes > limits::kKeyMaxBytes) {
    return InvalidField("key_fields", reason::kInvalidSchema,
                        absl::StrCat("a key's strings (764 bytes each), bytestrings (255) and "
                                     "integers (8) take at most ",
                                     limits::kKeyMaxBytes, " bytes together, not ", key_bytes));
  }
  return schema;
}

std::vector<std::string> TableSchema::key_field_names() const {
  std::vector<std::string> names;
  for (size_t position : key_positions_) names.push_back(fields_[position].name);
  return names;
}

bool TableSchema::is_key(size_t field_position) const {
  return std::find(key_positions_.begin(), key_positions_.end(), field_position) !=
         key_positions_.end();
}

absl::optional<size_t> TableSchema::FindField(absl::string_view field_name) const {
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (fields_[i].name == field_name) return i;
  }
  return absl::nullopt;
}

absl::StatusOr<TableSchema> TableSchema::WithFields(absl::Span<const Field> new_fields,
                                                    std::vector<Field>* added) const {
  added->clear();
  absl::flat_hash_set<std::string> seen;
  for (size_t i = 0; i < new_fields.size(); ++i) {
    const std::string path = absl::StrCat("fields[", i, "].name");
    absl::StatusOr<std::string> name = NormalizeFieldName(path, new_fields[i].name);
    if (!name.ok()) return name.status();
    if (!seen.insert(*name).second) {
      return InvalidField(path, reason::kInvalidSchema,
                          absl::StrCat("there are two fields named ", *name));
    }
    const absl::optional<size_t> position = FindField(*name);
    if (!position.has_value()) {
      added->push_back(Field{*std::move(name), new_fields[i].type});
    } else if (fields_[*position].type != new_fields[i].type) {
      return ErrorWithReason(
          absl::StatusCode::kAlreadyExists, reason::kFieldDiffers,
          absl::StrCat("the table has the field ", FieldText(fields_[*position]), "; wanted was ",
                       FieldText(Field{*name, new_fields[i].type})));
    }
  }
  std::vector<Field> all = fields_;
  all.insert(all.end(), added->begin(), added->end());
  return Create(name_.family, name_.table, std::move(all), key_field_names());
}

std::string DescribeDifference(const TableSchema& existing, const TableSchema& wanted) {
  std::vector<std::string> differences;
  for (const Field& field : wanted.fields()) {
    const absl::optional<size_t> position = existing.FindField(field.name);
    if (!position.has_value()) {
      differences.push_back(absl::StrCat("it has no field ", FieldText(field)));
    } else if (existing.fields()[*position].type != field.type) {
      differences.push_back(absl::StrCat("its field ", FieldText(existing.fields()[*position]),
                                         " was wanted as ", FieldTypeName(field.type)));
    }
  }
  for (const Field& field : existing.fields()) {
    if (!wanted.FindField(field.name).has_value()) {
      differences.push_back(
          absl::StrCat("it has the field ", FieldText(field), ", which was not wanted"));
    }
  }
  if (existing.key_field_names() != wanted.key_field_names()) {
    differences.push_back(
        absl::StrCat("its key is (", absl::StrJoin(existing.key_field_names(), ", "),
                     "), wanted was (", absl::StrJoin(wanted.key_field_names(), ", "), ")"));
  }
  if (differences.empty() && existing != wanted) {
    differences.push_back("its fields are in another order");
  }
  return absl::StrJoin(differences, "; ");
}

absl::Status CheckValue(absl::string_view path, FieldType type, bool nullable,
                        const ValueView& value) {
  if (value.is_null()) {
    if (nullable) return absl::OkStatus();
    return InvalidField(path, reason::kInvalidValue, "a key field must not be null");
  }
  if (value.kind() != KindOf(type)) {
    return InvalidField(
        path, reason::kInvalidValue,
        absl::StrCat("the field is a ", FieldTypeName(type), " and takes ",
                     ValueKindName(KindOf(type)), ", not ", ValueKindName(value.kind())));
  }
  switch (type) {
    case FieldType::kInteger:
      return absl::OkStatus();
    case FieldType::kDecimal:
      if (!std::isfinite(value.decimal())) {
        return InvalidField(path, reason::kInvalidValue, "a decimal must be finite");
      }
      if (value.decimal() == 0 && std::signbit(value.decimal())) {
        return InvalidField(path, reason::kInvalidValue,
                            "a decimal cannot be negative zero; write 0");
      }
      return absl::OkStatus();
    case FieldType::kBinary:
      return CheckTextSize(path, value.data().size(), limits::kValueMaxBytes, "bytes", "binary");
    case FieldType::kBytestring:
      return CheckTextSize(path, value.data().size(), limits::kBytestringMaxBytes, "bytes",
                           "bytestring");
    case FieldType::kString:
    case FieldType::kText: {
      if (value.data().find('\0') != absl::string_view::npos) {
        return InvalidField(path, reason::kInvalidValue,
                            "text must not hold NUL; use binary or bytestring for such data");
      }
      const absl::optional<size_t> characters = CountUtf8Characters(value.data());
      if (!characters.has_value()) {
        return InvalidField(path, reason::kInvalidValue, "text must be well-formed UTF-8");
      }
      if (type == FieldType::kString) {
        return CheckTextSize(path, *characters, limits::kStringMaxCharacters, "characters",
                             "string");
      }
      return CheckTextSize(path, value.data().size(), limits::kValueMaxBytes, "bytes", "text");
    }
  }
  return absl::InternalError("unknown field type");
}

ValueView AdaptValue(FieldType type, const ValueView& value) {
  constexpr int64_t kExactInDouble = int64_t{1} << 53;
  if (type == FieldType::kDecimal && value.kind() == ValueKind::kInteger &&
      value.integer() >= -kExactInDouble && value.integer() <= kExactInDouble) {
    return ValueView(static_cast<double>(value.integer()));
  }
  return value;
}

}  // namespace ctlstore
