// A ledger statement with its literals taken out, so that statements that differ only in their
// values can share one prepared statement.

#ifndef CTLSTORE_COMMON_SQL_PARAMETERIZED_STATEMENT_H_
#define CTLSTORE_COMMON_SQL_PARAMETERIZED_STATEMENT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/schema/names.h"
#include "common/schema/value.h"

namespace ctlstore::sql {

struct ParameterizedStatement {
  enum class Kind { kUpsert, kDelete };
  Kind kind = Kind::kUpsert;
  // The table's name in the database: "family___table".
  absl::string_view sql_table;
  // The column names in the order of `parameters`, without quotes.
  std::vector<absl::string_view> columns;
  // The statement with `?` in place of each literal.
  std::string sql;
  // The literals' values. Views into the statement or into `unescaped`.
  std::vector<ValueView> parameters;
  // Where text with doubled quotes and bytes are decoded to. Sized before any view is taken.
  std::string unescaped;
};

// Takes the literals out of a `REPLACE INTO ...` or `DELETE FROM ... WHERE ...` of the ledger's
// format. Returns false where the statement has any other form: then it is to be run as text. Views
// in `*result` look into `statement` and into `*result` itself, which is meant to be used again to
// save allocations.
//
// Running the result is running the text, but for one thing: decimals are rounded correctly here,
// which SQLite before 3.43 does not always do in the last digit.
bool ParameterizeStatement(absl::string_view statement, ParameterizedStatement* result);

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_PARAMETERIZED_STATEMENT_H_
