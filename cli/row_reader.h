// Where the reading commands get their rows from.

#ifndef CTLSTORE_CLI_ROW_READER_H_
#define CTLSTORE_CLI_ROW_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/schema/names.h"
#include "common/schema/value.h"

namespace ctlstore::cli {

struct NamedValue {
  std::string name;
  Value value;
};
using NamedValues = std::vector<NamedValue>;

// How current a copy is.
struct CopyStatus {
  int64_t applied_sequence = 0;
  absl::optional<absl::Time> applied_entry_time;
  absl::optional<absl::Time> heartbeat_time;
  absl::optional<absl::Duration> lag;
  // Of the sidecar that was asked; empty for a file.
  std::string instance;
  std::string ldb_path;
};

// Reads a host's copy, from the file or through a sidecar. Keys are given as people type them
// (value_text.h). Errors are those of ldb::Reader or of the Sidecar API. Not thread-safe.
class RowReader {
 public:
  using Visitor = absl::FunctionRef<absl::Status(const NamedValues& row)>;

  virtual ~RowReader() = default;

  // nullopt where there is no such row.
  virtual absl::StatusOr<absl::optional<NamedValues>> Get(const TableName& name,
                                                          const std::vector<std::string>& key) = 0;

  // At most `limit` rows, or as many as the reader allows for 0. Returns whether there are more.
  virtual absl::StatusOr<bool> List(const TableName& name,
                                    const std::vector<std::string>& key_prefix, int64_t limit,
                                    Visitor visit) = 0;

  virtual absl::StatusOr<CopyStatus> GetStatus() = 0;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_ROW_READER_H_
