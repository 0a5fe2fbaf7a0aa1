// One connection of a reader: what it knows of the tables, and its prepared statements.

#ifndef CTLSTORE_COMMON_LDB_READER_CONNECTION_H_
#define CTLSTORE_COMMON_LDB_READER_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/reader.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// A read-only connection to one local database. It is always right about the schema, although that
// changes under it: a statement that SQLite had to prepare again, or that failed, is not trusted;
// the table is then described anew in the same read transaction in which the statement runs.
//
// Errors are those of Reader. After one that is not the caller's mistake (IsCallersMistake) the
// connection is not to be used again. Not thread-safe.
class ReaderConnection {
 public:
  struct Column {
    std::string name;
    // Not set for a type that no field has.
    absl::optional<FieldType> type;

    friend bool operator==(const Column& a, const Column& b) {
      return a.name == b.name && a.type == b.type;
    }
  };

  struct Table {
    TableName name;
    std::vector<Column> columns;
    // Positions in `columns`, in key order.
    std::vector<size_t> key;
    // By the number of key values: the rows whose key begins with so many. Null until it is needed.
    std::vector<std::unique_ptr<sqlite::Statement>> selects;
  };

  // A select under way. Ends with End(); until then the connection is used for nothing else.
  struct Cursor {
    const Table* table = nullptr;
    sqlite::Statement* statement = nullptr;
    // Whether the statement stands on a row.
    bool has_row = false;
    // Whether a transaction is open besides the statement's own.
    bool in_transaction = false;
  };

  static absl::StatusOr<std::unique_ptr<ReaderConnection>> Open(const std::string& path);

  // The file that this connection reads.
  const FileIdentity& identity() const { return identity_; }

  // Begins to read the rows whose key begins with `key`, in key order, and goes to the first one.
  // Where `whole_key`, a value for each key field is required. What `key` shows must stay until
  // End(); where the row of a whole key is read, only until this returns.
  absl::StatusOr<Cursor> Select(absl::string_view family, absl::string_view table,
                                absl::Span<const ValueView> key, bool whole_key);
  // Goes on to the next row.
  absl::Status Next(Cursor* cursor);
  void End(const Cursor& cursor);

  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table);

  absl::StatusOr<Position> GetPosition();
  absl::StatusOr<int64_t> GetSequence();

 private:
  ReaderConnection(std::unique_ptr<sqlite::Database> database, FileIdentity identity)
      : database_(std::move(database)), identity_(identity) {}

  // The table as it was last seen, or null.
  Table* Known(absl::string_view family, absl::string_view table);

  // Begins a transaction in which SQLite's own idea of the schema is that of the file.
  absl::Status Begin();
  void Commit();

  // Reads the table's description. To be called in a transaction that Begin() began.
  absl::StatusOr<Table*> Describe(const TableName& name);

  absl::StatusOr<Cursor> SelectInTransaction(const TableName& name, absl::Span<const ValueView> key,
                                             bool whole_key);
  absl::Status BindAndStep(Cursor* cursor, absl::Span<const ValueView> key);

  // The statement with this text, kept in `*statement`.
  absl::Status Prepared(const char* sql, std::unique_ptr<sqlite::Statement>* statement);

  const std::unique_ptr<sqlite::Database> database_;
  const FileIdentity identity_;
  std::unique_ptr<sqlite::Statement> begin_;
  std::unique_ptr<sqlite::Statement> commit_;
  std::unique_ptr<sqlite::Statement> check_schema_;
  std::unique_ptr<sqlite::Statement> describe_;
  std::unique_ptr<sqlite::Statement> sequence_;
  std::unique_ptr<sqlite::Statement> last_update_;
  std::unique_ptr<sqlite::Statement> heartbeat_;
  // By the table's name in the database.
  absl::flat_hash_map<std::string, std::unique_ptr<Table>> tables_;
};

// Whether the error is about what the caller asked for, and says nothing about the file.
bool IsCallersMistake(const absl::Status& status);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_CONNECTION_H_
