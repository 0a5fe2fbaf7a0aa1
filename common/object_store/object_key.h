// What an object may be called.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_OBJECT_KEY_H_
#define CTLSTORE_COMMON_OBJECT_STORE_OBJECT_KEY_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ctlstore::object_store {

// The same in every kind of store: UTF-8 of 1 to 1,024 bytes without control characters; its parts
// between '/' are not empty and neither "." nor "..", so that it leads to no other place.
// INVALID_ARGUMENT says what is wrong.
absl::Status CheckObjectKey(absl::string_view key);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_OBJECT_KEY_H_
