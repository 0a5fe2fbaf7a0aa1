// One connection of a reader: the state of the database that it reads, what it knows of the tables,
// and its prepared statements.

#ifndef CTLSTORE_COMMON_LDB_READER_CONNECTION_H_
#define CTLSTORE_COMMON_LDB_READER_CONNECTION_H_

#include <atomic>
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
#include "common/ldb/change_history.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/freshness_page.h"
#include "common/ldb/reader.h"
#include "common/ldb/row_data.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// A read-only connection to one local database.
//
// What is read stands between BeginRead() and EndRead(). Most of the cost of a small read is to
// begin and end SQLite's read transaction; so the transaction stays open behind EndRead() where the
// freshness page can tell whether its state is still the newest, and the next read uses it again.
// Until LetGo() it keeps the reflector from emptying the WAL.
//
// It is always right about the schema, although that changes under it: a statement that SQLite had
// to prepare again, or that failed, is not trusted; the table is then described anew in the same
// read transaction in which the statement runs.
//
// Errors are those of Reader. After one that is not the caller's mistake (IsCallersMistake) the
// connection is not to be used again. Used by one thread at a time.
class ReaderConnection {
 public:
  // Rows whose key begins with some values, in key order. Stands on the first one at first.
  class Select {
   private:
    friend class ReaderConnection;
    std::shared_ptr<const TableShape> shape_;
    std::unique_ptr<sqlite::Statement> statement_;
    // Whose statement it is.
    size_t place_ = 0;
    // What the statement's parameters show.
    std::vector<Value> parameters_;
    bool begun_ = false;
    bool has_row_ = false;
  };

  // `open_connections` counts those that are open, and outlives them.
  static absl::StatusOr<std::unique_ptr<ReaderConnection>> Open(
      const std::string& path, size_t page_cache_bytes, std::atomic<int64_t>* open_connections);
  ~ReaderConnection();
  ReaderConnection(const ReaderConnection&) = delete;
  ReaderConnection& operator=(const ReaderConnection&) = delete;

  // The file that this connection reads.
  const FileIdentity& identity() const { return identity_; }

  // Which source of the reader it belongs to; for the reader to set.
  uint64_t source_id() const { return source_id_; }
  void set_source_id(uint64_t id) { source_id_ = id; }

  // What is read from now on is the newest state, or a newer one. Returns the even epoch of `page`
  // at which that state is the newest one, or 0 where that cannot be told, also for a null page.
  // Until EndRead() all is read from one state where the result is not 0 or `one_state` is set;
  // otherwise each read sees the newest.
  absl::StatusOr<uint64_t> BeginRead(const FreshnessPageView* page, bool one_state);
  void EndRead();

  // The epoch whose state is held behind EndRead(); 0 where none is.
  uint64_t held_epoch() const { return in_transaction_ ? held_epoch_ : 0; }
  // Ends the transaction. Not between BeginRead() and EndRead().
  void LetGo();

  // The row with this whole key.
  absl::StatusOr<RowData::Ptr> ReadRow(absl::string_view family, absl::string_view table,
                                       absl::Span<const ValueView> key);

  // The rows whose key begins with `key_prefix`, and where `after` is not empty only those behind
  // that key. Needs one state; ends before that does, with EndSelect() or by being destroyed.
  absl::StatusOr<std::unique_ptr<Select>> BeginSelect(absl::string_view family,
                                                      absl::string_view table,
                                                      absl::Span<const ValueView> key_prefix,
                                                      absl::Span<const ValueView> after);
  // The next row; null behind the last one.
  absl::StatusOr<RowData::Ptr> Next(Select* select);
  // Keeps the statement for the next select of this kind.
  void EndSelect(std::unique_ptr<Select> select);

  absl::StatusOr<TableSchema> GetTable(absl::string_view family, absl::string_view table);
  // Sorted. Tables that are none of ours are left out.
  absl::StatusOr<std::vector<TableSchema>> ListTables();

