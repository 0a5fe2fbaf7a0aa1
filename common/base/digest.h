// Digests of data that comes in pieces.

#ifndef CTLSTORE_COMMON_BASE_DIGEST_H_
#define CTLSTORE_COMMON_BASE_DIGEST_H_

#include <string>

#include "absl/strings/string_view.h"

// OpenSSL's type, whose header stays out of this one.
struct evp_md_ctx_st;

namespace ctlstore {

// Over what is added. Not thread-safe.
class Digest {
 public:
  enum class Kind { kSha1, kSha256 };

  explicit Digest(Kind kind = Kind::kSha256);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void Add(absl::string_view bytes);

  // 20 bytes of a SHA-1, 32 of a SHA-256. To be called once, at the end.
  std::string Finish();

 private:
  evp_md_ctx_st* const context_;
};

// The SHA-256 of `bytes`: 32 bytes.
std::string Sha256(absl::string_view bytes);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_DIGEST_H_
