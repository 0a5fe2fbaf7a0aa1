// Two values that differ, in a few characters each.

#ifndef CTLSTORE_CLI_VERIFY_VALUE_EXCERPT_H_
#define CTLSTORE_CLI_VERIFY_VALUE_EXCERPT_H_

#include <string>

#include "common/schema/value.h"

namespace ctlstore::cli {

// `value` for people, on one line: its kind, because 1 and "1" are not the same, and about 60
// characters of it around where it begins to differ from `other`.
//
//   null
//   integer 42
//   text "it's"
//   text "...the rest is not the same..." (bytes 180 to 240 of 1300)
//   bytes x'00ff'
std::string Excerpt(const ValueView& value, const ValueView& other);

// The same for all of a value.
std::string WholeText(const ValueView& value);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_VALUE_EXCERPT_H_
