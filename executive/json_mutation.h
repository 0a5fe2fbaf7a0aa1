// A Mutate request in JSON.

#ifndef CTLSTORE_EXECUTIVE_JSON_MUTATION_H_
#define CTLSTORE_EXECUTIVE_JSON_MUTATION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executive/mutation_plan.h"

namespace ctlstore::executive {

// {"cookie":base64?,"check_cookie":base64?,"mutations":[{"table","delete":bool?,"values":{...}},...]}
//
// Numbers without fraction and exponent are integers, all others decimals; booleans are the
// integers 1 and 0. Strings are text, or base64 for fields that hold bytes: which it is, is decided
// when the definitions of the tables are known (MutateRequest::bytes_are_base64).
//
// Owns what its request views. Neither copied nor moved.
class JsonMutation {
 public:
  // INVALID_ARGUMENT (INVALID_REQUEST, UNKNOWN_FIELD, INVALID_VALUE) names the place in the body.
  static absl::StatusOr<std::unique_ptr<const JsonMutation>> Parse(absl::string_view family,
                                                                   absl::string_view body);
  JsonMutation(const JsonMutation&) = delete;
  JsonMutation& operator=(const JsonMutation&) = delete;

  const MutateRequest& request() const { return request_; }

 private:
  struct Parser;
  JsonMutation() = default;
  absl::string_view Keep(absl::string_view text);

  // All texts and bytes, one behind the other; never moved.
  std::string kept_;
  MutateRequest request_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_JSON_MUTATION_H_
