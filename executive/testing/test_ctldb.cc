#include "executive/testing/test_ctldb.h"

#include <glog/logging.h>
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
  static const absl::StatusOr<std::unique_ptr<ctldb::testing::MariadbServer>> server =
      ctldb::testing::MariadbServer::Start();
  CHECK(server.ok()) << server.status();
  return server->get();
}

}  // namespace

TestCtldb::TestCtldb(Kind kind) {
  options_.lock_timeout = absl::Seconds(2);
  if (kind == Kind::kMariadb) {
    target_ = Server()->NewDatabase();
  } else {
    folder_ = testing::TempDir() + "/ctldb_XXXXXX";
    CHECK(mkdtemp(folder_.data()) != nullptr) << folder_;
    target_.kind = Kind::kSqlite;
    target_.path = folder_ + "/ctldb.db";
  }
  const absl::Status ensured = ctldb::EnsureOwnTables(Connect().get());
  CHECK(ensured.ok()) << ensured;
}

TestCtldb::~TestCtldb() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::unique_ptr<ctldb::Connection> TestCtldb::Connect() const {
  absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
      ctldb::Connection::Open(target_, options_);
  CHECK(connection.ok()) << connection.status();
  return *std::move(connection);
}

std::string KindName(TestCtldb::Kind kind) {
  return kind == TestCtldb::Kind::kMariadb ? "Mariadb" : "Sqlite";
}

}  // namespace ctlstore::executive
