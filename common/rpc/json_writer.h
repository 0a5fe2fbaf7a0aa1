// Values as JSON text.

#ifndef CTLSTORE_COMMON_RPC_JSON_WRITER_H_
#define CTLSTORE_COMMON_RPC_JSON_WRITER_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/schema/value.h"

namespace ctlstore::rpc {

// Each appends to `json`, which has to be a text that goes on with a value.

// Quoted. Bytes that are no UTF-8 become U+FFFD.
void AppendJsonString(absl::string_view text, std::string* json);

// Integers with all their digits; decimals with as many as it takes to read the same one, and
// always with a point or an exponent; bytes in base64. What JSON has no number for (infinities) is
// null.
void AppendJson(const ValueView& value, std::string* json);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_JSON_WRITER_H_
