// The limits on tables' sizes and on writers' rates that a ctldb holds, for all executives.

#ifndef CTLSTORE_COMMON_CTLDB_LIMITS_H_
#define CTLSTORE_COMMON_CTLDB_LIMITS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/schema/names.h"

namespace ctlstore::ctldb {

// In bytes.
struct TableSizeLimit {
  int64_t warn_bytes = 0;
  int64_t max_bytes = 0;
  friend bool operator==(const TableSizeLimit& a, const TableSizeLimit& b) {
    return a.warn_bytes == b.warn_bytes && a.max_bytes == b.max_bytes;
  }
};

struct TableLimit {
  TableName table;
  TableSizeLimit limit;
};

struct WriterLimit {
  std::string writer;
  int64_t rows_per_minute = 0;
};

// By name.
absl::StatusOr<std::vector<TableLimit>> ListTableLimits(Connection* connection);
absl::Status SetTableLimit(Connection* connection, const TableLimit& limit);
// NOT_FOUND (LIMIT_NOT_FOUND).
absl::Status DeleteTableLimit(Connection* connection, const TableName& table);

// By name.
absl::StatusOr<std::vector<WriterLimit>> ListWriterLimits(Connection* connection);
absl::Status SetWriterLimit(Connection* connection, const WriterLimit& limit);
// NOT_FOUND (LIMIT_NOT_FOUND).
absl::Status DeleteWriterLimit(Connection* connection, absl::string_view writer);

// How many rows writers have changed in the period that began at `bucket`, in seconds since 1970.
// To be used in a LedgerTransaction, whose lock keeps executives from counting at the same time.
// Writers that have changed none are left out.
absl::StatusOr<absl::flat_hash_map<std::string, int64_t>> ReadWriterUsage(
    Connection* connection, int64_t bucket, absl::Span<const std::string> writers);
absl::Status AddWriterUsage(Connection* connection, int64_t bucket, absl::string_view writer,
                            int64_t rows);
// Forgets periods that began before `bucket`, at most a few hundred of them in one call.
absl::Status DeleteOldWriterUsage(Connection* connection, int64_t bucket);

// How much space each family's table takes, in bytes, indexes included. On MariaDB and MySQL as the
// server's statistics have it, on SQLite counted page by page. May take long, and waits for nobody.
absl::StatusOr<absl::flat_hash_map<TableName, int64_t>> MeasureTableSizes(Connection* connection);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_LIMITS_H_
