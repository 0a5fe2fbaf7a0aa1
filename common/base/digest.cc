#include "common/base/digest.h"

#include <openssl/evp.h>

namespace ctlstore {

Digest::Digest(Kind kind) : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_, kind == Kind::kSha1 ? EVP_sha1() : EVP_sha256(), nullptr);
}

Digest::~Digest() { EVP_MD_CTX_free(context_); }

void Digest::Add(absl::string_view bytes) {
  EVP_DigestUpdate(context_, bytes.data(), bytes.size());
}

std::string Digest::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_, digest, &size);
  return std::string(reinterpret_cast<const char*>(digest), size);
}

std::string Sha256(absl::string_view bytes) {
  Digest digest;
  digest.Add(bytes);
  return digest.Finish();
}

}  // namespace ctlstore
