#include "cli/import/type_inference.h"

#include <algorithm>

#include "absl/types/optional.h"
#include "cli/import/number_text.h"
#include "common/schema/limits.h"
#include "common/schema/utf8.h"

namespace ctlstore::cli {

void ColumnProfile::Add(const Cell& cell) {
  if (cell.kind == Cell::Kind::kNull || cell.kind == Cell::Kind::kEmpty) return;
  max_characters_ =
      std::max(max_characters_, CountUtf8Characters(cell.text).value_or(cell.text.size()));
  absl::optional<NumberText> number;
  switch (cell.kind) {
    case Cell::Kind::kNull:
    case Cell::Kind::kEmpty:
      return;
    case Cell::Kind::kBoolean:
      has_number_ = true;
      return;
    case Cell::Kind::kNumber:
    case Cell::Kind::kUntyped:
      number = ParseNumberText(cell.text);
      break;
    case Cell::Kind::kText:
      break;
    case Cell::Kind::kJson:
      has_json_ = true;
      return;
  }
  if (!number.has_value() || (!number->integer.has_value() && !number->decimal.has_value())) {
    has_text_ = true;
    return;
  }
  has_number_ = true;
  if (!number->integer.has_value()) not_integer_ = true;
  if (!number->decimal.has_value()) not_decimal_ = true;
}

FieldType ColumnProfile::Type(bool key) const {
  if (!has_text_ && !has_json_ && has_number_) {
    if (!not_integer_) return FieldType::kInteger;
    if (!not_decimal_ && !key) return FieldType::kDecimal;
  }
  if (key) return FieldType::kString;
  return has_json_ || max_characters_ > limits::kStringMaxCharacters ? FieldType::kText
                                                                     : FieldType::kString;
}

}  // namespace ctlstore::cli
