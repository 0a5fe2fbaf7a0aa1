// What tests of the comparison begin with: a ctldb, its ledger, and a local database that is made
// of it.

#ifndef CTLSTORE_CLI_VERIFY_VERIFIER_TEST_BASE_H_
#define CTLSTORE_CLI_VERIFY_VERIFIER_TEST_BASE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/verify/verifier.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/schema_changer.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {

// A point in time that no test reaches, unless something hangs.
absl::Time Late();

using TableRow = std::vector<Value>;

// Writes a ctldb as an executive does. Each thread uses one of its own.
class TestExecutive {
 public:
  explicit TestExecutive(std::unique_ptr<ctldb::ConnectionPool> pool);

  ctldb::SchemaChanger& changer() { return changer_; }

  // The family is made where it is missing.
  void Create(const TableSchema& schema);

  // One ledger transaction. False where a schema change is under way: nothing was written then.
  bool Write(const TableSchema& schema, const std::vector<TableRow>& upserts,
             const std::vector<TableRow>& deleted_keys = {});
  void Clear(const TableName& name);
  void Drop(const TableName& name);
  void AddField(const TableName& name, const Field& field);

 private:
  const std::unique_ptr<ctldb::ConnectionPool> pool_;
  ctldb::SchemaChanger changer_;
};

// Applies a ctldb's ledger to a local database, as a reflector does.
class TestReflector {
 public:
  TestReflector(std::unique_ptr<ctldb::Connection> connection, const std::string& ldb_path);

  // Applies the next entries, at most so many; returns how many there were.
  size_t Apply(size_t max_entries);
  void CatchUp();
  // Moves the WAL into the file.
  void Checkpoint();

 private:
  const std::unique_ptr<ctldb::Connection> connection_;
  std::unique_ptr<ldb::LdbWriter> writer_;
};

class VerifierTest : public ctldb::testing::CtldbTest {
 protected:
  VerifierTest();
  ~VerifierTest() override;

  std::unique_ptr<TestExecutive> NewExecutive(int connections = 3) {
    return std::make_unique<TestExecutive>(NewPool(connections));
  }
  std::unique_ptr<TestReflector> NewReflector() {
    return std::make_unique<TestReflector>(Open(), ldb_path_);
  }

  // Brings the LDB up to the ledger's end. Nobody has it open afterwards, and the WAL is empty.
  void Reflect();

  // Runs SQL past everything on the LDB, or on the ctldb.
  void InLdb(absl::string_view sql, const std::vector<Value>& parameters = {});
  void InCtldb(absl::string_view sql, const std::vector<Value>& parameters = {});

  Verifier::Options VerifierOptions() const;
  // The options without waiting for what will not come.
  Verifier::Options HastyOptions() const;
  static absl::StatusOr<Report> Run(const Verifier::Options& options);
  // A run that must succeed, in hasty options.
  Report Verify() const;
  static const TableReport& TableOf(const Report& report, absl::string_view name);

  const std::string folder_;
  const std::string ldb_path_;
  const std::unique_ptr<ctldb::Connection> connection_;
  const std::unique_ptr<TestExecutive> executive_;
};

// A line for each thing that was found, in order: "table: what".
std::vector<std::string> Findings(const Report& report);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_VERIFIER_TEST_BASE_H_
