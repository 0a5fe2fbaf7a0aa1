// Bearer tokens: what a file of them looks like.

#ifndef CTLSTORE_COMMON_RPC_BEARER_TOKENS_H_
#define CTLSTORE_COMMON_RPC_BEARER_TOKENS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::rpc {

inline constexpr size_t kMinTokenBytes = 16;
inline constexpr size_t kMaxTokenBytes = 4096;
inline constexpr size_t kMaxTokensPerFile = 1000;

// INVALID_ARGUMENT where the token is too short to be safe, too long, or has characters other than
// visible ASCII, as it could not be sent. Never repeats it.
absl::Status CheckToken(absl::string_view token);

// The tokens of a file's text, one a line, without the blanks around them; empty lines and those
// that begin with # are skipped. INVALID_ARGUMENT names the line that is wrong; a file without a
// token is wrong too.
absl::StatusOr<std::vector<std::string>> ParseTokens(absl::string_view text);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_BEARER_TOKENS_H_
