// Objects in an S3 bucket, or in a store that speaks S3's protocol.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_S3_STORE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_S3_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/object_store/aws_profile.h"
#include "common/object_store/object_store.h"
#include "common/object_store/store_options.h"
#include "common/object_store/store_url.h"

namespace ctlstore::object_store {

// The object `key` of `s3://bucket/prefix` is the bucket's object "prefix/key". An object's version
// is its ETag. Credentials come from where AWS's programs find them (s3_credentials.h), the
// endpoint and region from `options` or from where AWS's programs find those.
//
// Every request is signed with the digest of its body, so that a server takes nothing but the bytes
// that were sent. Larger objects than `s3_part_bytes` are put in parts, `s3_parallel_parts` at a
// time, of which each is in memory as a whole; a part that fails is put again by itself.
//
// INVALID_ARGUMENT for options that make no sense; waits for nothing.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenS3Store(
    const StoreUrl& url, const StoreOptions& options,
    const AwsEnvironment& environment = ProcessEnvironment());

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_S3_STORE_H_
