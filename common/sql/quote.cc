#include "common/sql/quote.h"

#include <charconv>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ctlstore::sql {
namespace {

// Appends `text` between two `quote` characters, with those inside it doubled.
void AppendQuoted(absl::string_view text, char quote, std::string* sql) {
  sql->push_back(quote);
  while (true) {
    const size_t end = text.find(quote);
    if (end == absl::string_view::npos) break;
    sql->append(text.data(), end + 1);
    sql->push_back(quote);
    text.remove_prefix(end + 1);
  }
  sql->append(text.data(), text.size());
  sql->push_back(quote);
}

void AppendDecimal(double decimal, std::string* sql) {
  // The shortest digits that read back as the same double come in scientific form, d[.ddd]e±xx;
  // here their point is moved to where the exponent says.
  char text[32];
  const std::to_chars_result result =
      std::to_chars(text, text + sizeof(text), decimal, std::chars_format::scientific);
  absl::string_view number(text, result.ptr - text);
  const bool negative = absl::ConsumePrefix(&number, "-");
  const size_t e = number.find('e');
  int exponent = 0;
  // Only infinities and NaN have no exponent, and those are no values of a field.
  if (e == absl::string_view::npos || !absl::SimpleAtoi(number.substr(e + 1), &exponent)) {
    sql->append("NULL");
    return;
  }
  if (negative) sql->push_back('-');
  std::string digits(1, number[0]);
  if (e > 2) absl::StrAppend(&digits, number.substr(2, e - 2));
  const int size = static_cast<int>(digits.size());
  if (exponent < 0) {
    sql->append("0.");
    sql->append(-exponent - 1, '0');
    sql->append(digits);
  } else if (exponent + 1 >= size) {
    sql->append(digits);
    sql->append(exponent + 1 - size, '0');
    sql->append(".0");
  } else {
    sql->append(digits, 0, exponent + 1);
    sql->push_back('.');
    sql->append(digits, exponent + 1, std::string::npos);
  }
}

}  // namespace

void AppendLiteral(const ValueView& value, std::string* sql) {
  switch (value.kind()) {
    case ValueKind::kNull:
      sql->append("NULL");
      return;
    case ValueKind::kInteger:
      absl::StrAppend(sql, value.integer());
      return;
    case ValueKind::kDecimal:
      AppendDecimal(value.decimal(), sql);
      return;
    case ValueKind::kText:
      AppendQuoted(value.data(), '\'', sql);
      return;
    case ValueKind::kBytes:
      absl::StrAppend(sql, "x'", absl::BytesToHexString(value.data()), "'");
      return;
  }
}

void AppendIdentifier(absl::string_view name, std::string* sql) { AppendQuoted(name, '"', sql); }

}  // namespace ctlstore::sql
