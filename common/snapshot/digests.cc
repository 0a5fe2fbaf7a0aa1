#include "common/snapshot/digests.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace ctlstore::snapshot {

std::string Sha256(absl::string_view data) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof(digest));
}

Sha1::Sha1() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha1(), nullptr); }

Sha1::~Sha1() { EVP_MD_CTX_free(context_); }

void Sha1::Add(absl::string_view data) { EVP_DigestUpdate(context_, data.data(), data.size()); }

std::string Sha1::Finish() {
  unsigned char digest[SHA_DIGEST_LENGTH];
  EVP_DigestFinal_ex(context_, digest, nullptr);
  return std::string(reinterpret_cast<const char*>(digest), sizeof(digest));
}

}  // namespace ctlstore::snapshot
