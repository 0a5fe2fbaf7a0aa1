// Rows as a file has them, before a table's types give them a meaning.

#ifndef CTLSTORE_CLI_IMPORT_ROW_SOURCE_H_
#define CTLSTORE_CLI_IMPORT_ROW_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace ctlstore::cli {

// One value, as text, so that nothing is lost before its type is known.
struct Cell {
  enum class Kind : uint8_t {
    kNull,
    // An empty field of a format that does not tell null from an empty text (CSV): null, except in
    // a key of text.
    kEmpty,
    // "true" or "false".
    kBoolean,
    // A number in JSON's notation, with all the digits that the file has.
    kNumber,
    // Text that the file marks as text.
    kText,
    // An object or an array: its JSON without blanks.
    kJson,
    // Text of a format without types (CSV): it may be meant as a number.
    kUntyped,
  };
  Kind kind = Kind::kNull;
  std::string text;
};

struct SourceRow {
  struct Item {
    // Position in RowSource::columns().
    size_t column = 0;
    Cell cell;
  };

  // Where the row begins, from 1.
  int64_t line = 0;
  // No column twice; columns that the row lacks are null.
  std::vector<Item> items;
  // Not OK where the row itself is wrong, though what follows can be read. Then `items` mean
  // nothing.
  absl::Status status;
};

// A file's rows. Memory is bounded by one row. Not thread-safe.
class RowSource {
 public:
  // No row may take more of the file.
  static constexpr size_t kMaxRowBytes = size_t{4} << 20;
  // More cannot be meant as one table.
  static constexpr size_t kMaxColumns = 1000;

  // `row` is valid during the call only. An error ends the reading and is returned by it.
  using Visitor = absl::FunctionRef<absl::Status(const SourceRow& row)>;

  virtual ~RowSource() = default;

  // Reads the file from its beginning to its end. INVALID_ARGUMENT with "file:line: " in front
  // where the file is not of its format; rows before that have been visited then.
  virtual absl::Status Read(Visitor visit) = 0;

  // The columns' names as the file spells them, in the order in which they came up; complete after
  // Read().
  virtual const std::vector<std::string>& columns() const = 0;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_ROW_SOURCE_H_
