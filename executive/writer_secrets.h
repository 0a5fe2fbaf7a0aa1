// How writers' secrets are kept and compared.

#ifndef CTLSTORE_EXECUTIVE_WRITER_SECRETS_H_
#define CTLSTORE_EXECUTIVE_WRITER_SECRETS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ctlstore::executive {

// What the ctldb holds instead of a secret: its SHA-256 in lower case hexadecimal.
std::string HashSecret(absl::string_view secret);

// Whether `secret` is the one that `stored_hash` was made of. Takes the same time wherever the two
// differ.
bool SecretMatches(absl::string_view secret, absl::string_view stored_hash);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_WRITER_SECRETS_H_
