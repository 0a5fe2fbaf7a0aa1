// What tests of a ctldb begin with: a fresh one, of either kind.

#ifndef CTLSTORE_COMMON_CTLDB_TESTING_CTLDB_TEST_BASE_H_
#define CTLSTORE_COMMON_CTLDB_TESTING_CTLDB_TEST_BASE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/target.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ctldb::testing {

// The MariaDB server that all tests of this process share; started by the first call and ended
// after the last test. Ends the process where it cannot be started.
MariadbServer* SharedMariadbServer();

// A ctldb of this kind that nothing was done to yet.
Target NewTarget(Target::Kind kind);

// A connection that must open.
std::unique_ptr<Connection> MustOpen(const Target& target, const ConnectionOptions& options = {});

using Rows = std::vector<std::vector<Value>>;

// All rows of a query that must succeed.
Rows MustQuery(Connection* connection, absl::string_view sql,
               absl::Span<const ValueView> parameters = {});

// A valid definition, or the end of the process.
TableSchema MustSchema(absl::string_view family, absl::string_view table, std::vector<Field> fields,
                       const std::vector<std::string>& key_fields);

// For each test a fresh ctldb of the kind that is the parameter.
class CtldbTest : public ::testing::TestWithParam<Target::Kind> {
 protected:
  CtldbTest() : target_(NewTarget(GetParam())) {}

  bool is_mariadb() const { return GetParam() == Target::Kind::kMariadb; }
  // A connection to it; the first call for OpenReady() also makes the ctldb's own tables.
  std::unique_ptr<Connection> Open() { return MustOpen(target_, options_); }
  std::unique_ptr<Connection> OpenReady();
  std::unique_ptr<ConnectionPool> NewPool(size_t max_connections);

  const Target target_;
  ConnectionOptions options_;
};

// Instantiates a CtldbTest for both kinds.
#define CTLSTORE_FOR_BOTH_KINDS(test_class)                                                    \
  INSTANTIATE_TEST_SUITE_P(                                                                    \
      BothKinds, test_class,                                                                   \
      ::testing::Values(::ctlstore::ctldb::Target::Kind::kMariadb,                             \
                        ::ctlstore::ctldb::Target::Kind::kSqlite),                             \
      [](const ::testing::TestParamInfo<::ctlstore::ctldb::Target::Kind>& info) {              \
        return info.param == ::ctlstore::ctldb::Target::Kind::kMariadb ? "Mariadb" : "Sqlite"; \
      })

}  // namespace ctlstore::ctldb::testing

#endif  // CTLSTORE_COMMON_CTLDB_TESTING_CTLDB_TEST_BASE_H_
