// JSON that callers send, as a small tree.

#ifndef CTLSTORE_COMMON_RPC_JSON_READER_H_
#define CTLSTORE_COMMON_RPC_JSON_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/schema/value.h"

namespace ctlstore::rpc {

// One value. A plain value type.
struct JsonNode {
  enum class Kind : uint8_t { kNull, kBoolean, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  // Of a member of an object.
  std::string name;
  // A string's characters, UTF-8; a number as it was written, so that no digit is lost; "true" or
  // "false".
  std::string text;
  // An array's elements or an object's members, in order.
  std::vector<JsonNode> children;
};

// "a string", "an array", ...
absl::string_view JsonKindName(JsonNode::Kind kind);

// What a tree has at most. No valid request comes near.
inline constexpr size_t kJsonMaxDepth = 16;
inline constexpr size_t kJsonMaxNodes = 100000;

// INVALID_ARGUMENT (INVALID_REQUEST) about "body" names the place where `text` is no JSON, or has a
// member twice.
absl::StatusOr<JsonNode> ParseJson(absl::string_view text);

// In all that follows `path` is where the node stands in the request, for errors
// ("mutations[3]"; empty for the whole), which are INVALID_ARGUMENT (INVALID_REQUEST).

// Points each of `members` to the member of that name, in any case, or to null where there is none
// or it is null. Members of other names are errors (UNKNOWN_FIELD).
absl::Status ReadMembers(absl::string_view path, const JsonNode& object,
                         absl::Span<const std::pair<absl::string_view, const JsonNode**>> members);

absl::Status CheckKind(absl::string_view path, const JsonNode& node, JsonNode::Kind kind);

// The path of a member of what stands at `path`.
std::string MemberPath(absl::string_view path, absl::string_view member);

// A number without fraction and exponent, of 64 bits.
absl::StatusOr<int64_t> ReadInteger(absl::string_view path, const JsonNode& node);

// What a number is, exactly; of those with a fraction or an exponent the nearest decimal that there
// is. Without either it is an integer, or a decimal where it has more digits and is just that.
// nullopt where no value is near.
absl::optional<ValueView> NumberOf(const JsonNode& node);

// Base64.
absl::StatusOr<std::string> ReadBytes(absl::string_view path, const JsonNode& node);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_JSON_READER_H_
