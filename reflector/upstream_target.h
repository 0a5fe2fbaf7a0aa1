// Where a reflector may get the ledger from, as URLs.

#ifndef CTLSTORE_REFLECTOR_UPSTREAM_TARGET_H_
#define CTLSTORE_REFLECTOR_UPSTREAM_TARGET_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/target.h"

namespace ctlstore::reflector {

// An executive's stream, or a ctldb that is asked from time to time.
struct UpstreamTarget {
  // The executive, "host:port" or "unix:/path"; empty for a ctldb.
  std::string stream_address;
  ctldb::Target ctldb;

  bool is_stream() const { return !stream_address.empty(); }

  // As a URL; never holds a secret.
  std::string ToString() const;
};

// `grpc://host:port`, `grpc:unix:/path`, or a ctldb's URL (ctldb::ParseTarget()). INVALID_ARGUMENT
// says what is wrong; so it does for credentials in the URL, without repeating them.
absl::StatusOr<UpstreamTarget> ParseUpstreamTarget(absl::string_view url);

// Several, with commas between them, in order of preference; none for an empty text. A URL cannot
// hold a comma here. INVALID_ARGUMENT tells which one is wrong, also one that is there twice.
absl::StatusOr<std::vector<UpstreamTarget>> ParseUpstreamTargets(absl::string_view urls);

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_UPSTREAM_TARGET_H_
