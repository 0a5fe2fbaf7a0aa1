// Reads control data from this host's local database. This is the header that applications include.
//
//   ctlstore::ldb::Reader reader;
//   absl::StatusOr<ctlstore::ldb::Row> row = reader.GetRow("geo", "countries", {"NZ"});
//   if (row.ok() && row->exists()) std::cout << *row->GetText("name") << "\n";
//
//   ctlstore::ldb::RowIterator rows = reader.ListRows("geo", "subdivisions", {"NZ"});
//   while (rows.Next()) std::cout << *rows.row().GetText("name") << "\n";
//   if (!rows.status().ok()) std::cerr << rows.status() << "\n";

#ifndef CTLSTORE_COMMON_LDB_READER_H_
#define CTLSTORE_COMMON_LDB_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// A row, seen in place: columns are not copied. Names and data are valid while the row lives, and
// so is the state of the database that it shows; so let it go soon, or copy what is to stay.
// Belongs to one thread at a time and must not outlive its reader.
class Row {
 public:
  Row(Row&&) noexcept;
  Row& operator=(Row&&) noexcept;
  ~Row();

  // Whether there is such a row. Where not, it has no columns.
  bool exists() const;

  size_t size() const;
  absl::string_view name(size_t column) const;
  // `column` is less than size().
  ValueView value(size_t column) const;

  // The column's value. NOT_FOUND where the table has no such column.
  absl::StatusOr<ValueView> Get(absl::string_view column) const;

  // The same for a known type. FAILED_PRECONDITION where the value is of another, or null.
  absl::StatusOr<absl::string_view> GetText(absl::string_view column) const;
  absl::StatusOr<int64_t> GetInteger(absl::string_view column) const;
  absl::StatusOr<double> GetDecimal(absl::string_view column) const;
  absl::StatusOr<absl::string_view> GetBytes(absl::string_view column) const;

 private:
  friend class Reader;
  friend class RowIterator;
  class State;
  explicit Row(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Rows in key order (by their bytes), all of one state of the database. The rules for Row apply.
class RowIterator {
 public:
  RowIterator(RowIterator&&) noexcept;
  RowIterator& operator=(RowIterator&&) noexcept;
  ~RowIterator();

  // Goes to the first row, or to the next one. False at the end, and when something failed.
  bool Next();

  // Where Next() went; valid until it is called again.
  const Row& row() const;

  // OK, or why Next() returned false.
  const absl::Status& status() const;

 private:
  friend class Reader;
  RowIterator(absl::Status status, Row row);
  absl::Status status_;
  Row row_;
};

// How current a local database is.
struct Position {
  // The last ledger sequence that is applied; 0 before the first.
  int64_t applied_sequence = 0;
  // When the ctldb took that entry.
  absl::optional<absl::Time> applied_entry_time;
  // The last heartbeat that has arrived.
  absl::optional<absl::Time> heartbeat_time;

  // How old the copy is at most: the time from the newest of the two to `now`, never negative.
  absl::optional<absl::Duration> Lag(absl::Time now) const;
};

// Reads one local database. Needs nothing but the file: no server, no network, no lock that the
// reflector holds. Each call sees the newest committed state, which is always the state of the
// system of record after some whole ledger transaction. Thread-safe; any number of processes.
//
// Names are taken in any case. Errors of all calls:
//   UNAVAILABLE (LDB_UNAVAILABLE)      there is no local database (yet), or it cannot be read
//   NOT_FOUND (TABLE_NOT_FOUND)        it has no such table
//   INVALID_ARGUMENT (INVALID_KEY)     a key of the wrong length, or a value of the wrong kind
//   DATA_LOSS                          the file is damaged
class Reader {
 public:
  // The file need not be there yet: calls are UNAVAILABLE until it is.
  explicit Reader(std::string path = DefaultPath());
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The row with this key: a value for each key field, in key order.
  absl::StatusOr<Row> GetRow(absl::string_view family, absl::string_view table,
                             absl::Span<const ValueView> key);

  // The rows whose key begins with these values; all rows for none. At most `limit` rows.
  RowIterator ListRows(absl::string_view family, absl::string_view table,
                       absl::Span<const ValueView> key_prefix, int64_t limit = kNoLimit);
  static constexpr int64_t kNoLimit = -1;

  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table);

  absl::StatusOr<Position> GetPosition();

  // Returns once everything up to `sequence` is applied, as a Mutate's answer names it.
  // DEADLINE_EXCEEDED where it is not by `deadline`.
  absl::Status WaitForSequence(int64_t sequence, absl::Time deadline);

  const std::string& path() const;

  // `ldb.db` in the folder named by the environment variable CTLSTORE_PATH, or in
  // /var/spool/ctlstore.
  static std::string DefaultPath();

 private:
  class Connections;
  const std::unique_ptr<Connections> connections_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_H_
