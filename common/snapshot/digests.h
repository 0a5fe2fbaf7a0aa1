// Digests of what is fetched.

#ifndef CTLSTORE_COMMON_SNAPSHOT_DIGESTS_H_
#define CTLSTORE_COMMON_SNAPSHOT_DIGESTS_H_

#include <string>

#include "absl/strings/string_view.h"

struct evp_md_ctx_st;

namespace ctlstore::snapshot {

// 32 bytes.
std::string Sha256(absl::string_view data);

// The SHA-1 of what comes in pieces.
class Sha1 {
 public:
  Sha1();
  ~Sha1();
  Sha1(const Sha1&) = delete;
  Sha1& operator=(const Sha1&) = delete;

  void Add(absl::string_view data);
  // 20 bytes; nothing may be added after this.
  std::string Finish();

 private:
  evp_md_ctx_st* const context_;
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_DIGESTS_H_
