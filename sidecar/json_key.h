// Keys in the JSON of HTTP requests.

#ifndef CTLSTORE_SIDECAR_JSON_KEY_H_
#define CTLSTORE_SIDECAR_JSON_KEY_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/schema/value.h"

namespace ctlstore::sidecar {

// The values of {"Key":[{"Value":v} or {"Binary":base64},...]}, none where the key is missing or
// null. `v` is a string, which is text, or a number, which is an integer where it has neither
// fraction nor exponent. INVALID_ARGUMENT (INVALID_REQUEST, UNKNOWN_FIELD, INVALID_KEY) names the
// place in the body.
absl::StatusOr<std::vector<Value>> ParseJsonKey(absl::string_view body);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_JSON_KEY_H_
