#include "common/rpc/json_reader.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/base64.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::rpc {
namespace {

using nlohmann::json;

constexpr char kBody[] = "body";

absl::Status BodyError(absl::string_view message) {
  return InvalidField(kBody, reason::kInvalidRequest, message);
}

// Names that are too long to be any known one, cut for messages.
std::string Shown(absl::string_view name) {
  if (name.size() <= limits::kFieldNameMax) return std::string(name);
  return absl::StrCat("a member whose name has ", name.size(), " bytes");
}

// What is wrong, without what was read, which may be a secret.
std::string SyntaxErrorText(absl::string_view message) {
  const size_t begin = message.find("syntax error");
  if (begin != absl::string_view::npos) message.remove_prefix(begin);
  const size_t id_end = message.find("] ");
  if (absl::StartsWith(message, "[") && id_end != absl::string_view::npos) {
    message.remove_prefix(id_end + 2);
  }
  message = message.substr(0, message.find("; last read"));
  return std::string(message.substr(0, message.find(" parsing '")));
}

class TreeBuilder : public nlohmann::json_sax<json> {
 public:
  absl::StatusOr<JsonNode> Finish() && {
    if (!status_.ok()) return status_;
    return std::move(root_);
  }

  bool null() override { return Add(JsonNode::Kind::kNull, "") != nullptr; }
  bool boolean(bool value) override {
    return Add(JsonNode::Kind::kBoolean, value ? "true" : "false") != nullptr;
  }
  bool number_integer(number_integer_t value) override {
    return Add(JsonNode::Kind::kNumber, absl::StrCat(value)) != nullptr;
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Add(JsonNode::Kind::kNumber, absl::StrCat(value)) != nullptr;
  }
  bool number_float(number_float_t, const std::string& token) override {
    return Add(JsonNode::Kind::kNumber, token) != nullptr;
  }
  bool string(std::string& value) override {
    return Add(JsonNode::Kind::kString, std::move(value)) != nullptr;
  }
  bool binary(binary_t&) override { return false; }
  bool key(std::string& value) override {
    key_ = std::move(value);
    return true;
  }

  bool start_object(size_t) override { return Open(JsonNode::Kind::kObject); }
  bool start_array(size_t) override { return Open(JsonNode::Kind::kArray); }
  bool end_array() override { return Close(); }
  bool end_object() override {
    absl::flat_hash_set<absl::string_view> names;
    for (const JsonNode& member : open_.back()->children) {
      if (names.insert(member.name).second) continue;
      status_ = BodyError(absl::StrCat("an object has ", Shown(member.name), " twice"));
      return false;
    }
    return Close();
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    status_ = BodyError(
        absl::StrCat("is not JSON at byte ", position, ": ", SyntaxErrorText(error.what())));
    return false;
  }

 private:
  JsonNode* Add(JsonNode::Kind kind, std::string text) {
    if (++nodes_ > kJsonMaxNodes) {
      status_ = BodyError(absl::StrCat("has more than ", kJsonMaxNodes, " values"));
      return nullptr;
    }
    JsonNode* node = &root_;
    if (!open_.empty()) {
      // Moves no node that is open: those are its parent's last child.
      open_.back()->children.emplace_back();
      node = &open_.back()->children.back();
    }
    node->kind = kind;
    node->name = std::move(key_);
    key_.clear();
    node->text = std::move(text);
    return node;
  }

  bool Open(JsonNode::Kind kind) {
    if (open_.size() >= kJsonMaxDepth) {
      status_ = BodyError(absl::StrCat("is nested more than ", kJsonMaxDepth, " deep"));
      return false;
    }
    JsonNode* const node = Add(kind, "");
    if (node != nullptr) open_.push_back(node);
    return node != nullptr;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  JsonNode root_;
  // From the root inwards.
  std::vector<JsonNode*> open_;
  std::string key_;
  size_t nodes_ = 0;
  absl::Status status_;
};

}  // namespace

absl::string_view JsonKindName(JsonNode::Kind kind) {
  switch (kind) {
    case JsonNode::Kind::kNull:
      return "null";
    case JsonNode::Kind::kBoolean:
      return "a boolean";
    case JsonNode::Kind::kNumber:
      return "a number";
    case JsonNode::Kind::kString:
      return "a string";
    case JsonNode::Kind::kArray:
      return "an array";
    case JsonNode::Kind::kObject:
      return "an object";
  }
  return "";
}

absl::StatusOr<JsonNode> ParseJson(absl::string_view text) {
  if (text.empty()) return BodyError("is empty; it has to be JSON");
  TreeBuilder builder;
  // Errors come through the builder.
  (void)json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).Finish();
}

