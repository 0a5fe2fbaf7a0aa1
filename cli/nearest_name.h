// What was probably meant by a mistyped name.

#ifndef CTLSTORE_CLI_NEAREST_NAME_H_
#define CTLSTORE_CLI_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ctlstore::cli {

// The one of `names` that `name` can be turned into with the fewest insertions, deletions,
// replacements and swaps of neighbours of single characters; empty where more than about a third of
// it would have to change.
std::string NearestName(absl::string_view name, const std::vector<std::string>& names);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_NEAREST_NAME_H_
