// Which object store to use, as a URL.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_STORE_URL_H_
#define CTLSTORE_COMMON_OBJECT_STORE_STORE_URL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::object_store {

struct StoreUrl {
  enum class Kind { kFile, kS3, kHttp };
  Kind kind = Kind::kFile;
  // kS3: the bucket. kHttp: "http://host:port" or "https://host:port".
  std::string authority;
  // Without a '/' at its end; empty for the whole bucket or server. kFile: an absolute path. Not
  // percent-encoded.
  std::string path;

  // As it was written, without a '/' at the end and with no more percent-encoding than it takes to
  // read the same again.
  std::string ToString() const;

  friend bool operator==(const StoreUrl& a, const StoreUrl& b) {
    return a.kind == b.kind && a.authority == b.authority && a.path == b.path;
  }
};

// `file:///absolute/path`, `s3://bucket/prefix`, `http://host:port/path`, `https://...`.
// INVALID_ARGUMENT says what is wrong; so it does for credentials in the URL, which belong in the
// environment or a file, without repeating them, and for a path with "." or ".." in it. UTF-8;
// characters that mean something in a URL are percent-encoded ('%' is "%25").
absl::StatusOr<StoreUrl> ParseStoreUrl(absl::string_view url);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_STORE_URL_H_