  absl::StatusOr<Position> GetPosition();
  absl::StatusOr<int64_t> GetSequence();
  // The local database's own identity; empty where it has none.
  absl::StatusOr<std::string> GetIdentity();

  absl::StatusOr<absl::optional<int64_t>> ChangesBegin();
  absl::StatusOr<std::vector<ChangeEvent>> ReadChanges(int64_t sequence, size_t max_changes,
                                                       int64_t* reached);

 private:
  // What is known of a table, and the statements that read it.
  struct Table {
    std::shared_ptr<const TableShape> shape;
    // Reads the row of a whole key. Null until it is needed.
    std::unique_ptr<sqlite::Statement> row;
    // By PlaceOf(). Null until needed, and while a select has it.
    std::vector<std::unique_ptr<sqlite::Statement>> selects;
  };

  ReaderConnection(std::unique_ptr<sqlite::Database> database, FileIdentity identity,
                   std::atomic<int64_t>* open_connections);

  static size_t PlaceOf(size_t prefix_size, bool after) {
    return prefix_size * 2 + (after ? 1 : 0);
  }

  // The table as it was last seen, or null.
  Table* Known(absl::string_view family, absl::string_view table);

  // Begins a transaction in which SQLite's own idea of the schema is that of the file.
  absl::Status Begin();
  void Commit();
  // Calls `read` in a transaction: the one that is open, or one of its own.
  template <typename Read>
  auto InTransaction(Read read) -> decltype(read());

  // Reads the table's description, in a transaction.
  absl::StatusOr<Table*> Describe(const TableName& name);
  absl::StatusOr<TableSchema> SchemaOf(const TableName& name);

  absl::StatusOr<RowData::Ptr> DescribeAndReadRow(const TableName& name,
                                                  absl::Span<const ValueView> key);
  absl::StatusOr<std::unique_ptr<Select>> DescribeAndSelect(const TableName& name,
                                                            absl::Span<const ValueView> key_prefix,
                                                            absl::Span<const ValueView> after);
  absl::StatusOr<std::unique_ptr<Select>> Start(Table* table,
                                                absl::Span<const ValueView> key_prefix,
                                                absl::Span<const ValueView> after);

  // The statement with this text, kept in `*statement`.
  absl::Status Prepared(const char* sql, std::unique_ptr<sqlite::Statement>* statement);
  absl::StatusOr<int64_t> ReadSequence();
  absl::StatusOr<Position> ReadPosition();

  const std::unique_ptr<sqlite::Database> database_;
  const FileIdentity identity_;
  std::atomic<int64_t>* const open_connections_;
  ChangeHistoryReader changes_;
  uint64_t source_id_ = 0;
  bool in_transaction_ = false;
  // The epoch at which the transaction's state is the newest; 0 where that is not known.
  uint64_t held_epoch_ = 0;
  std::unique_ptr<sqlite::Statement> begin_;
  std::unique_ptr<sqlite::Statement> commit_;
  std::unique_ptr<sqlite::Statement> check_schema_;
  std::unique_ptr<sqlite::Statement> describe_;
  std::unique_ptr<sqlite::Statement> list_tables_;
  std::unique_ptr<sqlite::Statement> sequence_;
  std::unique_ptr<sqlite::Statement> last_update_;
  std::unique_ptr<sqlite::Statement> heartbeat_;
  std::unique_ptr<sqlite::Statement> state_;
  // By the table's name in the database.
  absl::flat_hash_map<std::string, std::unique_ptr<Table>> tables_;
};

// Whether a key's text is stored as bytes: those who let a NUL in it through do so, as the Go
// ctlstore does.
bool IsStoredAsBytes(const ValueView& key_value);

// Whether the error is about what the caller asked for, and says nothing about the file.
bool IsCallersMistake(const absl::Status& status);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_CONNECTION_H_
