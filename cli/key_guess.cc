#include "cli/key_guess.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cli/value_text.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {

KeyGuess::KeyGuess(const std::vector<std::string>& arguments) : chosen_(arguments.size(), 0) {
  for (const std::string& argument : arguments) possible_.push_back(PossibleValues(argument));
}

std::vector<Value> KeyGuess::values() const {
  std::vector<Value> values;
  for (size_t i = 0; i < possible_.size(); ++i) values.push_back(possible_[i][chosen_[i]]);
  return values;
}

bool KeyGuess::Refine(const absl::Status& refusal) {
  const std::string error_reason = ErrorReason(refusal).value_or("");
  if (error_reason != reason::kInvalidKey && error_reason != reason::kInvalidValue) return false;
  const std::string field = ErrorField(refusal).value_or("");
  absl::string_view position = field;
  position.remove_prefix(std::min(position.size(), position.rfind('[')));
  size_t i = 0;
  if (!absl::ConsumePrefix(&position, "[") || !absl::ConsumeSuffix(&position, "]") ||
      !absl::SimpleAtoi(position, &i) || i >= possible_.size()) {
    return false;
  }
  if (chosen_[i] + 1 >= possible_[i].size()) return false;
  ++chosen_[i];
  return true;
}

}  // namespace ctlstore::cli
