// How writers' secrets are kept and compared.

#ifndef CTLSTORE_EXECUTIVE_WRITER_SECRETS_H_
#define CTLSTORE_EXECUTIVE_WRITER_SECRETS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::executive {

// What the ctldb holds instead of a secret: its scrypt hash (RFC 7914) under a salt of its own, as
// 86 printable characters that name their cost:
//
//   $scrypt$ln=14,r=8,p=1$<salt>$<hash>
//
// with salt (16 bytes) and hash (32 bytes) in base64 without padding. Slow on purpose: takes some
// tens of milliseconds and 16 MiB of memory. INTERNAL where those, or random bytes, are not to be
// had.
absl::StatusOr<std::string> HashSecret(absl::string_view secret);

// What a Go executive holds instead: the secret's SHA-256 in lower case hexadecimal.
std::string GoSecretHash(absl::string_view secret);

// Whether `stored_hash` is of that kind.
bool IsGoSecretHash(absl::string_view stored_hash);

// Whether `secret` is the one that `stored_hash`, of either kind, was made of. Nothing matches a
// stored hash that is empty, malformed, or far costlier than ours (up to 64 MiB of memory and 16
// times the work are taken).
//
// The answer "no" comes after the work of a slow hash at least, whatever is stored, so that its
// time does not tell whether there is a writer: call it with "" where there is none. INTERNAL where
// the memory is not to be had.
absl::StatusOr<bool> SecretMatches(absl::string_view secret, absl::string_view stored_hash);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_WRITER_SECRETS_H_
