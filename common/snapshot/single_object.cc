#include "common/snapshot/single_object.h"

#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ctlstore::snapshot {
namespace {

constexpr size_t kSha1Bytes = 20;

}  // namespace

absl::Status PutSingleObject(object_store::ObjectStore* store, const Location& location,
                             const std::string& object_path, absl::string_view file_sha1) {
  if (location.form != Location::Form::kSingleObject || location.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(location.ToString(), " is a folder of snapshots, no single object"));
  }
  if (file_sha1.size() != kSha1Bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a SHA-1 must have ", kSha1Bytes, " bytes, has ", file_sha1.size()));
  }
  object_store::ObjectStore::PutOptions options;
  options.metadata[kChecksumMetadata] = absl::Base64Escape(file_sha1);
  return store->PutFile(location.key, object_path, options);
}

}  // namespace ctlstore::snapshot
