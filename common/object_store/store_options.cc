#include "common/object_store/store_options.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/object_store/store_url.h"

namespace ctlstore::object_store {
namespace {

// S3 takes no smaller parts, but for an object's last one.
constexpr int64_t kMinPartBytes = int64_t{5} << 20;
// A part is in memory while it is sent.
constexpr int64_t kMaxPartBytes = int64_t{1} << 30;
constexpr int kMaxParallelParts = 64;
constexpr int kMaxAttempts = 100;

absl::Status Wrong(absl::string_view name, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", message));
}

absl::Status CheckRange(absl::string_view name, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return Wrong(name, absl::StrCat("must be ", min, " to ", max, ", is ", value));
}

absl::Status CheckPositive(absl::string_view name, absl::Duration value) {
  if (value > absl::ZeroDuration()) return absl::OkStatus();
  return Wrong(name, absl::StrCat("must be more than 0, is ", absl::FormatDuration(value)));
}

}  // namespace

absl::Status CheckStoreOptions(const StoreOptions& options) {
  if (!options.s3_endpoint.empty()) {
    const absl::StatusOr<StoreUrl> url = ParseStoreUrl(options.s3_endpoint);
    if (!url.ok() || url->kind != StoreUrl::Kind::kHttp || !url->path.empty()) {
      return Wrong("s3_endpoint", "must be \"https://host:port\" or \"http://host:port\"");
    }
  }
  if (!std::all_of(options.s3_region.begin(), options.s3_region.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '-' || c == '_';
      })) {
    return Wrong("s3_region", "must have letters, digits, '-' and '_' only, as \"eu-west-1\"");
  }
  if (!options.ca_file.empty() && access(options.ca_file.c_str(), R_OK) != 0) {
    return Wrong("object_store_ca_file",
                 absl::StrCat("cannot read ", options.ca_file, ": ", strerror(errno)));
  }
  for (const absl::Status& status :
       {CheckRange("s3_part_bytes", options.s3_part_bytes, kMinPartBytes, kMaxPartBytes),
        CheckRange("s3_parallel_parts", options.s3_parallel_parts, 1, kMaxParallelParts),
        CheckRange("object_store_max_attempts", options.max_attempts, 1, kMaxAttempts),
        CheckPositive("object_store_stall_seconds", options.stall_timeout),
        CheckPositive("connect_timeout", options.connect_timeout),
        CheckPositive("min_retry_pause", options.min_retry_pause)}) {
    if (!status.ok()) return status;
  }
  if (options.max_retry_pause < options.min_retry_pause) {
    return Wrong("max_retry_pause", "must not be less than min_retry_pause");
  }
  if (options.min_bytes_per_second < 0) {
    return Wrong("min_bytes_per_second", "must not be below 0");
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::object_store
