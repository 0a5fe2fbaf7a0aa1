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

struct WriterRows {
  absl::string_view writer;
  int64_t rows = 0;
};

// By name. Rows whose names no table can have are left out: they limit nothing.
absl::StatusOr<std::vector<TableLimit>> ListTableLimits(Connection* connection);
absl::Status SetTableLimit(Connection* connection, const TableLimit& limit);
// NOT_FOUND (LIMIT_NOT_FOUND).
absl::Status DeleteTableLimit(Connection* connection, const TableName& table);

// Writers' names are compared by their bytes. A table that another program has made may hold only
// one of several names that differ in case, accents or trailing blanks: ALREADY_EXISTS
// (WRITER_DIFFERS) where SetWriterLimit() would need a second one, and all of them share a usage.

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
// Adds to what is there.
absl::Status AddWriterUsage(Connection* connection, int64_t bucket,
                            absl::Span<const WriterRows> usage);
// Forgets what writers have changed in periods that began before `bucket`: at most a few hundred
// counts in one call, in a transaction of its own. Returns how many. Locks nothing that newer
// counts need.
absl::StatusOr<int64_t> DeleteOldWriterUsage(Connection* connection, int64_t bucket);

// How much space each family's table takes, in bytes, indexes included. May take long, and waits
// for nobody; nobody waits for it.
//
// On SQLite counted page by page. On MariaDB and MySQL as InnoDB's persistent statistics have it,
// which need no privileges: it counts a table again in the background some ten seconds after a
// tenth of its rows have changed, so a size can be off by as much, and never changes where the
// server has innodb_stats_auto_recalc=OFF.
absl::StatusOr<absl::flat_hash_map<TableName, int64_t>> MeasureTableSizes(Connection* connection);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_LIMITS_H_
