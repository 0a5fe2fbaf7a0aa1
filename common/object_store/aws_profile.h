// What the environment and the AWS configuration files say.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_AWS_PROFILE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_AWS_PROFILE_H_

#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::object_store {

// A variable's value; empty where it is not set.
using AwsEnvironment = std::function<std::string(const char* name)>;

// The process's.
AwsEnvironment ProcessEnvironment();

// A profile's settings by name in lower case ("aws_access_key_id", "region"). Those of the
// credentials file come before those of the configuration file.
using AwsProfile = std::map<std::string, std::string>;

// The profile that AWS_PROFILE names, or "default", from the files that AWS_SHARED_CREDENTIALS_FILE
// and AWS_CONFIG_FILE name, or from those in ~/.aws. Empty where there is none and none was named.
// PERMISSION_DENIED where the named profile is in no file, or a file cannot be read.
absl::StatusOr<AwsProfile> ReadAwsProfile(const AwsEnvironment& environment);

// The settings in one file's section, "[name]", or also "[profile name]" where `is_config`. Lines
// that are no settings are left out. Returns whether there is such a section. Settings that are in
// `profile` already stay.
bool ReadAwsSection(absl::string_view text, absl::string_view name, bool is_config,
                    AwsProfile* profile);

// What was set up for S3 outside of our own options; empty where nothing was.
struct AwsSettings {
  // AWS_REGION, AWS_DEFAULT_REGION, or the profile's.
  std::string region;
  // AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or the profile's.
  std::string endpoint;
};
// A profile that cannot be read counts for nothing here: who needs its keys hears of it.
AwsSettings ReadAwsSettings(const AwsEnvironment& environment);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_AWS_PROFILE_H_
