#include "common/schema/names.h"

#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "common/schema/utf8.h"

namespace ctlstore {
namespace {

constexpr char kNameSeparator[] = "___";

absl::StatusOr<std::string> NormalizeIdentifier(absl::string_view field, absl::string_view name,
                                                size_t min_size, size_t max_size,
                                                bool allow_double_underscore) {
  if (name.size() < min_size || name.size() > max_size) {
    return InvalidField(
        field, reason::kInvalidName,
        absl::StrCat("must have ", min_size, " to ", max_size, " characters, has ", name.size()));
  }
  std::string lowered = absl::AsciiStrToLower(name);
  for (size_t i = 0; i < lowered.size(); ++i) {
    const char c = lowered[i];
    const bool letter = absl::ascii_islower(static_cast<unsigned char>(c));
    const bool rest = absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_';
    if (letter || (i > 0 && rest)) continue;
    return InvalidField(field, reason::kInvalidName,
                        "must begin with a letter and hold only a-z, 0-9 and _");
  }
  if (!allow_double_underscore && absl::StrContains(lowered, "__")) {
    return InvalidField(field, reason::kInvalidName, "must not hold two underscores in a row");
  }
  return lowered;
}

absl::Status CheckSize(absl::string_view field, size_t size, size_t min_size, size_t max_size) {
  if (size >= min_size && size <= max_size) return absl::OkStatus();
  return InvalidField(field, reason::kInvalidName,
                      absl::StrCat("must have ", min_size, " to ", max_size, " bytes, has ", size));
}

}  // namespace

absl::StatusOr<std::string> NormalizeFamilyName(absl::string_view field, absl::string_view name) {
  return NormalizeIdentifier(field, name, limits::kFamilyNameMin, limits::kFamilyNameMax,
                             /*allow_double_underscore=*/false);
}

absl::StatusOr<std::string> NormalizeTableName(absl::string_view field, absl::string_view name) {
  return NormalizeIdentifier(field, name, limits::kTableNameMin, limits::kTableNameMax,
                             /*allow_double_underscore=*/false);
}

absl::StatusOr<std::string> NormalizeFieldName(absl::string_view field, absl::string_view name) {
  return NormalizeIdentifier(field, name, limits::kFieldNameMin, limits::kFieldNameMax,
                             /*allow_double_underscore=*/true);
}

absl::Status CheckWriterName(absl::string_view field, absl::string_view name) {
  absl::Status size = CheckSize(field, name.size(), limits::kWriterNameMin, limits::kWriterNameMax);
  if (!size.ok()) return size;
  if (!IsTextWithoutNul(name)) {
    return InvalidField(field, reason::kInvalidName, "must be UTF-8 without NUL");
  }
  return absl::OkStatus();
}

absl::Status CheckWriterSecret(absl::string_view field, absl::string_view secret) {
  return CheckSize(field, secret.size(), limits::kWriterSecretMin, limits::kWriterSecretMax);
}

absl::StatusOr<TableName> NormalizeName(absl::string_view family, absl::string_view table) {
  absl::StatusOr<std::string> family_name = NormalizeFamilyName("family", family);
  if (!family_name.ok()) return family_name.status();
  absl::StatusOr<std::string> table_name = NormalizeTableName("table", table);
  if (!table_name.ok()) return table_name.status();
  return TableName{*std::move(family_name), *std::move(table_name)};
}

std::string SqlTableName(const TableName& name) {
  return absl::StrCat(name.family, kNameSeparator, name.table);
}

absl::StatusOr<TableName> ParseSqlTableName(absl::string_view sql_name) {
  // Neither part holds two underscores in a row, so the separator is the only run of more than
  // one; a family that ends in an underscore makes that run longer.
  const size_t run = sql_name.find("__");
  if (run != absl::string_view::npos) {
    size_t end = run;
    while (end < sql_name.size() && sql_name[end] == '_') ++end;
    // A table's name begins with a letter, so the separator is the last three of the run.
    if (end - run >= 3) {
      absl::StatusOr<TableName> name =
          NormalizeName(sql_name.substr(0, end - 3), sql_name.substr(end));
      if (name.ok() && SqlTableName(*name) == sql_name) return name;
    }
  }
  return absl::NotFoundError(absl::StrCat(sql_name, " is not the name of a family's table"));
}

}  // namespace ctlstore
