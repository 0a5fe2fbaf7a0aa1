#include "cli/import/column_names.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"

namespace ctlstore::cli {
namespace {

constexpr char kPrefix[] = "f_";

}  // namespace

absl::StatusOr<std::string> FieldNameForColumn(absl::string_view column) {
  const absl::string_view stripped = absl::StripAsciiWhitespace(column);
  if (stripped.empty()) {
    return InvalidField("columns", reason::kInvalidName, "a column of the file has no name");
  }
  std::string name;
  for (const char c : stripped) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte)) {
      name += absl::ascii_tolower(byte);
    } else if ((byte & 0xC0) != 0x80) {  // One for each UTF-8 character.
      name += '_';
    }
  }
  if (name.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(name[0]))) {
    const size_t begin = name.find_first_not_of('_');
    name = absl::StrCat(kPrefix, begin == std::string::npos ? "" : name.substr(begin));
  }
  return NormalizeFieldName(absl::StrCat("column ", column), name);
}

absl::StatusOr<std::vector<std::string>> FieldNamesForColumns(
    absl::Span<const std::string> columns) {
  std::vector<std::string> names;
  absl::flat_hash_map<std::string, size_t> positions;
  for (size_t i = 0; i < columns.size(); ++i) {
    absl::StatusOr<std::string> name = FieldNameForColumn(columns[i]);
    if (!name.ok()) return name.status();
    const auto [found, is_new] = positions.emplace(*name, i);
    if (!is_new) {
      return InvalidField(absl::StrCat("column ", columns[i]), reason::kInvalidName,
                          absl::StrCat("would become the field ", *name, ", as the column ",
                                       columns[found->second], " does"));
    }
    names.push_back(*std::move(name));
  }
  return names;
}

}  // namespace ctlstore::cli
