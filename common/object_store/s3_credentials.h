// Whose requests to S3 are: the usual places where AWS's programs find keys.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_S3_CREDENTIALS_H_
#define CTLSTORE_COMMON_OBJECT_STORE_S3_CREDENTIALS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/object_store/aws_profile.h"
#include "common/object_store/http_client.h"

namespace ctlstore::object_store {

struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  // Empty for keys that last.
  std::string session_token;
  absl::Time expires = absl::InfiniteFuture();
};

// Takes the first of these that is set up:
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN;
//   2. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, exchanged at STS;
//   3. the profile AWS_PROFILE ("default") in ~/.aws/credentials and ~/.aws/config (or where
//      AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE say), with keys or a web identity;
//   4. a container or pod: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, with
//      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN;
//   5. the instance's role, from its metadata service (version 2), unless
//      AWS_EC2_METADATA_DISABLED is "true".
// Keys that expire are fetched again some minutes before; files are read each time. Thread-safe. No
// message contains a secret.
class S3Credentials {
 public:
  // `ca_file` is for STS and containers with https. `clock` must outlive this.
  S3Credentials(AwsEnvironment environment, const std::string& region, const std::string& ca_file,
                Clock* clock);

  //   PERMISSION_DENIED  there are none, or what is set up is wrong; says what and where.
  //   UNAVAILABLE        they cannot be had just now.
  //   CANCELLED          after Cancel().
  absl::StatusOr<AwsCredentials> Get();

  // `refused` were not taken by a server: they are not used again where others can be had.
  void Invalidate(const AwsCredentials& refused);

  void Cancel();

 private:
  absl::StatusOr<AwsCredentials> Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<AwsCredentials> FromWebIdentity(const std::string& token_file,
                                                 const std::string& role,
                                                 const std::string& session);
  absl::StatusOr<AwsCredentials> FromContainer(const std::string& url);
  absl::StatusOr<AwsCredentials> FromInstance();
  // The body of a 200; an error names `service`.
  absl::StatusOr<std::string> Ask(absl::string_view service, const HttpRequest& request);

  const AwsEnvironment environment_;
  const std::string region_;
  Clock* const clock_;
  // For STS, which is on the internet, and for services of the machine.
  const std::unique_ptr<HttpClient> http_;

  absl::Mutex mutex_;
  // Only of those that expire.
  absl::optional<AwsCredentials> cached_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_S3_CREDENTIALS_H_
