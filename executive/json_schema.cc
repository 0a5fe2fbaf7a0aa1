#include "executive/json_schema.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/rpc/json_reader.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::executive {
namespace {

using Json = nlohmann::ordered_json;
using rpc::CheckKind;
using rpc::JsonNode;
using rpc::MemberPath;
using rpc::ParseJson;
using rpc::ReadMembers;

// `status` about `from`, or what is in it, as one about `to`.
absl::Status RenameField(const absl::Status& status, absl::string_view from, absl::string_view to) {
  const absl::optional<std::string> field = ErrorField(status);
  if (!field.has_value() || !absl::StartsWith(*field, from)) return status;
  const absl::string_view rest = absl::string_view(*field).substr(from.size());
  if (!rest.empty() && rest.front() != '[' && rest.front() != '.') return status;
  const std::string renamed = absl::StrCat(to, rest);
  // The message begins with the field and ": ".
  const absl::string_view message = status.message().substr(field->size() + 2);
  return InvalidField(renamed, ErrorReason(status).value_or(reason::kInvalidRequest), message);
}

absl::StatusOr<std::vector<Field>> FieldsOf(absl::string_view path, const JsonNode* node) {
  std::vector<Field> fields;
  if (node == nullptr) return fields;
  absl::Status status = CheckKind(path, *node, JsonNode::Kind::kArray);
  if (!status.ok()) return status;
  for (size_t i = 0; i < node->children.size(); ++i) {
    const JsonNode& pair = node->children[i];
    const std::string field_path = absl::StrCat(path, "[", i, "]");
    if (pair.kind != JsonNode::Kind::kArray || pair.children.size() != 2 ||
        pair.children[0].kind != JsonNode::Kind::kString ||
        pair.children[1].kind != JsonNode::Kind::kString) {
      return InvalidField(field_path, reason::kInvalidRequest,
                          R"(has to be a name and a type: ["name","type"])");
    }
    const absl::optional<FieldType> type = FieldTypeFromName(pair.children[1].text);
    if (!type.has_value()) {
      return InvalidField(absl::StrCat(field_path, "[1]"), reason::kInvalidSchema,
                          "the type has to be string, integer, decimal, text, binary or "
                          "bytestring");
    }
    fields.push_back({pair.children[0].text, *type});
  }
  return fields;
}

absl::StatusOr<std::vector<std::string>> NamesOf(absl::string_view path, const JsonNode* node) {
  std::vector<std::string> names;
  if (node == nullptr) return names;
  absl::Status status = CheckKind(path, *node, JsonNode::Kind::kArray);
  if (!status.ok()) return status;
  for (size_t i = 0; i < node->children.size(); ++i) {
    status = CheckKind(absl::StrCat(path, "[", i, "]"), node->children[i], JsonNode::Kind::kString);
    if (!status.ok()) return status;
    names.push_back(node->children[i].text);
  }
  return names;
}

absl::StatusOr<TableSchema> TableOf(absl::string_view family, absl::string_view table,
                                    const JsonNode* fields, const JsonNode* key_fields) {
  absl::StatusOr<std::vector<Field>> parsed_fields = FieldsOf("fields", fields);
  if (!parsed_fields.ok()) return parsed_fields.status();
  absl::StatusOr<std::vector<std::string>> parsed_key = NamesOf("keyFields", key_fields);
  if (!parsed_key.ok()) return parsed_key.status();
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(family, table, *std::move(parsed_fields), *parsed_key);
  if (!schema.ok()) return RenameField(schema.status(), "key_fields", "keyFields");
  return schema;
}

absl::StatusOr<std::string> TextOf(absl::string_view path, const JsonNode* node) {
  if (node == nullptr) return std::string();
  absl::Status status = CheckKind(path, *node, JsonNode::Kind::kString);
  if (!status.ok()) return status;
  return node->text;
}

absl::StatusOr<TableSchema> WholeTableOf(const JsonNode& node) {
  const JsonNode* family = nullptr;
  const JsonNode* name = nullptr;
  const JsonNode* fields = nullptr;
  const JsonNode* key_fields = nullptr;
  absl::Status status = ReadMembers(
      "", node,
      {{"family", &family}, {"name", &name}, {"fields", &fields}, {"keyFields", &key_fields}});
  if (!status.ok()) return status;
  absl::StatusOr<std::string> family_text = TextOf("family", family);
  if (!family_text.ok()) return family_text.status();
  absl::StatusOr<std::string> name_text = TextOf("name", name);
  if (!name_text.ok()) return name_text.status();
  return TableOf(*family_text, *name_text, fields, key_fields);
}

Json JsonOf(const TableSchema& table) {
  Json fields = Json::array();
  for (const Field& field : table.fields()) {
    fields.push_back(Json::array({field.name, std::string(FieldTypeName(field.type))}));
  }
  return Json{{"family", table.name().family},
              {"name", table.name().table},
              {"fields", std::move(fields)},
              {"keyFields", table.key_field_names()}};
}

}  // namespace

absl::StatusOr<TableSchema> ParseTable(absl::string_view family, absl::string_view table,
                                       absl::string_view body) {
  absl::StatusOr<JsonNode> json = ParseJson(body);
  if (!json.ok()) return json.status();
  const JsonNode* fields = nullptr;
  const JsonNode* key_fields = nullptr;
  absl::Status status = ReadMembers("", *json, {{"fields", &fields}, {"keyFields", &key_fields}});
  if (!status.ok()) return status;
  absl::StatusOr<TableSchema> schema = TableOf(family, table, fields, key_fields);
  if (!schema.ok()) return RenameField(schema.status(), "name", "table");
  return schema;
}

absl::StatusOr<std::vector<TableSchema>> ParseTables(absl::string_view body) {
  absl::StatusOr<JsonNode> json = ParseJson(body);
  if (!json.ok()) return json.status();
  absl::Status status = CheckKind("", *json, JsonNode::Kind::kArray);
  if (!status.ok()) return status;
  if (json->children.size() > limits::kTablesPerRequest) {
    return InvalidField("body", reason::kTooLarge,
                        absl::StrCat("a request has at most ", limits::kTablesPerRequest,
                                     " tables, not ", json->children.size()));
  }
  std::vector<TableSchema> tables;
  for (size_t i = 0; i < json->children.size(); ++i) {
    absl::StatusOr<TableSchema> table = WholeTableOf(json->children[i]);
    if (!table.ok()) return UnderField(absl::StrCat("tables[", i, "]."), table.status());
    tables.push_back(*std::move(table));
  }
  return tables;
}

absl::StatusOr<std::vector<Field>> ParseFields(absl::string_view body) {
  absl::StatusOr<JsonNode> json = ParseJson(body);
  if (!json.ok()) return json.status();
  const JsonNode* fields = nullptr;
  absl::Status status = ReadMembers("", *json, {{"fields", &fields}});
  if (!status.ok()) return status;
  return FieldsOf("fields", fields);
}

std::string ToJson(const TableSchema& table) { return JsonOf(table).dump(); }

std::string ToJson(absl::Span<const TableSchema> tables) {
  Json json = Json::array();
  for (const TableSchema& table : tables) json.push_back(JsonOf(table));
  return json.dump();
}

}  // namespace ctlstore::executive
