#include "cli/json_output.h"

#include "absl/strings/escaping.h"

namespace ctlstore::cli {

Json ToJson(const ValueView& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
      return nullptr;
    case ValueKind::kInteger:
      return value.integer();
    case ValueKind::kDecimal:
      return value.decimal();
    case ValueKind::kText:
      return std::string(value.data());
    case ValueKind::kBytes:
      return absl::Base64Escape(value.data());
  }
  return nullptr;
}

Json ToJson(const NamedValues& row) {
  Json object = Json::object();
  for (const NamedValue& item : row) object[item.name] = ToJson(item.value.view());
  return object;
}

Json ToJson(const TableSchema& schema) {
  Json fields = Json::array();
  for (const Field& field : schema.fields()) {
    fields.push_back({{"name", field.name}, {"type", std::string(FieldTypeName(field.type))}});
  }
  return Json::object({{"family", schema.name().family},
                       {"name", schema.name().table},
                       {"fields", fields},
                       {"key_fields", schema.key_field_names()}});
}

std::string Compact(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace ctlstore::cli