absl::Status CheckKind(absl::string_view path, const JsonNode& node, JsonNode::Kind kind) {
  if (node.kind == kind) return absl::OkStatus();
  return InvalidField(
      path.empty() ? kBody : path, reason::kInvalidRequest,
      absl::StrCat("has to be ", JsonKindName(kind), ", not ", JsonKindName(node.kind)));
}

std::string MemberPath(absl::string_view path, absl::string_view member) {
  return path.empty() ? std::string(member) : absl::StrCat(path, ".", member);
}

absl::Status ReadMembers(absl::string_view path, const JsonNode& object,
                         absl::Span<const std::pair<absl::string_view, const JsonNode**>> members) {
  absl::Status status = CheckKind(path, object, JsonNode::Kind::kObject);
  if (!status.ok()) return status;
  for (const auto& member : members) *member.second = nullptr;
  std::vector<bool> given(members.size(), false);
  for (const JsonNode& child : object.children) {
    size_t i = 0;
    while (i < members.size() && !absl::EqualsIgnoreCase(members[i].first, child.name)) ++i;
    if (i == members.size()) {
      const auto name = [](std::string* out, const auto& member) {
        absl::StrAppend(out, member.first);
      };
      return InvalidField(
          MemberPath(path, Shown(child.name)), reason::kUnknownField,
          absl::StrCat("is not known; there are ", absl::StrJoin(members, ", ", name)));
    }
    if (given[i]) {
      return InvalidField(MemberPath(path, child.name), reason::kInvalidRequest,
                          "is there already, written with other capitals");
    }
    given[i] = true;
    if (child.kind != JsonNode::Kind::kNull) *members[i].second = &child;
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadInteger(absl::string_view path, const JsonNode& node) {
  absl::Status status = CheckKind(path, node, JsonNode::Kind::kNumber);
  if (!status.ok()) return status;
  int64_t value = 0;
  if (!absl::SimpleAtoi(node.text, &value)) {
    return InvalidField(path, reason::kInvalidRequest,
                        "has to be a whole number of 64 bits, without fraction and exponent");
  }
  return value;
}

absl::optional<ValueView> NumberOf(const JsonNode& node) {
  const absl::string_view token = node.text;
  int64_t integer = 0;
  if (absl::SimpleAtoi(token, &integer)) return ValueView(integer);
  double decimal = 0;
  if (!absl::SimpleAtod(token, &decimal) || !std::isfinite(decimal)) return absl::nullopt;
  if (token.find_first_of(".eE") == absl::string_view::npos) {
    // More digits than an integer has. A decimal where it is just that.
    if (absl::StrFormat("%.0f", decimal) != token) return absl::nullopt;
  } else if (decimal == 0) {
    // Too near to 0, unless it is 0.
    const absl::string_view digits = token.substr(0, token.find_first_of("eE"));
    if (digits.find_first_of("123456789") != absl::string_view::npos) return absl::nullopt;
  }
  return ValueView(decimal);
}

absl::StatusOr<std::string> ReadBytes(absl::string_view path, const JsonNode& node) {
  absl::Status status = CheckKind(path, node, JsonNode::Kind::kString);
  if (!status.ok()) return status;
  absl::optional<std::string> bytes = DecodeBase64(node.text);
  if (!bytes.has_value()) {
    return InvalidField(path, reason::kInvalidRequest,
                        "has to be base64 in the standard alphabet, with padding");
  }
  return *std::move(bytes);
}

}  // namespace ctlstore::rpc
