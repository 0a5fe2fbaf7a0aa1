#include "common/object_store/store_flags.h"

#include <cstdint>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

ABSL_FLAG(std::string, s3_endpoint, "",
          "Where S3 is, as \"https://host:port\", for others than AWS's own. Empty: what the "
          "environment (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL) and the AWS configuration files "
          "name, and otherwise AWS's own in the region.");
ABSL_FLAG(std::string, s3_region, "",
          "The region of S3 buckets. Empty: what the environment (AWS_REGION) and the AWS "
          "configuration files name, and otherwise \"us-east-1\".");
ABSL_FLAG(bool, s3_path_style, false,
          "Ask for \"https://endpoint/bucket/key\" and not for \"https://bucket.endpoint/key\". "
          "Always so where an endpoint is named.");
ABSL_FLAG(int64_t, s3_part_bytes, ctlstore::object_store::StoreOptions().s3_part_bytes,
          "The least size of the parts in which larger objects are put into S3, in bytes, 5 MiB "
          "at least. Each part that is under way is in memory.");
ABSL_FLAG(int, s3_parallel_parts, ctlstore::object_store::StoreOptions().s3_parallel_parts,
          "How many parts of an object are put into S3 at the same time.");
ABSL_FLAG(std::string, object_store_ca_file, "",
          "The authorities of the certificates of S3 and web servers with snapshots, in PEM. "
          "Empty: the system's.");
ABSL_FLAG(int64_t, object_store_stall_seconds,
          absl::ToInt64Seconds(ctlstore::object_store::StoreOptions().stall_timeout),
          "Break a transfer to or from S3 or a web server off, and try it again, when less than "
          "1 KiB a second has moved for so many seconds.");
ABSL_FLAG(int, object_store_max_attempts, ctlstore::object_store::StoreOptions().max_attempts,
          "How often a request to S3 or a web server is made before it counts as failed.");

namespace ctlstore::object_store {
namespace {

constexpr int64_t kMaxStallSeconds = 3600;

}  // namespace

absl::StatusOr<StoreOptions> StoreOptionsFromFlags() {
  StoreOptions options;
  options.s3_endpoint = absl::GetFlag(FLAGS_s3_endpoint);
  options.s3_region = absl::GetFlag(FLAGS_s3_region);
  options.s3_path_style = absl::GetFlag(FLAGS_s3_path_style);
  options.s3_part_bytes = absl::GetFlag(FLAGS_s3_part_bytes);
  options.s3_parallel_parts = absl::GetFlag(FLAGS_s3_parallel_parts);
  options.ca_file = absl::GetFlag(FLAGS_object_store_ca_file);
  options.max_attempts = absl::GetFlag(FLAGS_object_store_max_attempts);
  const int64_t stall_seconds = absl::GetFlag(FLAGS_object_store_stall_seconds);
  if (stall_seconds < 1 || stall_seconds > kMaxStallSeconds) {
    return absl::InvalidArgumentError(absl::StrCat("--object_store_stall_seconds: must be 1 to ",
                                                   kMaxStallSeconds, ", is ", stall_seconds));
  }
  options.stall_timeout = absl::Seconds(stall_seconds);
  const absl::Status status = CheckStoreOptions(options);
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("--", status.message()));
  return options;
}

}  // namespace ctlstore::object_store
