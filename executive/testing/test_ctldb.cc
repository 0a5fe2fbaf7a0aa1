#include "executive/testing/test_ctldb.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <system_error>

#include "common/ctldb/own_tables.h"
#include "common/ctldb/testing/mariadb_server.h"

namespace ctlstore::executive {
namespace {

// Ends with the process.
ctldb::testing::MariadbServer* Server() {
  static const std::unique_ptr<ctldb::testing::MariadbServer> server = [] {
    absl::StatusOr<std::unique_ptr<ctldb::testing::MariadbServer>> started =
        ctldb::testing::MariadbServer::Start();
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? *std::move(started) : nullptr;
  }();
  return server.get();
}

}  // namespace

TestCtldb::TestCtldb(Kind kind) {
  options_.lock_timeout = absl::Seconds(2);
  if (kind == Kind::kMariadb) {
    ctldb::testing::MariadbServer* const server = Server();
    if (server == nullptr) return;
    target_ = server->NewDatabase();
  } else {
    folder_ = testing::TempDir() + "/ctldb_XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    target_.kind = Kind::kSqlite;
    target_.path = folder_ + "/ctldb.db";
  }
  const std::unique_ptr<ctldb::Connection> connection = Connect();
  if (connection == nullptr) return;
  const absl::Status ensured = ctldb::EnsureOwnTables(connection.get());
  EXPECT_TRUE(ensured.ok()) << ensured;
}

TestCtldb::~TestCtldb() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::unique_ptr<ctldb::Connection> TestCtldb::Connect() const {
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(target_, options_);
  EXPECT_TRUE(connection.ok()) << connection.status();
  return connection.ok() ? *std::move(connection) : nullptr;
}

std::string KindName(TestCtldb::Kind kind) {
  return kind == TestCtldb::Kind::kMariadb ? "Mariadb" : "Sqlite";
}

}  // namespace ctlstore::executive
