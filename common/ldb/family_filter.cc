#include "common/ldb/family_filter.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/types/optional.h"
#include "common/schema/names.h"
#include "common/sql/changed_table.h"

namespace ctlstore::ldb {

absl::StatusOr<FamilyFilter> FamilyFilter::Create(const std::vector<std::string>& families) {
  FamilyFilter filter;
  for (const std::string& family : families) {
    absl::StatusOr<std::string> name = NormalizeFamilyName("families", family);
    if (!name.ok()) return name.status();
    filter.families_.push_back(*std::move(name));
  }
  std::sort(filter.families_.begin(), filter.families_.end());
  filter.families_.erase(std::unique(filter.families_.begin(), filter.families_.end()),
                         filter.families_.end());
  return filter;
}

absl::StatusOr<bool> FamilyFilter::Keeps(absl::string_view statement) const {
  if (families_.empty()) return true;
  const absl::optional<sql::ChangedTable> changed = sql::FindChangedTable(statement);
  if (!changed.has_value()) {
    return absl::InvalidArgumentError(
        "it cannot be told which family the statement is for, and not all families are kept here");
  }
  const absl::StatusOr<TableName> table = ParseSqlTableName(absl::AsciiStrToLower(changed->name));
  if (!table.ok()) {
    return absl::InvalidArgumentError(
        "the statement is for a table of no family, and not all families are kept here");
  }
  return std::binary_search(families_.begin(), families_.end(), table->family);
}

}  // namespace ctlstore::ldb
