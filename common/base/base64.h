// Base64 as JSON has bytes in it.

#ifndef CTLSTORE_COMMON_BASE_BASE64_H_
#define CTLSTORE_COMMON_BASE_BASE64_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace ctlstore {

// Takes the standard alphabet with padding (RFC 4648, section 4) and nothing else: no line breaks,
// no other alphabet, no bits that mean nothing. nullopt for everything else.
absl::optional<std::string> DecodeBase64(absl::string_view text);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_BASE64_H_
