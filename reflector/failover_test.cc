// The sources of the ledger together: streams and ctldbs that fail, lag and come back.

#include <gmock/gmock.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/rpc/testing/tcp_proxy.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/ledger.grpc.pb.h"
#include "reflector/ctldb_source.h"
#include "reflector/stream_source.h"
#include "reflector/upstreams.h"

namespace ctlstore::reflector {
namespace {

using ctldb::testing::CtldbTest;
using ctldb::testing::MustOpen;
using ctldb::testing::NewTarget;
using rpc::testing::TcpProxy;

// Streams a ctldb's ledger, by asking for it all the time.
class PollingLedger final : public v1::Ledger::Service {
 public:
  explicit PollingLedger(ctldb::Target target) : target_(std::move(target)) {}

  grpc::Status Tail(grpc::ServerContext* context, const v1::TailRequest* request,
                    grpc::ServerWriter<v1::TailResponse>* writer) override {
    ctldb::LedgerReader reader(target_, {});
    LedgerPosition position{request->after_sequence(), request->after_digest()};
    while (!context->IsCancelled()) {
      absl::StatusOr<ctldb::LedgerReader::Result> read = reader.ReadAfter(position, 7, 1 << 20);
      if (!read.ok()) return rpc::ToGrpcStatus(read.status());
      v1::TailResponse message;
      for (const LedgerEntry& entry : read->entries) {
        v1::TailEntry* sent = message.add_entries();
        sent->set_sequence(entry.sequence);
        sent->set_leader_time(entry.leader_time);
        sent->set_statement(entry.statement);
        position = PositionAfter(entry);
      }
      message.set_last_sequence(read->last_sequence);
      if (!writer->Write(message)) break;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return grpc::Status::OK;
  }

 private:
  const ctldb::Target target_;
};

// A ctldb behind a wire, and an executive's stream of it behind another one.
class StreamedCtldb {
 public:
  explicit StreamedCtldb(const ctldb::Target& target) : target_(target), service_(target) {
    connection_ = MustOpen(target_);
    EXPECT_TRUE(ctldb::EnsureOwnTables(connection_.get()).ok());
    rpc::ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    absl::StatusOr<std::unique_ptr<rpc::Server>> server = rpc::Server::Start(options, {&service_});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    const std::string address = server_->addresses()[0];
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    stream_wire_ = std::make_unique<TcpProxy>(static_cast<uint16_t>(port));
    ctldb_wire_ = std::make_unique<TcpProxy>(target_.port);
  }
  ~StreamedCtldb() { server_->Shutdown(absl::ZeroDuration()); }

  void Append(const std::string& statement) {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(connection_.get());
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    transaction->Append({statement});
    ASSERT_TRUE(transaction->Commit().ok());
  }

  ctldb::Connection* connection() { return connection_.get(); }
  TcpProxy* stream_wire() { return stream_wire_.get(); }
  TcpProxy* ctldb_wire() { return ctldb_wire_.get(); }

  std::unique_ptr<LedgerSource> NewStream() const {
    StreamSource::Options options;
    options.stale_after = absl::Milliseconds(300);
    return std::make_unique<StreamSource>(stream_wire_->address(), options, Clock::Real());
  }
  std::unique_ptr<LedgerSource> NewPoll() const {
    ctldb::Target target = target_;
    target.host = "127.0.0.1";
    target.socket.clear();
    target.port = ctldb_wire_->port();
    ctldb::ConnectionOptions connection;
    connection.connect_timeout = absl::Seconds(1);
    connection.io_timeout = absl::Seconds(1);
    connection.lock_timeout = absl::ZeroDuration();
    CtldbSource::Options options;
    options.poll_interval = absl::Milliseconds(5);
    return std::make_unique<CtldbSource>(target, connection, options, Clock::Real());
  }

