// The rows of a CSV file with a header.

#ifndef CTLSTORE_CLI_IMPORT_CSV_ROWS_H_
#define CTLSTORE_CLI_IMPORT_CSV_ROWS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/import/row_source.h"
#include "cli/import/source_file.h"

namespace ctlstore::cli {

// Takes CSV as RFC 4180 has it, with any kind of line end and with or without a byte order mark:
// fields that hold a quote, a delimiter or a line end are in quotes, quotes in them are doubled.
// Blanks belong to the fields. Empty lines are passed over. The first record names the columns.
class CsvRows : public RowSource {
 public:
  struct Options {
    char delimiter = ',';
    // Fields that are this text are null. Where it is empty, fields with nothing between the
    // delimiters are Cell::Kind::kEmpty, and "" is an empty text.
    std::string null_text;
  };

  // The file must outlive this.
  CsvRows(SourceFile* file, Options options) : file_(file), options_(std::move(options)) {}

  // A record with another number of fields than the header is a bad row.
  absl::Status Read(Visitor visit) override;
  const std::vector<std::string>& columns() const override { return columns_; }

 private:
  SourceFile* const file_;
  const Options options_;
  std::vector<std::string> columns_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_CSV_ROWS_H_
