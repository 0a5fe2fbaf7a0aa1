// What programs read: values, rows and tables as JSON.

#ifndef CTLSTORE_CLI_JSON_OUTPUT_H_
#define CTLSTORE_CLI_JSON_OUTPUT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/types/span.h"
#include "cli/row_reader.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

// Keeps the order of members.
using Json = nlohmann::ordered_json;

// Integers with all their digits, bytes as base64.
Json ToJson(const ValueView& value);

// An object with a member for each field.
Json ToJson(const NamedValues& row);

// {"family", "name", "fields": [{"name", "type"}], "key_fields": [...]}
Json ToJson(const TableSchema& schema);

// On one line.
std::string Compact(const Json& json);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_JSON_OUTPUT_H_
