// Which types a new table's fields should have, from what a file holds.

#ifndef CTLSTORE_CLI_IMPORT_TYPE_INFERENCE_H_
#define CTLSTORE_CLI_IMPORT_TYPE_INFERENCE_H_

#include <cstddef>

#include "cli/import/row_source.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {

// What has been seen of a column, and the type that holds all of it exactly:
//
//   whole numbers and booleans (as 0 and 1)   integer
//   numbers with fractions as well            decimal
//   everything else                           string, or text where one is longer than 191
//                                             characters or is an object or an array
//   nothing but null                          string
//
// Numbers that the numeric type could only round are kept as they are written, in a string. A key
// is a string instead of a decimal or text. A plain value type.
class ColumnProfile {
 public:
  void Add(const Cell& cell);

  FieldType Type(bool key) const;

  // The most characters of a value written as text.
  size_t max_characters() const { return max_characters_; }

 private:
  bool has_text_ = false;
  bool has_json_ = false;
  bool has_number_ = false;
  // There is a number that the type cannot hold exactly.
  bool not_integer_ = false;
  bool not_decimal_ = false;
  size_t max_characters_ = 0;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_TYPE_INFERENCE_H_
