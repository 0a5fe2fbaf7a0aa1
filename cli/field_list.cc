#include "cli/field_list.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/types/optional.h"
#include "cli/exit_status.h"

namespace ctlstore::cli {

absl::StatusOr<Field> ParseField(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) {
    return UsageError(absl::StrCat("'", text, "' is not of the form name:type"));
  }
  const absl::string_view type_name = absl::StripAsciiWhitespace(text.substr(colon + 1));
  const absl::optional<FieldType> type = FieldTypeFromName(absl::AsciiStrToLower(type_name));
  if (!type.has_value()) {
    return UsageError(absl::StrCat("'", type_name, "' is not a field type: string, integer, ",
                                   "decimal, text, binary and bytestring are"));
  }
  return Field{std::string(absl::StripAsciiWhitespace(text.substr(0, colon))), *type};
}

absl::StatusOr<std::vector<Field>> ParseFieldList(absl::string_view text) {
  std::vector<Field> fields;
  for (const std::string& part : ParseNameList(text)) {
    absl::StatusOr<Field> field = ParseField(part);
    if (!field.ok()) return field.status();
    fields.push_back(*std::move(field));
  }
  return fields;
}

std::vector<std::string> ParseNameList(absl::string_view text) {
  std::vector<std::string> names;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    names.emplace_back(absl::StripAsciiWhitespace(part));
  }
  return names;
}

}  // namespace ctlstore::cli
