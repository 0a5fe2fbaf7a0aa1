// Where the SQL of MariaDB, MySQL and SQLite differs.

#ifndef CTLSTORE_COMMON_CTLDB_DIALECT_H_
#define CTLSTORE_COMMON_CTLDB_DIALECT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/schema/table_schema.h"

namespace ctlstore::ctldb {

// Immutable, thread-safe; belongs to its connection.
class Dialect {
 public:
  virtual ~Dialect() = default;

  // Whether CREATE and ALTER TABLE take part in a transaction and can be rolled back (SQLite), or
  // commit by themselves (MariaDB, MySQL).
  virtual bool transactional_ddl() const = 0;

  // The statements that create the ctldb's own tables where they are missing, safe to run again and
  // by several executives at once.
  virtual std::vector<std::string> OwnTables() const = 0;

  // A query that takes the DDL lock, of which there is one for each database: it shows 1 where the
  // lock was had within the connection's lock timeout. The lock belongs to the connection, goes
  // with it, and is neither taken nor given by transactions, so that its holder knows that no other
  // holder's DDL is still under way. The second query gives it back. Empty where DDL is
  // transactional.
  virtual std::string TakeDdlLock() const = 0;
  virtual std::string GiveDdlLock() const = 0;

  // The same for the prune lock, but for not waiting. Empty where that is not a lock of the
  // database's.
  virtual std::string TakePruneLock() const = 0;
  virtual std::string GivePruneLock() const = 0;

  // A statement after which the connection's next transaction locks the rows that it changes, and
  // not the gaps between them, where others insert. Empty where a transaction locks everything.
  virtual absl::string_view LockOnlyRows() const = 0;

  // A family's table, with keys that compare by their bytes.
  virtual std::string CreateTable(const TableSchema& schema) const = 0;

  // One statement that adds all of the fields.
  virtual std::vector<std::string> AddFields(const TableName& table,
                                             absl::Span<const Field> fields) const = 0;

  // Which tables a query is about. Databases find one by its name much faster than by a pattern.
  enum class Match {
    kName,
    // LIKE, with '!' as the pattern's escape character.
    kPattern,
  };

  // A query for (table name, column name, column type, position in key from 1 or 0), ordered by
  // table and column position. The position is -1 where the table was changed while the query ran.
  // Its two parameters are both the name, or both the pattern. Where the database compares names
  // without case, more tables than asked for may come.
  virtual std::string ColumnsQuery(Match match) const = 0;

  // The field type of a column type as that query shows it; NOT_FOUND where no field type has it.
  virtual absl::StatusOr<FieldType> TypeOfColumn(absl::string_view column_type) const = 0;

  // INSERT that does nothing where the key is there already: the words before INTO.
  virtual absl::string_view InsertIgnore() const = 0;

  // What follows a SELECT that locks its rows until the end of the transaction. Empty where a
  // transaction that writes has locked everything anyway.
  virtual absl::string_view ForUpdate() const = 0;

  // What follows an INSERT of rows that, where their key (columns in a list) is there already, add
  // `column` to the row that is.
  virtual std::string OnDuplicateAdd(absl::string_view key, absl::string_view column) const = 0;

  // A query for (table name, size in bytes with all indexes) of every table that may be a family's.
  virtual absl::string_view TableSizesQuery() const = 0;

  // A statement that makes that query's figures as new as they can be had, for the connection's
  // later queries too. Empty where none is needed.
  virtual absl::string_view FreshTableSizes() const = 0;
};

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_DIALECT_H_
