#include "common/ctldb/testing/mariadb_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "common/ctldb/connection.h"
#include "common/ctldb/testing/ctldb_test_base.h"

namespace ctlstore::ctldb::testing {
namespace {

using ::testing::ElementsAre;

TEST(MariadbServerTest, KeepsItsDataAndAddressUntilItGoes) {
  absl::StatusOr<std::unique_ptr<MariadbServer>> started = MariadbServer::Start();
  ASSERT_TRUE(started.ok()) << started.status();
  MariadbServer* server = started->get();
  const Target target = server->NewDatabase();
  EXPECT_NE(server->NewDatabase().database, target.database);
  ASSERT_TRUE(MustOpen(target)->Execute("CREATE TABLE t (n BIGINT) ENGINE=InnoDB").ok());

  int64_t written = 0;
  const auto write_and_check = [&] {
    std::unique_ptr<Connection> connection = MustOpen(target);
    ASSERT_TRUE(connection->Execute("INSERT INTO t VALUES (1)").ok());
    EXPECT_THAT(MustQuery(connection.get(), "SELECT COUNT(*) FROM t"),
                ElementsAre(ElementsAre(Value::Integer(++written))));
  };
  write_and_check();
  const uint16_t port = server->port();
  ASSERT_TRUE(server->Restart().ok());
  EXPECT_EQ(server->port(), port);
  write_and_check();

  server->Stop();
  EXPECT_FALSE(Connection::Open(target, {}).ok());
  ASSERT_TRUE(server->Restart().ok());
  write_and_check();

  server->Kill();
  EXPECT_FALSE(Connection::Open(target, {}).ok());
  ASSERT_TRUE(server->Restart().ok());
  write_and_check();

  const std::string socket = server->socket();
  EXPECT_EQ(access(socket.c_str(), F_OK), 0);
  started->reset();
  EXPECT_NE(access(socket.c_str(), F_OK), 0);
  EXPECT_FALSE(Connection::Open(target, {}).ok());
}

}  // namespace
}  // namespace ctlstore::ctldb::testing
