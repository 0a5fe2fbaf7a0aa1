// A ctldb for one test: a SQLite file, or a database on a MariaDB server of the test's own.

#ifndef CTLSTORE_EXECUTIVE_TESTING_TEST_CTLDB_H_
#define CTLSTORE_EXECUTIVE_TESTING_TEST_CTLDB_H_

#include <memory>
#include <ostream>
#include <string>

#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"

namespace ctlstore::executive {

// Not thread-safe, but any number of connections may be used at the same time. Ends the process
// where the database cannot be had: no test can go on without it.
class TestCtldb {
 public:
  using Kind = ctldb::Target::Kind;

  // Empty, but for the ctldb's own tables. The MariaDB server is started at its first use and
  // serves all tests of the process.
  explicit TestCtldb(Kind kind);
  ~TestCtldb();
  TestCtldb(const TestCtldb&) = delete;
  TestCtldb& operator=(const TestCtldb&) = delete;

  const ctldb::Target& target() const { return target_; }
  // Waits for locks a short time only.
  const ctldb::ConnectionOptions& options() const { return options_; }

  std::unique_ptr<ctldb::Connection> Connect() const;

 private:
  ctldb::Target target_;
  ctldb::ConnectionOptions options_;
  std::string folder_;
};

// For the names of parameterized tests.
std::string KindName(TestCtldb::Kind kind);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_TEST_CTLDB_H_
