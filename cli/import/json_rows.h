// The rows of a JSON file.

#ifndef CTLSTORE_CLI_IMPORT_JSON_ROWS_H_
#define CTLSTORE_CLI_IMPORT_JSON_ROWS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/import/row_source.h"
#include "cli/import/source_file.h"

namespace ctlstore::cli {

// Takes an array of objects, each of them a row, or an object with such an array as a member, as
// Debian's iso-codes have it. The file is parsed as it is read, and checked as a whole: what
// follows the array must be JSON as well. Numbers keep all their digits.
class JsonRows : public RowSource {
 public:
  // `member` names the array to take where the file is an object; empty takes the only array that
  // is a member. The file must outlive this.
  JsonRows(SourceFile* file, std::string member) : file_(file), member_(std::move(member)) {}

  absl::Status Read(Visitor visit) override;
  const std::vector<std::string>& columns() const override { return columns_; }

 private:
  SourceFile* const file_;
  const std::string member_;
  std::vector<std::string> columns_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_JSON_ROWS_H_
