// Rows from a local database file.

#ifndef CTLSTORE_CLI_LDB_ROW_READER_H_
#define CTLSTORE_CLI_LDB_ROW_READER_H_

#include <string>
#include <vector>

#include "cli/row_reader.h"
#include "common/ldb/reader.h"

namespace ctlstore::cli {

// Key arguments become values by the table's definition.
class LdbRowReader : public RowReader {
 public:
  explicit LdbRowReader(std::string path) : reader_(std::move(path)) {}

  absl::StatusOr<absl::optional<NamedValues>> Get(const TableName& name,
                                                  const std::vector<std::string>& key) override;
  absl::StatusOr<bool> List(const TableName& name, const std::vector<std::string>& key_prefix,
                            int64_t limit, Visitor visit) override;
  absl::StatusOr<CopyStatus> GetStatus() override;

 private:
  absl::StatusOr<std::vector<Value>> ParseKey(const TableName& name,
                                              const std::vector<std::string>& key);

  ldb::Reader reader_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_LDB_ROW_READER_H_
