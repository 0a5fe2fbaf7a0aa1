// What a number's text can be held by exactly.

#ifndef CTLSTORE_CLI_IMPORT_NUMBER_TEXT_H_
#define CTLSTORE_CLI_IMPORT_NUMBER_TEXT_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace ctlstore::cli {

// A number as its text says it. Only JSON's notation counts as a number: no plus sign, no leading
// zeros ("007" is a text that means something else than 7), no blanks, no digits left out.
struct NumberText {
  // The text has no fraction and no exponent.
  bool whole = false;
  // Set where the number is whole and a signed 64-bit integer.
  absl::optional<int64_t> integer;
  // Set where a decimal field can hold the number: a fraction becomes the nearest double, which is
  // finite; a whole number must be held exactly. Minus zero is zero.
  absl::optional<double> decimal;
};

// nullopt where `text` is not a number.
absl::optional<NumberText> ParseNumberText(absl::string_view text);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_NUMBER_TEXT_H_
