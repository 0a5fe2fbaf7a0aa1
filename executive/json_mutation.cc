#include "executive/json_mutation.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/rpc/json_reader.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::executive {
namespace {

using rpc::CheckKind;
using rpc::JsonNode;
using rpc::MemberPath;
using rpc::ReadMembers;

}  // namespace

absl::string_view JsonMutation::Keep(absl::string_view text) {
  // What JSON says in so many bytes never has more: the room was made for the whole body.
  const size_t begin = kept_.size();
  kept_.append(text.data(), text.size());
  return absl::string_view(kept_).substr(begin);
}

struct JsonMutation::Parser {
  JsonMutation* mutation;

  absl::Status Body(const JsonNode& body) {
    const JsonNode* cookie = nullptr;
    const JsonNode* check_cookie = nullptr;
    const JsonNode* mutations = nullptr;
    absl::Status status = ReadMembers(
        "", body,
        {{"cookie", &cookie}, {"check_cookie", &check_cookie}, {"mutations", &mutations}});
    if (!status.ok()) return status;
    status = Cookie("cookie", cookie, &mutation->request_.cookie);
    if (!status.ok()) return status;
    status = Cookie("check_cookie", check_cookie, &mutation->request_.check_cookie);
    if (!status.ok()) return status;
    if (mutations == nullptr) return absl::OkStatus();  // Too few, as is found out later.
    status = CheckKind("mutations", *mutations, JsonNode::Kind::kArray);
    if (!status.ok()) return status;
    mutation->request_.mutations.reserve(mutations->children.size());
    for (size_t i = 0; i < mutations->children.size(); ++i) {
      status = One(i, mutations->children[i]);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Cookie(absl::string_view path, const JsonNode* node,
                      absl::optional<absl::string_view>* cookie) {
    if (node == nullptr) return absl::OkStatus();
    absl::StatusOr<std::string> bytes = rpc::ReadBytes(path, *node);
    if (!bytes.ok()) return bytes.status();
    *cookie = mutation->Keep(*bytes);
    return absl::OkStatus();
  }

  absl::Status One(size_t i, const JsonNode& node) {
    const std::string path = absl::StrCat("mutations[", i, "]");
    const JsonNode* table = nullptr;
    const JsonNode* remove = nullptr;
    const JsonNode* values = nullptr;
    absl::Status status =
        ReadMembers(path, node, {{"table", &table}, {"delete", &remove}, {"values", &values}});
    if (!status.ok()) return status;
    Mutation& one = mutation->request_.mutations.emplace_back();
    if (table != nullptr) {
      status = CheckKind(MemberPath(path, "table"), *table, JsonNode::Kind::kString);
      if (!status.ok()) return status;
      one.table = mutation->Keep(table->text);
    }
    if (remove != nullptr) {
      status = CheckKind(MemberPath(path, "delete"), *remove, JsonNode::Kind::kBoolean);
      if (!status.ok()) return status;
      one.remove = remove->text == "true";
    }
    if (values == nullptr) return absl::OkStatus();
    status = CheckKind(MemberPath(path, "values"), *values, JsonNode::Kind::kObject);
    if (!status.ok()) return status;
    one.values.reserve(values->children.size());
    for (const JsonNode& value : values->children) {
      absl::StatusOr<ValueView> view = Value(i, value);
      if (!view.ok()) return view.status();
      one.values.emplace_back(mutation->Keep(value.name), *view);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ValueView> Value(size_t i, const JsonNode& node) {
    switch (node.kind) {
      case JsonNode::Kind::kNull:
        return ValueView();
      case JsonNode::Kind::kBoolean:
        return ValueView(node.text == "true" ? 1 : 0);
      case JsonNode::Kind::kString:
        return ValueView(mutation->Keep(node.text));
      case JsonNode::Kind::kNumber: {
        const absl::optional<ValueView> number = rpc::NumberOf(node);
        if (number.has_value()) return *number;
        return InvalidField(MutationValuePath(i, node.name), reason::kInvalidValue,
                            "no field can hold the number exactly");
      }
      case JsonNode::Kind::kArray:
      case JsonNode::Kind::kObject:
        break;
    }
    return InvalidField(MutationValuePath(i, node.name), reason::kInvalidValue,
                        absl::StrCat("no field can hold ", rpc::JsonKindName(node.kind)));
  }
};

absl::StatusOr<std::unique_ptr<const JsonMutation>> JsonMutation::Parse(absl::string_view family,
                                                                        absl::string_view body) {
  absl::StatusOr<JsonNode> json = rpc::ParseJson(body);
  if (!json.ok()) return json.status();
  std::unique_ptr<JsonMutation> mutation(new JsonMutation());
  mutation->kept_.reserve(family.size() + body.size());
  mutation->request_.family = mutation->Keep(family);
  mutation->request_.bytes_are_base64 = true;
  const absl::Status status = Parser{mutation.get()}.Body(*json);
  if (!status.ok()) return status;
  return std::unique_ptr<const JsonMutation>(std::move(mutation));
}

}  // namespace ctlstore::executive