 private:
  const ctldb::Target target_;
  PollingLedger service_;
  std::unique_ptr<ctldb::Connection> connection_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<TcpProxy> stream_wire_;
  std::unique_ptr<TcpProxy> ctldb_wire_;
};

std::string StatementAt(int64_t sequence) { return absl::StrCat("statement ", sequence); }

// Reads once; what comes must follow.
absl::Status ReadOn(LedgerSource* source, LedgerPosition* position) {
  absl::StatusOr<LedgerSource::Batch> batch = source->Read(*position, {});
  if (!batch.ok()) return batch.status();
  for (const LedgerEntry& entry : batch->entries) {
    EXPECT_EQ(entry.sequence, position->sequence + 1);
    EXPECT_EQ(entry.statement, StatementAt(entry.sequence));
    *position = PositionAfter(entry);
  }
  return absl::OkStatus();
}

std::unique_ptr<Upstreams> Over(std::unique_ptr<LedgerSource> first,
                                std::unique_ptr<LedgerSource> second) {
  std::vector<std::unique_ptr<LedgerSource>> sources;
  sources.push_back(std::move(first));
  sources.push_back(std::move(second));
  Upstreams::Options options;
  options.min_retry_pause = absl::Milliseconds(10);
  options.max_retry_pause = absl::Milliseconds(50);
  return std::make_unique<Upstreams>(std::move(sources), options);
}

TEST(FailoverTest, PollsWhileTheStreamIsCutOrHangs) {
  StreamedCtldb ctldb(NewTarget(ctldb::Target::Kind::kMariadb));
  std::unique_ptr<Upstreams> upstreams = Over(ctldb.NewStream(), ctldb.NewPoll());
  LedgerPosition position;
  int64_t last = 0;
  const auto append_and_read = [&] {
    ctldb.Append(StatementAt(++last));
    while (position.sequence < last) {
      const absl::Status status = ReadOn(upstreams.get(), &position);
      ASSERT_TRUE(status.ok()) << status;
    }
  };
  const auto is_stream = [&] { return upstreams->name().substr(0, 4) == "grpc"; };
  append_and_read();
  EXPECT_TRUE(is_stream());
  for (int round = 0; round < 2; ++round) {
    if (round == 0) ctldb.stream_wire()->Cut();
    if (round == 1) ctldb.stream_wire()->Hang();
    while (is_stream()) append_and_read();
    for (int i = 0; i < 10; ++i) append_and_read();
    EXPECT_FALSE(is_stream());
    ctldb.stream_wire()->Restore();
    while (!is_stream()) append_and_read();
  }
  EXPECT_EQ(upstreams->switches(), 4);
}

TEST(FailoverTest, LosesAndRepeatsNothingWhateverIsCut) {
  constexpr int64_t kLast = 600;
  StreamedCtldb ctldb(NewTarget(ctldb::Target::Kind::kMariadb));
  std::unique_ptr<Upstreams> upstreams = Over(ctldb.NewStream(), ctldb.NewPoll());
  std::thread writer([&] {
    for (int64_t sequence = 1; sequence <= kLast; ++sequence) {
      ctldb.Append(StatementAt(sequence));
      absl::SleepFor(absl::Milliseconds(3));
    }
  });
  absl::Notification read_all;
  std::thread cutter([&] {
    std::mt19937_64 random(1);
    while (!read_all.WaitForNotificationWithTimeout(absl::Milliseconds(random() % 100))) {
      TcpProxy* const wire = random() % 2 == 0 ? ctldb.stream_wire() : ctldb.ctldb_wire();
      switch (random() % 4) {
        case 0:
          wire->Cut();
          break;
        case 1:
          wire->Hang();
          break;
        default:
          wire->Restore();
      }
    }
  });
  LedgerPosition position;
  while (position.sequence < kLast) {
    const absl::Status status = ReadOn(upstreams.get(), &position);
    if (!status.ok()) {
      // While the ledger is empty, or nothing answers.
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  read_all.Notify();
  writer.join();
  cutter.join();
  EXPECT_EQ(position.sequence, kLast);
}

class ReplicaTest : public CtldbTest {
 protected:
  ReplicaTest() : replica_target_(NewTarget(GetParam())) {
    primary_ = OpenReady();
    replica_ = MustOpen(replica_target_, {});
    EXPECT_TRUE(ctldb::EnsureOwnTables(replica_.get()).ok());
  }

  std::unique_ptr<LedgerSource> NewSource(const ctldb::Target& target) const {
    CtldbSource::Options options;
    options.poll_interval = absl::Milliseconds(1);
    return std::make_unique<CtldbSource>(target, ctldb::ConnectionOptions(), options,
                                         Clock::Real());
  }

  void Append(int64_t sequence) {
    absl::StatusOr<ctldb::LedgerTransaction> transaction =
        ctldb::LedgerTransaction::Begin(primary_.get());
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    transaction->Append({StatementAt(sequence)});
    ASSERT_TRUE(transaction->Commit().ok());
  }

  // Entries go to the replica up to this one.
  void Replicate(int64_t upto) {
    absl::StatusOr<std::vector<LedgerEntry>> entries = std::vector<LedgerEntry>();
    absl::Status status = primary_->Query(
        "SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger WHERE seq > ? AND seq <= ? "
        "ORDER BY seq",
        {replicated_, upto}, [&](absl::Span<const ValueView> row) {
          entries->push_back(
              {row[0].integer(), std::string(row[1].data()), std::string(row[2].data())});
          return absl::OkStatus();
        });
    ASSERT_TRUE(status.ok()) << status;
    for (const LedgerEntry& entry : *entries) {
      absl::StatusOr<int64_t> inserted = replica_->Execute(
          "INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) VALUES (?, ?, ?)",
          {entry.sequence, entry.leader_time, entry.statement});
      ASSERT_TRUE(inserted.ok()) << inserted.status();
    }
    replicated_ = upto;
  }

  const ctldb::Target replica_target_;
  std::unique_ptr<ctldb::Connection> primary_;
  std::unique_ptr<ctldb::Connection> replica_;
  int64_t replicated_ = 0;
};

CTLSTORE_FOR_BOTH_KINDS(ReplicaTest);

TEST_P(ReplicaTest, ALaggingReplicaIsNotUsedUntilItHasCaughtUp) {
  for (int64_t sequence = 1; sequence <= 20; ++sequence) Append(sequence);
  Replicate(10);
  std::unique_ptr<Upstreams> upstreams = Over(NewSource(replica_target_), NewSource(target_));
  // One that has nothing may be used as far as it goes.
  LedgerPosition position;
  ASSERT_TRUE(ReadOn(upstreams.get(), &position).ok());
  EXPECT_EQ(position.sequence, 10);
  EXPECT_EQ(upstreams->name(), replica_target_.ToString());
  // One that is further cannot.
  std::unique_ptr<LedgerSource> primary = NewSource(target_);
  ASSERT_TRUE(ReadOn(primary.get(), &position).ok());
  EXPECT_EQ(position.sequence, 20);
  for (int64_t sequence = 21; sequence <= 40; ++sequence) {
    Append(sequence);
    Replicate(sequence - 5);
    while (position.sequence < sequence) {
      const absl::Status status = ReadOn(upstreams.get(), &position);
      ASSERT_TRUE(status.ok()) << status;
    }
    EXPECT_EQ(upstreams->name(), target_.ToString());
  }
  EXPECT_EQ(ErrorReason(upstreams->states()[0].last_error), reason::kLedgerBehind);
  Replicate(40);
  while (upstreams->name() != replica_target_.ToString()) {
    ASSERT_TRUE(ReadOn(upstreams.get(), &position).ok());
  }
  EXPECT_EQ(position.sequence, 40);
}

TEST_P(ReplicaTest, AReplicaOfAnotherHistoryIsLeftAside) {
  for (int64_t sequence = 1; sequence <= 5; ++sequence) Append(sequence);
  Replicate(4);
  ASSERT_TRUE(replica_
                  ->Execute("INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) "
                            "VALUES (5, '2024-01-01 00:00:00', 'another')")
                  .ok());
  LedgerPosition position;
  std::unique_ptr<Upstreams> upstreams = Over(NewSource(target_), NewSource(replica_target_));
  ASSERT_TRUE(ReadOn(upstreams.get(), &position).ok());
  EXPECT_EQ(position.sequence, 5);
  // The primary goes, and what is left is another ledger: that is not followed.
  ASSERT_TRUE(primary_->Execute("DROP TABLE ctlstore_dml_ledger").ok());
  for (int i = 0; i < 5; ++i) {
    const absl::Status status = ReadOn(upstreams.get(), &position);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ErrorReason(status), absl::nullopt);
  }
  EXPECT_EQ(ErrorReason(upstreams->states()[1].last_error), reason::kLedgerDiverged);
  EXPECT_EQ(position.sequence, 5);
}

}  // namespace
}  // namespace ctlstore::reflector
