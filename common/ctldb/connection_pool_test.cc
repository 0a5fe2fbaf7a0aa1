#include "common/ctldb/connection_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::NewTarget;
using ::ctlstore::ctldb::testing::SharedMariadbServer;

absl::Time Soon() { return absl::Now() + absl::Milliseconds(20); }
absl::Time Late() { return absl::Now() + absl::Minutes(1); }

class ConnectionPoolTest : public CtldbTest {};

CTLSTORE_FOR_BOTH_KINDS(ConnectionPoolTest);

TEST_P(ConnectionPoolTest, LendsUpToItsMaximum) {
  std::unique_ptr<ConnectionPool> pool = NewPool(2);
  EXPECT_EQ(pool->max_connections(), 2u);
  EXPECT_EQ(pool->open_connections(), 0u);
  absl::StatusOr<ConnectionPool::Lease> one = pool->Acquire(Late());
  ASSERT_TRUE(one.ok()) << one.status();
  {
    absl::StatusOr<ConnectionPool::Lease> two = pool->Acquire(Late());
    ASSERT_TRUE(two.ok()) << two.status();
    EXPECT_NE(one->get(), two->get());
    absl::StatusOr<ConnectionPool::Lease> three = pool->Acquire(Soon());
    EXPECT_EQ(three.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(ErrorReason(three.status()), reason::kCtldbBusy);
    EXPECT_EQ(pool->open_connections(), 2u);
  }
  // What came back is lent again, also after the deadline.
  EXPECT_TRUE(pool->Acquire(absl::InfinitePast()).ok());
  EXPECT_EQ(pool->open_connections(), 2u);
}

TEST_P(ConnectionPoolTest, WakesWhoWaits) {
  std::unique_ptr<ConnectionPool> pool = NewPool(1);
  absl::StatusOr<ConnectionPool::Lease> held = pool->Acquire(Late());
  ASSERT_TRUE(held.ok());
  absl::Status status = absl::UnknownError("not run");
  std::thread waiter([&] { status = pool->Acquire(Late()).status(); });
  { ConnectionPool::Lease given_back = *std::move(held); }
  waiter.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(ConnectionPoolTest, RollsBackWhatWasLeftOpen) {
  std::unique_ptr<Connection> connection = OpenReady();
  std::unique_ptr<ConnectionPool> pool = NewPool(1);
  {
    absl::StatusOr<ConnectionPool::Lease> lease = pool->Acquire(Late());
    ASSERT_TRUE(lease.ok());
    ASSERT_TRUE((*lease)->BeginWrite().ok());
    ASSERT_TRUE((*lease)->Execute("UPDATE locks SET clock = 7").ok());
  }
  absl::StatusOr<ConnectionPool::Lease> lease = pool->Acquire(Late());
  ASSERT_TRUE(lease.ok());
  EXPECT_FALSE((*lease)->in_transaction());
  ASSERT_TRUE(connection->Execute("UPDATE locks SET clock = clock + 1").ok());
  EXPECT_EQ(MustQuery(connection.get(), "SELECT clock FROM locks")[0][0], Value::Integer(1));
}

TEST_P(ConnectionPoolTest, LendsTwoWithoutADeadlock) {
  std::unique_ptr<ConnectionPool> pool = NewPool(3);
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        if (i % 2 == 0) {
          auto two = pool->AcquireTwo(Late());
          if (two.ok() && two->first.get() != two->second.get()) ++done;
        } else {
          if (pool->Acquire(Late()).ok()) ++done;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 120);
  EXPECT_LE(pool->open_connections(), 3u);
}

TEST_P(ConnectionPoolTest, LendsTwoOnlyWhereItHasTwo) {
  EXPECT_EQ(NewPool(1)->AcquireTwo(Late()).status().code(), absl::StatusCode::kFailedPrecondition);
  std::unique_ptr<ConnectionPool> pool = NewPool(2);
  absl::StatusOr<ConnectionPool::Lease> held = pool->Acquire(Late());
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(ErrorReason(pool->AcquireTwo(Soon()).status()), reason::kCtldbBusy);
  // The one that was had has been given back.
  EXPECT_TRUE(pool->Acquire(Soon()).ok());
}

TEST(ConnectionPoolFaultTest, PassesOnWhyNoneCanBeOpened) {
  bool works = false;
  const Target target = NewTarget(Target::Kind::kSqlite);
  ConnectionPool pool(
      [&]() -> absl::StatusOr<std::unique_ptr<Connection>> {
        if (!works) return absl::UnavailableError("not today");
        return Connection::Open(target, {});
      },
      1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pool.Acquire(Late()).status(), absl::UnavailableError("not today"));
    EXPECT_EQ(pool.open_connections(), 0u);
  }
  works = true;
  EXPECT_TRUE(pool.Acquire(Late()).ok());
}

TEST(ConnectionPoolFaultTest, SeesAServerThatComesBackAsOneFailedCall) {
  const Target target = NewTarget(Target::Kind::kMariadb);
  ConnectionPool pool([&] { return Connection::Open(target, {}); }, 4);
  {
    std::vector<ConnectionPool::Lease> leases;
    for (int i = 0; i < 4; ++i) leases.push_back(*pool.Acquire(Late()));
  }
  EXPECT_EQ(pool.open_connections(), 4u);
  ASSERT_TRUE(SharedMariadbServer()->Restart().ok());

  int failed = 0;
  for (int i = 0; i < 8; ++i) {
    absl::StatusOr<ConnectionPool::Lease> lease = pool.Acquire(Late());
    ASSERT_TRUE(lease.ok()) << lease.status();
    absl::Status status = (*lease)->Execute("SELECT 1").status();
    if (status.ok()) continue;
    EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable) << status;
    ++failed;
  }
  EXPECT_EQ(failed, 1);

  SharedMariadbServer()->Stop();
  {
    // Known to be broken, it is not lent again.
    absl::StatusOr<ConnectionPool::Lease> lease = pool.Acquire(Late());
    if (lease.ok()) {
      EXPECT_FALSE((*lease)->Execute("SELECT 1").ok());
    }
  }
  absl::StatusOr<ConnectionPool::Lease> away = pool.Acquire(Late());
  EXPECT_EQ(ErrorReason(away.status()), reason::kCtldbUnavailable) << away.status();
  ASSERT_TRUE(SharedMariadbServer()->Restart().ok());
  absl::StatusOr<ConnectionPool::Lease> back = pool.Acquire(Late());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE((*back)->Execute("SELECT 1").ok());
}

}  // namespace
}  // namespace ctlstore::ctldb
