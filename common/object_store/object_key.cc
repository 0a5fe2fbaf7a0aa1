#include "common/object_store/object_key.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/schema/utf8.h"

namespace ctlstore::object_store {
namespace {

constexpr size_t kMaxBytes = 1024;

}  // namespace

absl::Status CheckObjectKey(absl::string_view key) {
  if (key.empty() || key.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an object's key must have 1 to ", kMaxBytes, " bytes, has ", key.size()));
  }
  if (!IsTextWithoutNul(key) ||
      std::any_of(key.begin(), key.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return absl::InvalidArgumentError("an object's key must be UTF-8 without control characters");
  }
  for (const absl::string_view part : absl::StrSplit(key, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError(absl::StrCat(
          "the object's key \"", key, "\" has a part between '/' that is \"", part, "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::object_store
