// The writers' secrets that were right a short time ago.

#ifndef CTLSTORE_EXECUTIVE_SECRET_MEMORY_H_
#define CTLSTORE_EXECUTIVE_SECRET_MEMORY_H_

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "executive/bounded_map.h"
#include "executive/credentials.h"

namespace ctlstore::executive {

// Holds no secret and no stored hash, but their HMAC-SHA-256 under a random key of this object. The
// last secret that was right for a writer is the one that is known; the writers beyond `capacity`
// whose secrets were remembered longest ago are forgotten.
//
// Thread-safe; looking takes a reader's lock for a moment and about a microsecond in all. The clock
// must outlive it. Ends the process where OpenSSL has no random bytes or no HMAC.
class SecretMemory {
 public:
  SecretMemory(absl::Duration remember, size_t capacity, Clock* clock);
  SecretMemory(const SecretMemory&) = delete;
  SecretMemory& operator=(const SecretMemory&) = delete;

  // The secret is right for the hash that the ctldb has now.
  void Remember(const Credentials& credentials, absl::string_view stored_hash);

  // Whether it was right less than `remember` ago.
  bool IsFresh(const Credentials& credentials) const;

  // Whether it was right, however long ago.
  bool IsKnown(const Credentials& credentials) const;

  // Whether it was right for this stored hash, however long ago.
  bool IsKnownFor(const Credentials& credentials, absl::string_view stored_hash) const;

 private:
  using Mac = std::array<unsigned char, 32>;
  struct Entry {
    Mac secret;
    Mac stored_hash;
    absl::Time at;
  };
  struct FreeContext {
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_MAC_CTX, FreeContext>;

  static Context NewContext();

  // Of the writer's name and `text`.
  Mac MacOf(absl::string_view writer, absl::string_view text) const;

  const absl::Duration remember_;
  Clock* const clock_;
  // Has the key, and is only ever copied.
  const Context keyed_;
  mutable absl::Mutex mutex_;
  // By writer.
  BoundedMap<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_SECRET_MEMORY_H_
