#include "common/rpc/bearer_tokens.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ctlstore::rpc {

absl::Status CheckToken(absl::string_view token) {
  if (token.size() < kMinTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the token has ", token.size(),
                                                   " characters, fewer than ", kMinTokenBytes,
                                                   ", which could be guessed"));
  }
  if (token.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the token has ", token.size(), " characters, more than the limit of ", kMaxTokenBytes));
  }
  if (!std::all_of(token.begin(), token.end(),
                   [](unsigned char c) { return absl::ascii_isgraph(c); })) {
    return absl::InvalidArgumentError(
        "the token has a blank or a character that is not visible ASCII");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ParseTokens(absl::string_view text) {
  std::vector<std::string> tokens;
  size_t line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    const absl::Status status = CheckToken(line);
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line_number, ": ", status.message()));
    }
    if (tokens.size() == kMaxTokensPerFile) {
      return absl::InvalidArgumentError(
          absl::StrCat("there are more tokens than the limit of ", kMaxTokensPerFile));
    }
    tokens.emplace_back(line);
  }
  if (tokens.empty()) return absl::InvalidArgumentError("there is no token in it");
  return tokens;
}

}  // namespace ctlstore::rpc
