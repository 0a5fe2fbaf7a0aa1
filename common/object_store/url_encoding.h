// Percent-encoding as AWS and web servers understand it.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_URL_ENCODING_H_
#define CTLSTORE_COMMON_OBJECT_STORE_URL_ENCODING_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ctlstore::object_store {

// All bytes encoded, in upper case, but for letters, digits and "-._~".
std::string UrlEncode(absl::string_view text);

// The same, with '/' left as it is.
std::string UrlEncodePath(absl::string_view text);

// Takes the encoding out, with a '+' as a blank, as forms are encoded. What is malformed stays as
// it is.
std::string UrlDecodeForm(absl::string_view text);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_URL_ENCODING_H_
