#include "executive/secret_memory.h"

#include <glog/logging.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <cstdint>

namespace ctlstore::executive {

SecretMemory::SecretMemory(absl::Duration remember, size_t capacity, Clock* clock)
    : remember_(remember), clock_(clock), keyed_(NewContext()), entries_(capacity) {}

SecretMemory::Context SecretMemory::NewContext() {
  EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  CHECK(hmac != nullptr);
  Context context(EVP_MAC_CTX_new(hmac));
  EVP_MAC_free(hmac);
  Mac key;
  CHECK_EQ(RAND_bytes(key.data(), key.size()), 1);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  CHECK_EQ(EVP_MAC_init(context.get(), key.data(), key.size(), parameters), 1);
  OPENSSL_cleanse(key.data(), key.size());
  return context;
}

SecretMemory::Mac SecretMemory::MacOf(absl::string_view writer, absl::string_view text) const {
  const Context context(EVP_MAC_CTX_dup(keyed_.get()));
  const uint64_t writer_size = writer.size();
  Mac mac;
  size_t size = 0;
  // Without the size, what ends one could begin the other.
  CHECK(EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(&writer_size),
                       sizeof(writer_size)) == 1 &&
        EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(writer.data()),
                       writer.size()) == 1 &&
        EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) == 1 &&
        EVP_MAC_final(context.get(), mac.data(), &size, mac.size()) == 1 && size == mac.size());
  return mac;
}

void SecretMemory::Remember(const Credentials& credentials, absl::string_view stored_hash) {
  const Entry entry = {MacOf(credentials.writer, credentials.secret),
                       MacOf(credentials.writer, stored_hash), clock_->Now()};
  absl::MutexLock lock(&mutex_);
  entries_.Put(credentials.writer, entry);
}

bool SecretMemory::IsFresh(const Credentials& credentials) const {
  const Mac mac = MacOf(credentials.writer, credentials.secret);
  const absl::Time now = clock_->Now();
  absl::ReaderMutexLock lock(&mutex_);
  const Entry* entry = entries_.Find(credentials.writer);
  // A clock that was set back makes an entry old, not young for long.
  return entry != nullptr && entry->at <= now && now - entry->at < remember_ &&
         CRYPTO_memcmp(entry->secret.data(), mac.data(), mac.size()) == 0;
}

bool SecretMemory::IsKnown(const Credentials& credentials) const {
  const Mac mac = MacOf(credentials.writer, credentials.secret);
  absl::ReaderMutexLock lock(&mutex_);
  const Entry* entry = entries_.Find(credentials.writer);
  return entry != nullptr && CRYPTO_memcmp(entry->secret.data(), mac.data(), mac.size()) == 0;
}

bool SecretMemory::IsKnownFor(const Credentials& credentials, absl::string_view stored_hash) const {
  const Mac mac = MacOf(credentials.writer, credentials.secret);
  const Mac stored_mac = MacOf(credentials.writer, stored_hash);
  absl::ReaderMutexLock lock(&mutex_);
  const Entry* entry = entries_.Find(credentials.writer);
  return entry != nullptr && CRYPTO_memcmp(entry->secret.data(), mac.data(), mac.size()) == 0 &&
         CRYPTO_memcmp(entry->stored_hash.data(), stored_mac.data(), stored_mac.size()) == 0;
}

}  // namespace ctlstore::executive
