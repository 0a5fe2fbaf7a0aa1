#include "common/ctldb/testing/ctldb_test_base.h"

#include <glog/logging.h>
#include <stdlib.h>

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/ctldb/own_tables.h"

namespace ctlstore::ctldb::testing {
namespace {

// Owns the server, so that it ends with the tests and not with the process's last static objects.
class ServerEnvironment : public ::testing::Environment {
 public:
  void TearDown() override { server_.reset(); }

  MariadbServer* server() {
    if (server_ == nullptr) {
      absl::StatusOr<std::unique_ptr<MariadbServer>> started = MariadbServer::Start();
      CHECK(started.ok()) << started.status();
      server_ = *std::move(started);
    }
    return server_.get();
  }

 private:
  std::unique_ptr<MariadbServer> server_;
};

ServerEnvironment* const environment =
    static_cast<ServerEnvironment*>(::testing::AddGlobalTestEnvironment(new ServerEnvironment));

}  // namespace

MariadbServer* SharedMariadbServer() { return environment->server(); }

Target NewTarget(Target::Kind kind) {
  if (kind == Target::Kind::kMariadb) return SharedMariadbServer()->NewDatabase();
  static std::atomic<int> counter{0};
  static const std::string* const folder = [] {
    std::string pattern = ::testing::TempDir() + "/ctldb-XXXXXX";
    CHECK(mkdtemp(pattern.data()) != nullptr) << "cannot make a folder like " << pattern;
    return new std::string(pattern);
  }();
  Target target;
  target.kind = Target::Kind::kSqlite;
  target.path = absl::StrCat(*folder, "/", ++counter, "/ctldb.db");
  return target;
}

std::unique_ptr<Connection> MustOpen(const Target& target, const ConnectionOptions& options) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(target, options);
  CHECK(connection.ok()) << connection.status();
  return *std::move(connection);
}

Rows MustQuery(Connection* connection, absl::string_view sql,
               absl::Span<const ValueView> parameters) {
  Rows rows;
  absl::Status status =
      connection->Query(sql, parameters, [&rows](absl::Span<const ValueView> row) {
        rows.emplace_back();
        for (const ValueView& value : row) rows.back().push_back(Value(value));
        return absl::OkStatus();
      });
  CHECK(status.ok()) << sql << ": " << status;
  return rows;
}

TableSchema MustSchema(absl::string_view family, absl::string_view table, std::vector<Field> fields,
                       const std::vector<std::string>& key_fields) {
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(family, table, std::move(fields), key_fields);
  CHECK(schema.ok()) << schema.status();
  return *std::move(schema);
}

std::unique_ptr<Connection> CtldbTest::OpenReady() {
  std::unique_ptr<Connection> connection = Open();
  absl::Status status = EnsureOwnTables(connection.get());
  CHECK(status.ok()) << status;
  return connection;
}

std::unique_ptr<ConnectionPool> CtldbTest::NewPool(size_t max_connections) {
  return std::make_unique<ConnectionPool>(
      [target = target_, options = options_] { return Connection::Open(target, options); },
      max_connections);
}

}  // namespace ctlstore::ctldb::testing
