// How object stores are used.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_STORE_OPTIONS_H_
#define CTLSTORE_COMMON_OBJECT_STORE_STORE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace ctlstore::object_store {

// A plain value.
struct StoreOptions {
  // S3. Where empty: the endpoint and region that the environment and the AWS configuration files
  // name, and otherwise AWS's own endpoint of the region "us-east-1". "http://host:port" or
  // "https://host:port".
  std::string s3_endpoint;
  std::string s3_region;
  // "https://endpoint/bucket/key" instead of "https://bucket.endpoint/key". Always so with an
  // endpoint that was named.
  bool s3_path_style = false;
  // What one part of a multipart upload has, at least; larger for objects that would have more than
  // 10,000 parts. Objects up to this size are put in one piece.
  int64_t s3_part_bytes = int64_t{16} << 20;
  int s3_parallel_parts = 2;

  // Certificates that servers are checked against, as a PEM file; the system's where empty.
  std::string ca_file;
  absl::Duration connect_timeout = absl::Seconds(10);
  // A transfer that is slower than this many bytes a second for `stall_timeout` is broken off and
  // tried again.
  int64_t min_bytes_per_second = 1024;
  absl::Duration stall_timeout = absl::Seconds(30);
  // How often a request is made, at most, and the pauses between.
  int max_attempts = 5;
  absl::Duration min_retry_pause = absl::Milliseconds(200);
  absl::Duration max_retry_pause = absl::Seconds(10);

  // Must outlive the store.
  Clock* clock = Clock::Real();
};

// INVALID_ARGUMENT for options that make no sense. The message begins with the name of the flag
// that sets the option (store_flags.h), without its dashes, where there is one.
absl::Status CheckStoreOptions(const StoreOptions& options);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_STORE_OPTIONS_H_
