// Which values a key's arguments mean, found by asking.

#ifndef CTLSTORE_CLI_KEY_GUESS_H_
#define CTLSTORE_CLI_KEY_GUESS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

// Begins with the likeliest value of each argument; Refine() goes on to the next one of the
// argument that a refusal names.
class KeyGuess {
 public:
  explicit KeyGuess(const std::vector<std::string>& arguments);

  std::vector<Value> values() const;

  // Whether there is another guess after `refusal`, which is then what values() returns: the
  // refusal's reason is INVALID_KEY or INVALID_VALUE and its field ends in the position of an
  // argument in brackets ("key[1]") that may mean something else, too.
  bool Refine(const absl::Status& refusal);

 private:
  std::vector<std::vector<Value>> possible_;
  std::vector<size_t> chosen_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_KEY_GUESS_H_
