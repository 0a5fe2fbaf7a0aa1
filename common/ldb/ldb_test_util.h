// What the tests of the local database have in common.

#ifndef CTLSTORE_COMMON_LDB_LDB_TEST_UTIL_H_
#define CTLSTORE_COMMON_LDB_LDB_TEST_UTIL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/value.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {

// A folder of the test's own, removed with all that is in it at the end.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string Path(absl::string_view name) const;

 private:
  std::string path_;
};

// Numbers statements in ledger order.
class TestLedger {
 public:
  // Each of these returns the entry's sequence.
  int64_t Add(std::string statement);
  int64_t Begin() { return Add(kBeginMarker); }
  int64_t Commit() { return Add(kCommitMarker); }

  const std::vector<LedgerEntry>& entries() const { return entries_; }
  // The entries after `sequence`, at most `count` of them.
  absl::Span<const LedgerEntry> After(int64_t sequence, size_t count = 1000000) const;
  // What was added since the last call.
  std::vector<LedgerEntry> Take();

 private:
  std::vector<LedgerEntry> entries_;
  size_t taken_ = 0;
};

// A writer that must open.
std::unique_ptr<LdbWriter> OpenWriter(const std::string& path,
                                      const LdbWriter::Options& options = LdbWriter::Options());

// A plain connection to a file that must be there, or to a new one.
std::unique_ptr<sqlite::Database> OpenPlain(const std::string& path, bool read_only = true);

using Rows = std::vector<std::vector<Value>>;

// All rows of a query that must succeed.
Rows Query(sqlite::Database* database, const std::string& sql);
Rows QueryFile(const std::string& path, const std::string& sql);

// Every row of every table, with the tables' names; without the local database's own tables.
Rows Contents(sqlite::Database* database);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_TEST_UTIL_H_
