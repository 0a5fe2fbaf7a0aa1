#include "common/base/base64.h"

#include "absl/strings/escaping.h"

namespace ctlstore {

absl::optional<std::string> DecodeBase64(absl::string_view text) {
  std::string bytes;
  // Takes more than the standard form; what is of it, is what the bytes are written as.
  if (!absl::Base64Unescape(text, &bytes) || absl::Base64Escape(bytes) != text) {
    return absl::nullopt;
  }
  return bytes;
}

}  // namespace ctlstore
