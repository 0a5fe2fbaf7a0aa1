#include "cli/value_text.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

constexpr char kHexPrefix[] = "0x";
constexpr char kBase64Prefix[] = "base64:";

absl::optional<std::string> ParseBytes(absl::string_view text) {
  if (absl::ConsumePrefix(&text, kHexPrefix)) {
    if (text.size() % 2 != 0) return absl::nullopt;
    for (const char c : text) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return absl::nullopt;
    }
    return absl::HexStringToBytes(text);
  }
  std::string bytes;
  if (absl::ConsumePrefix(&text, kBase64Prefix) && absl::Base64Unescape(text, &bytes)) {
    return bytes;
  }
  return absl::nullopt;
}

// Only digits and a minus sign: SimpleAtoi takes blanks and a plus sign, too.
absl::optional<int64_t> ParseInteger(absl::string_view text) {
  for (const char c : text) {
    if (c != '-' && !absl::ascii_isdigit(static_cast<unsigned char>(c))) return absl::nullopt;
  }
  int64_t integer = 0;
  if (!absl::SimpleAtoi(text, &integer)) return absl::nullopt;
  return integer;
}

}  // namespace

absl::StatusOr<Value> ParseValueText(absl::string_view path, FieldType type,
                                     absl::string_view text) {
  switch (type) {
    case FieldType::kString:
    case FieldType::kText:
      return Value::Text(std::string(text));
    case FieldType::kInteger: {
      const absl::optional<int64_t> integer = ParseInteger(text);
      if (integer.has_value()) return Value::Integer(*integer);
      return InvalidField(path, reason::kInvalidValue,
                          "the field is an integer: a whole number of 64 bits is needed");
    }
    case FieldType::kDecimal: {
      double decimal = 0;
      if (absl::SimpleAtod(text, &decimal)) return Value::Decimal(decimal);
      return InvalidField(path, reason::kInvalidValue,
                          "the field is a decimal: a number is needed");
    }
    case FieldType::kBinary:
    case FieldType::kBytestring: {
      absl::optional<std::string> bytes = ParseBytes(text);
      if (bytes.has_value()) return Value::Bytes(*std::move(bytes));
      return InvalidField(path, reason::kInvalidValue,
                          "the field takes bytes: write 0x and hex digits, or base64: and base64");
    }
  }
  return absl::InternalError("unknown field type");
}

std::vector<Value> PossibleValues(absl::string_view text) {
  std::vector<Value> values;
  const absl::optional<int64_t> integer = ParseInteger(text);
  if (integer.has_value()) values.push_back(Value::Integer(*integer));
  absl::optional<std::string> bytes = ParseBytes(text);
  if (bytes.has_value()) values.push_back(Value::Bytes(*std::move(bytes)));
  values.push_back(Value::Text(std::string(text)));
  return values;
}

std::string EscapedText(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      escaped += "\\n";
    } else if (c == '\t') {
      escaped += "\\t";
    } else if (c == '\r') {
      escaped += "\\r";
    } else if (c == '\\') {
      escaped += "\\\\";
    } else if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppendFormat(&escaped, "\\x%02x", byte);
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string DisplayText(const ValueView& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
      return "null";
    case ValueKind::kInteger:
      return absl::StrCat(value.integer());
    case ValueKind::kDecimal:
      // The fewest digits that make the same double.
      for (const int digits : {15, 16}) {
        std::string text = absl::StrFormat("%.*g", digits, value.decimal());
        double again = 0;
        if (absl::SimpleAtod(text, &again) && again == value.decimal()) return text;
      }
      return absl::StrFormat("%.17g", value.decimal());
    case ValueKind::kText:
      return EscapedText(value.data());
    case ValueKind::kBytes:
      return absl::StrCat(kHexPrefix, absl::BytesToHexString(value.data()));
  }
  return "";
}

}  // namespace ctlstore::cli
