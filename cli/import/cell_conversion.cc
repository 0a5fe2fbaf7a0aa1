#include "cli/import/cell_conversion.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "cli/import/number_text.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

absl::string_view KindName(Cell::Kind kind) {
  switch (kind) {
    case Cell::Kind::kNull:
    case Cell::Kind::kEmpty:
      return "null";
    case Cell::Kind::kBoolean:
      return "a boolean";
    case Cell::Kind::kNumber:
      return "a number";
    case Cell::Kind::kText:
    case Cell::Kind::kUntyped:
      return "a text";
    case Cell::Kind::kJson:
      return "an object or array";
  }
  return "unknown";
}

absl::Status Misfit(const Field& field, const Cell& cell) {
  return InvalidField(field.name, reason::kInvalidValue,
                      absl::StrCat("the field's type is ", FieldTypeName(field.type),
                                   ", which cannot hold ", KindName(cell.kind)));
}

absl::StatusOr<Value> ConvertNumber(const Field& field, const Cell& cell) {
  const bool integer = field.type == FieldType::kInteger;
  if (cell.kind == Cell::Kind::kBoolean) {
    const int bit = cell.text == "true" ? 1 : 0;
    return integer ? Value::Integer(bit) : Value::Decimal(bit);
  }
  if (cell.kind != Cell::Kind::kNumber && cell.kind != Cell::Kind::kUntyped) {
    return Misfit(field, cell);
  }
  const absl::optional<NumberText> number = ParseNumberText(cell.text);
  if (!number.has_value()) {
    return InvalidField(
        field.name, reason::kInvalidValue,
        absl::StrCat("the field's type is ", FieldTypeName(field.type),
                     " and the text is not a number (", cell.text.size(), " bytes)"));
  }
  if (integer && number->integer.has_value()) return Value::Integer(*number->integer);
  if (!integer && number->decimal.has_value()) return Value::Decimal(*number->decimal);
  return InvalidField(field.name, reason::kInvalidValue,
                      integer ? "the field is an integer and holds whole numbers of 64 bits only"
                              : "the field is a decimal and would round this number");
}

absl::StatusOr<Value> ConvertBytes(const Field& field, const Cell& cell) {
  if (cell.kind != Cell::Kind::kText && cell.kind != Cell::Kind::kUntyped) {
    return Misfit(field, cell);
  }
  std::string bytes;
  if (!absl::Base64Unescape(cell.text, &bytes)) {
    return InvalidField(
        field.name, reason::kInvalidValue,
        absl::StrCat("the field's type is ", FieldTypeName(field.type),
                     " and takes base64, which the text is not (", cell.text.size(), " bytes)"));
  }
  return Value::Bytes(std::move(bytes));
}

absl::StatusOr<Value> Convert(const Field& field, bool key, const Cell& cell) {
  if (cell.kind == Cell::Kind::kNull) return Value::Null();
  if (cell.kind == Cell::Kind::kEmpty) {
    return key && field.type == FieldType::kString ? Value::Text("") : Value::Null();
  }
  switch (field.type) {
    case FieldType::kString:
    case FieldType::kText:
      return Value::Text(cell.text);
    case FieldType::kInteger:
    case FieldType::kDecimal:
      if (cell.kind == Cell::Kind::kUntyped && cell.text.empty()) return Value::Null();
      return ConvertNumber(field, cell);
    case FieldType::kBinary:
    case FieldType::kBytestring:
      if (cell.kind == Cell::Kind::kUntyped && cell.text.empty()) return Value::Null();
      return ConvertBytes(field, cell);
  }
  return Misfit(field, cell);
}

}  // namespace

absl::StatusOr<Value> ConvertCell(const Field& field, bool key, const Cell& cell) {
  absl::StatusOr<Value> value = Convert(field, key, cell);
  if (!value.ok()) return value;
  absl::Status checked = CheckValue(field.name, field.type, /*nullable=*/!key, *value);
  if (!checked.ok()) return checked;
  return value;
}

}  // namespace ctlstore::cli
