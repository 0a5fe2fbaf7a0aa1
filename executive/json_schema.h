// Definitions of tables in JSON.

#ifndef CTLSTORE_EXECUTIVE_JSON_SCHEMA_H_
#define CTLSTORE_EXECUTIVE_JSON_SCHEMA_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/schema/table_schema.h"

namespace ctlstore::executive {

// Errors are INVALID_ARGUMENT (INVALID_REQUEST, INVALID_NAME, INVALID_SCHEMA, UNKNOWN_FIELD) about
// the place in the body, or about "family" or "table" where those come from elsewhere.

// {"fields":[["name","type"],...],"keyFields":["name",...]}
absl::StatusOr<TableSchema> ParseTable(absl::string_view family, absl::string_view table,
                                       absl::string_view body);

// [{"family","name","fields","keyFields"},...]
absl::StatusOr<std::vector<TableSchema>> ParseTables(absl::string_view body);

// {"fields":[["name","type"],...]}. The names are as they were written.
absl::StatusOr<std::vector<Field>> ParseFields(absl::string_view body);

// {"family","name","fields","keyFields"}, or an array of them.
std::string ToJson(const TableSchema& table);
std::string ToJson(absl::Span<const TableSchema> tables);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_JSON_SCHEMA_H_
