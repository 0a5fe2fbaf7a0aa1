#include "sidecar/json_key.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/rpc/json_reader.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::sidecar {
namespace {

using rpc::JsonNode;

absl::StatusOr<Value> PlainValue(absl::string_view path, const JsonNode& node) {
  if (node.kind == JsonNode::Kind::kString) return Value::Text(node.text);
  if (node.kind != JsonNode::Kind::kNumber) {
    return InvalidField(
        path, reason::kInvalidKey,
        absl::StrCat("has to be a string or a number, not ", rpc::JsonKindName(node.kind)));
  }
  const absl::optional<ValueView> number = rpc::NumberOf(node);
  if (number.has_value()) return Value(*number);
  return InvalidField(path, reason::kInvalidKey, "no field can hold the number exactly");
}

absl::StatusOr<Value> KeyValue(size_t i, const JsonNode& node) {
  const std::string path = absl::StrCat("Key[", i, "]");
  const JsonNode* value = nullptr;
  const JsonNode* binary = nullptr;
  const absl::Status status =
      rpc::ReadMembers(path, node, {{"Value", &value}, {"Binary", &binary}});
  if (!status.ok()) return status;
  if ((value == nullptr) == (binary == nullptr)) {
    return InvalidField(path, reason::kInvalidKey,
                        value == nullptr ? "has to have a Value or a Binary; no key is null"
                                         : "has both a Value and a Binary; one of them is the key");
  }
  if (value != nullptr) return PlainValue(rpc::MemberPath(path, "Value"), *value);
  absl::StatusOr<std::string> bytes = rpc::ReadBytes(rpc::MemberPath(path, "Binary"), *binary);
  if (!bytes.ok()) return bytes.status();
  return Value::Bytes(*std::move(bytes));
}

}  // namespace

absl::StatusOr<std::vector<Value>> ParseJsonKey(absl::string_view body) {
  const absl::StatusOr<JsonNode> json = rpc::ParseJson(body);
  if (!json.ok()) return json.status();
  const JsonNode* key = nullptr;
  absl::Status status = rpc::ReadMembers("", *json, {{"Key", &key}});
  if (!status.ok()) return status;
  std::vector<Value> values;
  if (key == nullptr) return values;
  status = rpc::CheckKind("Key", *key, JsonNode::Kind::kArray);
  if (!status.ok()) return status;
  if (key->children.size() > limits::kKeyFieldsMax) {
    return InvalidField("Key", reason::kInvalidKey,
                        absl::StrCat("has ", key->children.size(), " values; no key has more than ",
                                     limits::kKeyFieldsMax));
  }
  values.reserve(key->children.size());
  for (size_t i = 0; i < key->children.size(); ++i) {
    absl::StatusOr<Value> value = KeyValue(i, key->children[i]);
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

}  // namespace ctlstore::sidecar
