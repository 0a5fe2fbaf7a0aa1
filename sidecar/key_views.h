// Keys of requests as the reader takes them.

#ifndef CTLSTORE_SIDECAR_KEY_VIEWS_H_
#define CTLSTORE_SIDECAR_KEY_VIEWS_H_

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/schema/value.h"
#include "ctlstore/v1/value.pb.h"
#include "google/protobuf/repeated_ptr_field.h"

namespace ctlstore::sidecar {

// Keys are short.
using KeyViews = absl::InlinedVector<ValueView, 4>;

// Views into `protos`. INVALID_ARGUMENT (INVALID_VALUE) about `path`[i] where value i has no member
// set.
absl::Status ViewKey(absl::string_view path,
                     const google::protobuf::RepeatedPtrField<v1::Value>& protos, KeyViews* key);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_KEY_VIEWS_H_
