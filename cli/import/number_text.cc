#include "cli/import/number_text.h"

#include <cmath>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/charconv.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace ctlstore::cli {
namespace {

size_t Digits(absl::string_view text) {
  size_t count = 0;
  while (count < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[count]))) {
    ++count;
  }
  return count;
}

// The form: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
bool IsNumber(absl::string_view text, bool* whole) {
  *whole = true;
  if (absl::StartsWith(text, "-")) text.remove_prefix(1);
  size_t digits = Digits(text);
  if (digits == 0 || (digits > 1 && text[0] == '0')) return false;
  text.remove_prefix(digits);
  if (absl::StartsWith(text, ".")) {
    *whole = false;
    text.remove_prefix(1);
    digits = Digits(text);
    if (digits == 0) return false;
    text.remove_prefix(digits);
  }
  if (absl::StartsWithIgnoreCase(text, "e")) {
    *whole = false;
    text.remove_prefix(1);
    if (absl::StartsWith(text, "+") || absl::StartsWith(text, "-")) text.remove_prefix(1);
    digits = Digits(text);
    if (digits == 0) return false;
    text.remove_prefix(digits);
  }
  return text.empty();
}

}  // namespace

absl::optional<NumberText> ParseNumberText(absl::string_view text) {
  NumberText number;
  if (!IsNumber(text, &number.whole)) return absl::nullopt;
  int64_t integer = 0;
  if (number.whole && absl::SimpleAtoi(text, &integer)) number.integer = integer;

  double decimal = 0;
  const absl::from_chars_result parsed =
      absl::from_chars(text.data(), text.data() + text.size(), decimal);
  if (parsed.ec != std::errc() || !std::isfinite(decimal)) return number;
  // A double's own digits tell whether it is the whole number that was written.
  if (number.whole && absl::StrFormat("%.0f", decimal) != text) return number;
  number.decimal = decimal == 0 ? 0.0 : decimal;
  return number;
}

}  // namespace ctlstore::cli
