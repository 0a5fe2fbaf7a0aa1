// What S3's answers mean.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_S3_ANSWERS_H_
#define CTLSTORE_COMMON_OBJECT_STORE_S3_ANSWERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/object_store/http_client.h"
#include "common/object_store/object_store.h"

namespace ctlstore::object_store {

// An answer that is no success.
struct S3Error {
  int http_status = 0;
  // "NoSuchKey"; empty where the answer has none, as that to a HEAD.
  std::string code;
  // Printable, and of bounded length.
  std::string message;
  // Where the bucket is, where the answer says so.
  std::string region;

  // Whether the same request may succeed later.
  bool passing() const;
  // Whether other credentials may be taken.
  bool credentials_expired() const;
  // "AccessDenied: no such right (HTTP status 403)".
  std::string ToString() const;
  // With `what` in front: "s3://bucket: cannot get a: ".
  absl::Status ToStatus(absl::string_view what, absl::string_view region_used) const;
};

// The error in an answer whose status is not 2xx, or that is an error in spite of its 200, which
// requests that take S3 long can end with. nullopt for a success.
absl::optional<S3Error> ErrorIn(const HttpResponse& response);

// One page of a list of objects, with whole keys. `next` is the token for the page after it, empty
// after the last one.
struct S3ObjectPage {
  std::vector<ObjectInfo> objects;
  std::string next;
};
absl::StatusOr<S3ObjectPage> ParseObjectPage(absl::string_view xml);

// One page of a list of uploads that have not ended.
struct S3Upload {
  std::string key;
  std::string id;
  absl::Time initiated = absl::InfiniteFuture();
};
struct S3UploadPage {
  std::vector<S3Upload> uploads;
  bool truncated = false;
  std::string next_key;
  std::string next_id;
};
absl::StatusOr<S3UploadPage> ParseUploadPage(absl::string_view xml);

// The id of an upload that was begun.
absl::StatusOr<std::string> ParseUploadId(absl::string_view xml);

// What headers tell of an object; its key is left empty.
absl::StatusOr<ObjectInfo> ParseObjectHeaders(const HttpResponse& response);

// "bytes 5-9/20" is 5, 9 and 20; "bytes */20" is -1, -1 and 20; a size that is not told is -1.
struct ContentRange {
  int64_t first = -1;
  int64_t last = -1;
  int64_t size = -1;
};
absl::optional<ContentRange> ParseContentRange(absl::string_view text);

// The MD5 that an ETag is; empty where it is something else.
absl::string_view Md5InEtag(absl::string_view etag);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_S3_ANSWERS_H_
