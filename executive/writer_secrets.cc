#include "executive/writer_secrets.h"

#include <glog/logging.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"

namespace ctlstore::executive {
namespace {

constexpr size_t kSaltSize = 16;
constexpr size_t kHashSize = 32;
constexpr size_t kSha256Size = 32;
// What the column can hold.
constexpr size_t kStoredMaxSize = 255;

// Scrypt's parameters, with the cost N as its binary logarithm. It takes 128 * N * r bytes of
// memory, and time as N * r * p.
struct Cost {
  uint32_t log2_n = 14;
  uint32_t r = 8;
  uint32_t p = 1;
};

// Bounds for what is read from the ctldb.
constexpr uint32_t kMaxLog2N = 20;
constexpr uint32_t kMaxR = 32;
constexpr uint32_t kMaxP = 16;
constexpr uint64_t kMaxMemory = uint64_t{64} << 20;
constexpr uint64_t kMaxWork = uint64_t{16} * 8 << 14;
// What OpenSSL may take: all of the above, and its own buffers.
constexpr uint64_t kOpensslMaxMemory = kMaxMemory + (uint64_t{1} << 20);

struct ScryptHash {
  Cost cost;
  std::string salt;
  std::string hash;
};

bool IsBearable(const Cost& cost) {
  if (cost.log2_n < 1 || cost.log2_n > kMaxLog2N) return false;
  if (cost.r < 1 || cost.r > kMaxR || cost.p < 1 || cost.p > kMaxP) return false;
  // Scrypt itself has N below 2^(16 * r).
  if (cost.log2_n >= 16 * cost.r) return false;
  const uint64_t blocks = (uint64_t{1} << cost.log2_n) * cost.r;
  return 128 * blocks <= kMaxMemory && blocks * cost.p <= kMaxWork;
}

std::string Base64WithoutPadding(absl::string_view bytes) {
  std::string text = absl::Base64Escape(bytes);
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

std::string Format(const ScryptHash& hash) {
  return absl::StrCat("$scrypt$ln=", hash.cost.log2_n, ",r=", hash.cost.r, ",p=", hash.cost.p, "$",
                      Base64WithoutPadding(hash.salt), "$", Base64WithoutPadding(hash.hash));
}

bool ParseParameter(absl::string_view text, absl::string_view prefix, uint32_t* value) {
  return absl::ConsumePrefix(&text, prefix) && absl::SimpleAtoi(text, value);
}

absl::optional<ScryptHash> Parse(absl::string_view stored_hash) {
  if (stored_hash.size() > kStoredMaxSize) return absl::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(stored_hash, '$');
  if (parts.size() != 5 || !parts[0].empty() || parts[1] != "scrypt") return absl::nullopt;
  const std::vector<absl::string_view> parameters = absl::StrSplit(parts[2], ',');
  ScryptHash result;
  if (parameters.size() != 3 || !ParseParameter(parameters[0], "ln=", &result.cost.log2_n) ||
      !ParseParameter(parameters[1], "r=", &result.cost.r) ||
      !ParseParameter(parameters[2], "p=", &result.cost.p) || !IsBearable(result.cost) ||
      !absl::Base64Unescape(parts[3], &result.salt) ||
      !absl::Base64Unescape(parts[4], &result.hash) || result.salt.size() != kSaltSize ||
      result.hash.size() != kHashSize) {
    return absl::nullopt;
  }
  // Each hash is written in one way only.
  if (Format(result) != stored_hash) return absl::nullopt;
  return result;
}

absl::StatusOr<std::string> Scrypt(absl::string_view secret, absl::string_view salt,
                                   const Cost& cost) {
  std::string hash(kHashSize, '\0');
  if (EVP_PBE_scrypt(secret.data(), secret.size(),
                     reinterpret_cast<const unsigned char*>(salt.data()), salt.size(),
                     uint64_t{1} << cost.log2_n, cost.r, cost.p, kOpensslMaxMemory,
                     reinterpret_cast<unsigned char*>(hash.data()), hash.size()) != 1) {
    // What is left in the thread's queue would be taken for errors of its next TLS connection.
    ERR_clear_error();
    return absl::InternalError("a secret's hash could not be computed; is there memory left?");
  }
  return hash;
}

// The bytes of two strings, in a time that tells nothing of where they differ.
bool SameBytes(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string Sha256(absl::string_view bytes) {
  std::string digest(kSha256Size, '\0');
  CHECK_EQ(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                      nullptr, EVP_sha256(), nullptr),
           1);
  return digest;
}

}  // namespace

absl::StatusOr<std::string> HashSecret(absl::string_view secret) {
  ScryptHash result;
  result.salt.resize(kSaltSize);
  if (RAND_bytes(reinterpret_cast<unsigned char*>(result.salt.data()), kSaltSize) != 1) {
    ERR_clear_error();
    return absl::InternalError("the system has no random bytes");
  }
  absl::StatusOr<std::string> hash = Scrypt(secret, result.salt, result.cost);
  if (!hash.ok()) return hash;
  result.hash = *std::move(hash);
  return Format(result);
}

std::string GoSecretHash(absl::string_view secret) {
  return absl::BytesToHexString(Sha256(secret));
}

bool IsGoSecretHash(absl::string_view stored_hash) {
  return stored_hash.size() == 2 * kSha256Size &&
         std::all_of(stored_hash.begin(), stored_hash.end(),
                     [](unsigned char c) { return absl::ascii_isxdigit(c); });
}

absl::StatusOr<bool> SecretMatches(absl::string_view secret, absl::string_view stored_hash) {
  if (const absl::optional<ScryptHash> stored = Parse(stored_hash); stored.has_value()) {
    absl::StatusOr<std::string> hash = Scrypt(secret, stored->salt, stored->cost);
    if (!hash.ok()) return hash.status();
    return SameBytes(*hash, stored->hash);
  }
  if (IsGoSecretHash(stored_hash) &&
      SameBytes(Sha256(secret), absl::HexStringToBytes(stored_hash))) {
    return true;
  }
  absl::StatusOr<std::string> ignored = Scrypt(secret, std::string(kSaltSize, '\0'), Cost());
  if (!ignored.ok()) return ignored.status();
  return false;
}

}  // namespace ctlstore::executive
