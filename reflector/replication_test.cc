// The reflector's sources over a real primary and its replica.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/rpc/testing/tcp_proxy.h"
#include "common/schema/errors.h"
#include "reflector/ctldb_source.h"
#include "reflector/upstreams.h"

namespace ctlstore::reflector {
namespace {

using ctldb::testing::MariadbServer;
using rpc::testing::TcpProxy;

std::string StatementAt(int64_t sequence) { return absl::StrCat("statement ", sequence); }

class ReplicationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<MariadbServer>> primary =
        MariadbServer::Start({"--server-id=1", "--log-bin=binlog", "--binlog-format=ROW"});
    ASSERT_TRUE(primary.ok()) << primary.status();
    primary_ = *std::move(primary);
    absl::StatusOr<std::unique_ptr<MariadbServer>> replica =
        MariadbServer::Start({"--server-id=2", "--relay-log=relay"});
    ASSERT_TRUE(replica.ok()) << replica.status();
    replica_ = *std::move(replica);
    ASSERT_TRUE(replica_
                    ->RunSql(absl::StrCat(
                        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=", primary_->port(),
                        ", MASTER_USER='root', MASTER_PASSWORD='', MASTER_USE_GTID=slave_pos, "
                        "MASTER_CONNECT_RETRY=1"))
                    .ok());
    ASSERT_TRUE(replica_->RunSql("START SLAVE").ok());
    target_ = primary_->NewDatabase();
    replica_target_ = target_;
    replica_target_.port = replica_->port();
    replica_target_.socket.clear();
    absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
        ctldb::Connection::Open(target_, {});
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
    ASSERT_TRUE(ctldb::EnsureOwnTables(connection_.get()).ok());
    wire_ = std::make_unique<TcpProxy>(primary_->port());
  }

  void AppendUpTo(int64_t last) {
    while (last_ < last) {
      absl::StatusOr<ctldb::LedgerTransaction> transaction =
          ctldb::LedgerTransaction::Begin(connection_.get());
      ASSERT_TRUE(transaction.ok()) << transaction.status();
      transaction->Append({StatementAt(++last_)});
      ASSERT_TRUE(transaction->Commit().ok());
    }
  }

  void WaitForReplica() const {
    ctldb::LedgerReader reader(replica_target_, {});
    while (reader.LastSequence().value_or(0) < last_) absl::SleepFor(absl::Milliseconds(10));
  }

  static std::unique_ptr<LedgerSource> NewSource(const ctldb::Target& target) {
    CtldbSource::Options options;
    options.poll_interval = absl::Milliseconds(5);
    return std::make_unique<CtldbSource>(target, ctldb::ConnectionOptions(), options,
                                         Clock::Real());
  }

  // Reads once; what comes must follow.
  static absl::Status ReadOn(LedgerSource* source, LedgerPosition* position) {
    absl::StatusOr<LedgerSource::Batch> batch = source->Read(*position, {});
    if (!batch.ok()) return batch.status();
    for (const LedgerEntry& entry : batch->entries) {
      EXPECT_EQ(entry.sequence, position->sequence + 1);
      EXPECT_EQ(entry.statement, StatementAt(entry.sequence));
      *position = PositionAfter(entry);
    }
    return absl::OkStatus();
  }

  std::unique_ptr<MariadbServer> primary_;
  std::unique_ptr<MariadbServer> replica_;
  ctldb::Target target_;
  ctldb::Target replica_target_;
  std::unique_ptr<ctldb::Connection> connection_;
  // Between the reflector and the primary.
  std::unique_ptr<TcpProxy> wire_;
  int64_t last_ = 0;
};

TEST_F(ReplicationTest, AReplicaThatLagsTakesOverOnlyWhenItIsAsFar) {
  AppendUpTo(10);
  WaitForReplica();

  ctldb::Target cut_off = target_;
  cut_off.port = wire_->port();
  cut_off.socket.clear();
  std::vector<std::unique_ptr<LedgerSource>> sources;
  sources.push_back(NewSource(cut_off));
  sources.push_back(NewSource(replica_target_));
  Upstreams::Options options;
  options.min_retry_pause = absl::Milliseconds(10);
  options.max_retry_pause = absl::Milliseconds(50);
  Upstreams upstreams(std::move(sources), options);
  const std::string primary = cut_off.ToString();
  const std::string replica = replica_target_.ToString();
  LedgerPosition position;
  const auto read_to_end = [&] {
    while (position.sequence < last_) {
      const absl::Status status = ReadOn(&upstreams, &position);
      ASSERT_TRUE(status.ok()) << status;
    }
  };
  read_to_end();
  EXPECT_EQ(upstreams.name(), primary);

  // The replica has all: the host does not notice that the primary goes, and comes.
  wire_->Cut();
  while (upstreams.name() != replica) ASSERT_TRUE(ReadOn(&upstreams, &position).ok());
  AppendUpTo(20);
  read_to_end();
  EXPECT_EQ(upstreams.name(), replica);
  wire_->Restore();
  while (upstreams.name() != primary) ASSERT_TRUE(ReadOn(&upstreams, &position).ok());

  // The replica lags: the host waits for it, where it is.
  WaitForReplica();
  ASSERT_TRUE(replica_->RunSql("STOP SLAVE SQL_THREAD").ok());
  AppendUpTo(50);
  read_to_end();
  wire_->Cut();
  absl::Status status;
  while (status.ok()) status = ReadOn(&upstreams, &position);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(ErrorReason(status), reason::kLedgerBehind) << status;
    EXPECT_EQ(position.sequence, 50);
    status = ReadOn(&upstreams, &position);
  }
  AppendUpTo(60);
  ASSERT_TRUE(replica_->RunSql("START SLAVE SQL_THREAD").ok());
  while (position.sequence < 60) {
    status = ReadOn(&upstreams, &position);
    ASSERT_TRUE(status.ok() || ErrorReason(status) == reason::kLedgerBehind) << status;
  }
  EXPECT_EQ(upstreams.name(), replica);
  wire_->Restore();
  while (upstreams.name() != primary) ASSERT_TRUE(ReadOn(&upstreams, &position).ok());
}

}  // namespace
}  // namespace ctlstore::reflector
