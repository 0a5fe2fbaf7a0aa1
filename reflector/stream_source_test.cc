#include "reflector/stream_source.h"

#include <gmock/gmock.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/rpc/testing/tcp_proxy.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/ledger.grpc.pb.h"

namespace ctlstore::reflector {
namespace {

using rpc::testing::TcpProxy;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

LedgerEntry EntryAt(int64_t sequence) {
  return {sequence, "2024-01-01 00:00:00", absl::StrCat("statement ", sequence)};
}

v1::TailResponse MessageOf(int64_t first, int64_t last, int64_t ledger_sequence) {
  v1::TailResponse message;
  for (int64_t sequence = first; sequence <= last; ++sequence) {
    v1::TailEntry* entry = message.add_entries();
    entry->set_sequence(sequence);
    entry->set_leader_time(EntryAt(sequence).leader_time);
    entry->set_statement(EntryAt(sequence).statement);
  }
  message.set_last_sequence(ledger_sequence);
  return message;
}

// What Ledger.Tail says, and where a test has it say something else.
class FakeLedger final : public v1::Ledger::Service {
 public:
  using Writer = grpc::ServerWriter<v1::TailResponse>;
  using Script = std::function<grpc::Status(grpc::ServerContext*, const v1::TailRequest&, Writer*)>;

  // In place of the ledger, for the calls to come. Null for the ledger again.
  void Say(Script script) {
    absl::MutexLock lock(&mutex_);
    script_ = std::move(script);
  }
  void AppendTo(int64_t last) {
    absl::MutexLock lock(&mutex_);
    last_ = last;
  }
  std::vector<v1::TailRequest> requests() const {
    absl::MutexLock lock(&mutex_);
    return requests_;
  }
  void AwaitRequests(size_t count) const {
    absl::MutexLock lock(&mutex_);
    const auto came = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return requests_.size() >= count;
    };
    mutex_.Await(absl::Condition(&came));
  }
  // The ledger's calls say that they are there this often.
  absl::Duration interval = absl::Milliseconds(20);
  size_t max_entries_per_message = 100;

  grpc::Status Tail(grpc::ServerContext* context, const v1::TailRequest* request,
                    Writer* writer) override {
    Script script;
    {
      absl::MutexLock lock(&mutex_);
      requests_.push_back(*request);
      script = script_;
    }
    if (script) return script(context, *request, writer);
    int64_t sent = request->after_sequence();
    bool first = true;
    while (!context->IsCancelled()) {
      int64_t last = 0;
      {
        absl::MutexLock lock(&mutex_);
        const auto more = [this, &sent]()
                              ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return last_ > sent; };
        if (!first) mutex_.AwaitWithTimeout(absl::Condition(&more), interval);
        last = last_;
      }
      first = false;
      const int64_t upto = std::min<int64_t>(last, sent + max_entries_per_message);
      if (!writer->Write(MessageOf(sent + 1, upto, last))) break;
      sent = std::max(sent, upto);
    }
    return grpc::Status::OK;
  }

 private:
  mutable absl::Mutex mutex_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  int64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<v1::TailRequest> requests_ ABSL_GUARDED_BY(mutex_);
};

void WaitForEnd(grpc::ServerContext* context) {
  while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
}

class StreamSourceTest : public ::testing::Test {
 protected:
  StreamSourceTest() {
    rpc::ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    absl::StatusOr<std::unique_ptr<rpc::Server>> server = rpc::Server::Start(options, {&ledger_});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->addresses()[0];
    options_.instance = "host/1";
  }
  ~StreamSourceTest() override { server_->Shutdown(absl::ZeroDuration()); }

  uint16_t port() const {
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address_.substr(address_.rfind(':') + 1), &port));
    return static_cast<uint16_t>(port);
  }

  static LedgerSource::Batch MustRead(LedgerSource* source, const LedgerPosition& after,
                                      const LedgerSource::Limits& limits = {}) {
    absl::StatusOr<LedgerSource::Batch> batch = source->Read(after, limits);
    EXPECT_TRUE(batch.ok()) << batch.status();
    return batch.ok() ? *batch : LedgerSource::Batch();
  }

  // Reads until the position is `last`, trying again after errors, and looks at each entry.
  static void ReadTo(LedgerSource* source, LedgerPosition* position, int64_t last,
                     const LedgerSource::Limits& limits = {}) {
    while (position->sequence < last) {
      absl::StatusOr<LedgerSource::Batch> batch = source->Read(*position, limits);
      if (!batch.ok()) {
        absl::SleepFor(absl::Milliseconds(10));
        continue;
      }
      for (const LedgerEntry& entry : batch->entries) {
        ASSERT_EQ(entry.sequence, position->sequence + 1);
        ASSERT_EQ(entry.statement, EntryAt(entry.sequence).statement);
        *position = PositionAfter(entry);
      }
    }
    ASSERT_EQ(position->sequence, last);
  }

  FakeLedger ledger_;
  std::unique_ptr<rpc::Server> server_;
  std::string address_;
  StreamSource::Options options_;
};

TEST_F(StreamSourceTest, ReadsWhatIsThereAndWhatComes) {
  ledger_.AppendTo(3);
  StreamSource source(address_, options_, Clock::Real());
  EXPECT_EQ(source.name(), "grpc://" + address_);
  LedgerSource::Batch batch = MustRead(&source, {});
  ASSERT_THAT(batch.entries, SizeIs(3));
  EXPECT_EQ(batch.entries[2].sequence, 3);
  EXPECT_EQ(batch.entries[2].leader_time, EntryAt(3).leader_time);
  EXPECT_EQ(batch.entries[2].statement, EntryAt(3).statement);
  EXPECT_EQ(batch.ledger_sequence, 3);
  LedgerPosition position = PositionAfter(batch.entries.back());
  // It says that all is well.
  batch = MustRead(&source, position);
  EXPECT_THAT(batch.entries, IsEmpty());
  EXPECT_EQ(batch.ledger_sequence, 3);
  ledger_.AppendTo(250);
  ReadTo(&source, &position, 250);
  const std::vector<v1::TailRequest> requests = ledger_.requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].after_sequence(), 0);
  EXPECT_EQ(requests[0].after_digest(), "");
  EXPECT_EQ(requests[0].instance(), "host/1");
}

TEST_F(StreamSourceTest, KeepsWhatIsOverTheLimitsForTheNextRead) {
  ledger_.AppendTo(100);
  StreamSource source(address_, options_, Clock::Real());
  LedgerPosition position;
  LedgerSource::Limits limits;
  for (limits.max_entries = 1; position.sequence < 90; ++limits.max_entries) {
    const LedgerSource::Batch batch = MustRead(&source, position, limits);
    ASSERT_THAT(batch.entries,
                SizeIs(std::min<size_t>(limits.max_entries, 100 - position.sequence)));
    ASSERT_EQ(batch.entries[0].sequence, position.sequence + 1);
    EXPECT_EQ(batch.ledger_sequence, 100);
    EXPECT_FALSE(batch.all_as_of.has_value());
    position = PositionAfter(batch.entries.back());
  }
  limits = {};
  // An entry has 12 bytes here.
  limits.max_bytes = 13;
  EXPECT_THAT(MustRead(&source, position, limits).entries, SizeIs(2));
  EXPECT_THAT(ledger_.requests(), SizeIs(1));
}

TEST_F(StreamSourceTest, BeginsAnewAtAnotherPosition) {
  ledger_.AppendTo(10);
  StreamSource source(address_, options_, Clock::Real());
  LedgerSource::Limits limits;
  limits.max_entries = 5;
  const LedgerSource::Batch batch = MustRead(&source, {}, limits);
  const LedgerPosition third = PositionAfter(batch.entries[2]);
  EXPECT_EQ(MustRead(&source, third).entries.front().sequence, 4);
  EXPECT_EQ(MustRead(&source, {9, "another digest"}).entries.front().sequence, 10);
  // Same place, another entry.
  EXPECT_THAT(MustRead(&source, {10, "another digest"}).entries, IsEmpty());
  const std::vector<v1::TailRequest> requests = ledger_.requests();
  ASSERT_THAT(requests, SizeIs(4));
  EXPECT_EQ(requests[1].after_sequence(), 3);
  EXPECT_EQ(requests[1].after_digest(), third.digest);
  EXPECT_EQ(requests[3].after_digest(), "another digest");
}

TEST_F(StreamSourceTest, GivesUpTheStreamWhereItIsReleased) {
  ledger_.AppendTo(10);
  TcpProxy proxy(port());
  StreamSource source(proxy.address(), options_, Clock::Real());
  source.Release();
  LedgerSource::Limits limits;
  limits.max_entries = 5;
  LedgerPosition position = PositionAfter(MustRead(&source, {}, limits).entries.back());
  source.Release();
  ReadTo(&source, &position, 10);
  EXPECT_THAT(ledger_.requests(), SizeIs(2));
  EXPECT_EQ(proxy.accepted(), 2);
}

TEST_F(StreamSourceTest, SaysSinceWhenItHasAll) {
  StreamSource source(address_, options_, Clock::Real());
  absl::Notification behind_is_read;
  ledger_.Say(
      [&](grpc::ServerContext* context, const v1::TailRequest&, FakeLedger::Writer* writer) {
        writer->Write(MessageOf(1, 2, 3));
        behind_is_read.WaitForNotification();
        writer->Write(MessageOf(3, 3, 3));
        // Its ledger is behind what it has sent.
        writer->Write(MessageOf(4, 3, 2));
        WaitForEnd(context);
        return grpc::Status::OK;
      });
  LedgerSource::Batch batch = MustRead(&source, {});
  EXPECT_EQ(batch.ledger_sequence, 3);
  EXPECT_FALSE(batch.all_as_of.has_value());
  const absl::Time before = absl::Now();
  std::thread thread([&] {
    absl::SleepFor(absl::Milliseconds(50));
    behind_is_read.Notify();
  });
  batch = MustRead(&source, PositionAfter(batch.entries.back()));
  ASSERT_TRUE(batch.all_as_of.has_value());
  EXPECT_GE(*batch.all_as_of, before);
  EXPECT_LE(*batch.all_as_of, absl::Now());
  batch = MustRead(&source, PositionAfter(batch.entries.back()));
  EXPECT_THAT(batch.entries, IsEmpty());
  EXPECT_EQ(batch.ledger_sequence, 3);
  EXPECT_FALSE(batch.all_as_of.has_value());
  thread.join();
}

TEST_F(StreamSourceTest, DoesNotTakeAnOldMessageForNews) {
  ledger_.Say(
      [&](grpc::ServerContext* context, const v1::TailRequest&, FakeLedger::Writer* writer) {
        writer->Write(MessageOf(1, 1, 1));
        writer->Write(MessageOf(2, 2, 2));
        WaitForEnd(context);
        return grpc::Status::OK;
      });
  // The second message comes long before it is read; how long that takes is not in a test's hands.
  absl::Duration pause = absl::Milliseconds(20);
  bool came_before = false;
  for (int tries = 0; !came_before && tries < 8; ++tries, pause *= 2) {
    StreamSource source(address_, options_, Clock::Real());
    LedgerSource::Batch batch = MustRead(&source, {});
    absl::SleepFor(pause);
    const absl::Time before = absl::Now();
    batch = MustRead(&source, PositionAfter(batch.entries.back()));
    ASSERT_THAT(batch.entries, SizeIs(1));
    ASSERT_TRUE(batch.all_as_of.has_value());
    came_before = *batch.all_as_of < before;
  }
  EXPECT_TRUE(came_before);
}

TEST_F(StreamSourceTest, PassesOnWhatTheExecutiveSays) {
  StreamSource source(address_, options_, Clock::Real());
  const struct {
    absl::StatusCode code;
    const char* reason;
  } kCases[] = {{absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned},
                {absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged},
                {absl::StatusCode::kUnavailable, reason::kLedgerBehind},
                {absl::StatusCode::kUnavailable, reason::kCtldbUnavailable},
                {absl::StatusCode::kResourceExhausted, reason::kTooManyListeners},
                {absl::StatusCode::kUnauthenticated, reason::kNoRole}};
  for (const auto& a_case : kCases) {
    ledger_.Say([&](grpc::ServerContext*, const v1::TailRequest&, FakeLedger::Writer*) {
      return rpc::ToGrpcStatus(ErrorWithReason(a_case.code, a_case.reason, "so it is"));
    });
    const absl::Status status = source.Read({7, "x"}, {}).status();
    EXPECT_EQ(status.code(), a_case.code) << status;
    EXPECT_EQ(ErrorReason(status), a_case.reason) << status;
    EXPECT_EQ(status.message(), "so it is");
  }
  ledger_.Say(nullptr);
  ledger_.AppendTo(8);
  EXPECT_THAT(MustRead(&source, {7, "x"}).entries, SizeIs(1));
}

TEST_F(StreamSourceTest, TakesAnEndWithoutAnErrorForOne) {
  StreamSource source(address_, options_, Clock::Real());
  for (const grpc::Status& end : {grpc::Status::OK, grpc::Status::CANCELLED}) {
    ledger_.Say([&](grpc::ServerContext*, const v1::TailRequest&, FakeLedger::Writer* writer) {
      writer->Write(MessageOf(1, 1, 1));
      return end;
    });
    const LedgerSource::Batch batch = MustRead(&source, {});
    ASSERT_THAT(batch.entries, SizeIs(1));
    EXPECT_EQ(source.Read(PositionAfter(batch.entries[0]), {}).status().code(),
              absl::StatusCode::kUnavailable);
  }
}

TEST_F(StreamSourceTest, ComesBackWhereItWasTooSlow) {
  StreamSource source(address_, options_, Clock::Real());
  ledger_.Say(
      [&](grpc::ServerContext*, const v1::TailRequest& request, FakeLedger::Writer* writer) {
        const int64_t next = request.after_sequence() + 1;
        if (next <= 10) writer->Write(MessageOf(next, next, 10));
        return rpc::ToGrpcStatus(
            ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kSlowReader, "too slow"));
      });
  LedgerPosition position;
  for (int64_t sequence = 1; sequence <= 10; ++sequence) {
    const LedgerSource::Batch batch = MustRead(&source, position);
    ASSERT_THAT(batch.entries, SizeIs(1));
    ASSERT_EQ(batch.entries[0].sequence, sequence);
    position = PositionAfter(batch.entries[0]);
  }
  EXPECT_THAT(ledger_.requests(), SizeIs(10));
  EXPECT_EQ(ledger_.requests()[9].after_digest(), DigestOf(EntryAt(9)));
  // Who gets nothing at all does not try forever.
  EXPECT_EQ(ErrorReason(source.Read(position, {}).status()), reason::kSlowReader);
}

TEST_F(StreamSourceTest, RefusesEntriesOutOfOrder) {
  StreamSource source(address_, options_, Clock::Real());
  for (const std::vector<int64_t>& sequences :
       std::vector<std::vector<int64_t>>{{5}, {4}, {6, 6}, {6, 8, 7}, {-1}}) {
    ledger_.Say(
        [&](grpc::ServerContext* context, const v1::TailRequest&, FakeLedger::Writer* writer) {
          v1::TailResponse message;
          for (const int64_t sequence : sequences) {
            *message.add_entries() = MessageOf(sequence, sequence, 9).entries(0);
          }
          writer->Write(message);
          WaitForEnd(context);
          return grpc::Status::OK;
        });
    EXPECT_EQ(source.Read({5, ""}, {}).status().code(), absl::StatusCode::kInternal);
  }
}

TEST_F(StreamSourceTest, RefusesAMessageThatIsTooLarge) {
  options_.channel.max_receive_bytes = 1000;
  StreamSource source(address_, options_, Clock::Real());
  ledger_.max_entries_per_message = 1000;
  ledger_.AppendTo(1000);
  EXPECT_EQ(source.Read({}, {}).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(StreamSourceTest, GivesUpAnExecutiveThatSaysNothing) {
  options_.stale_after = absl::Milliseconds(300);
  StreamSource source(address_, options_, Clock::Real());
  ledger_.Say([](grpc::ServerContext* context, const v1::TailRequest&, FakeLedger::Writer* writer) {
    writer->Write(MessageOf(1, 1, 1));
    WaitForEnd(context);
    return grpc::Status::OK;
  });
  const LedgerPosition first = PositionAfter(MustRead(&source, {}).entries[0]);
  const absl::Status status = source.Read(first, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("300ms"));
}

TEST_F(StreamSourceTest, GivesUpAConnectionThatHangsAndComesBackOnAnother) {
  options_.stale_after = absl::Milliseconds(500);
  TcpProxy proxy(port());
  StreamSource source(proxy.address(), options_, Clock::Real());
  ledger_.AppendTo(5);
  LedgerPosition position;
  ReadTo(&source, &position, 5);
  proxy.Hang();
  absl::StatusOr<LedgerSource::Batch> batch = LedgerSource::Batch();
  while (batch.ok()) batch = source.Read(position, {});
  EXPECT_EQ(batch.status().code(), absl::StatusCode::kUnavailable) << batch.status();
  // While nothing goes through, that is said again.
  EXPECT_EQ(source.Read(position, {}).status().code(), absl::StatusCode::kUnavailable);
  const int64_t connections = proxy.accepted();
  ledger_.AppendTo(7);
  proxy.Restore();
  ReadTo(&source, &position, 7);
  EXPECT_GT(proxy.accepted(), connections);
}

TEST_F(StreamSourceTest, ComesBackAfterTheConnectionWasCut) {
  TcpProxy proxy(port());
  StreamSource source(proxy.address(), options_, Clock::Real());
  LedgerPosition position;
  for (int64_t last = 100; last <= 300; last += 100) {
    ledger_.AppendTo(last - 1);
    ReadTo(&source, &position, last - 1);
    proxy.Cut();
    absl::StatusOr<LedgerSource::Batch> batch = LedgerSource::Batch();
    while (batch.ok()) batch = source.Read(position, {});
    EXPECT_EQ(batch.status().code(), absl::StatusCode::kUnavailable) << batch.status();
    EXPECT_EQ(source.Read(position, {}).status().code(), absl::StatusCode::kUnavailable);
    ledger_.AppendTo(last);
    proxy.Restore();
    ReadTo(&source, &position, last);
  }
}

TEST_F(StreamSourceTest, EndsAtOnceWhenItIsCancelled) {
  options_.stale_after = absl::Hours(1);
  ledger_.Say([](grpc::ServerContext* context, const v1::TailRequest&, FakeLedger::Writer*) {
    WaitForEnd(context);
    return grpc::Status::OK;
  });
  StreamSource source(address_, options_, Clock::Real());
  std::thread thread(
      [&] { EXPECT_EQ(source.Read({}, {}).status().code(), absl::StatusCode::kCancelled); });
  ledger_.AwaitRequests(1);
  source.Cancel();
  thread.join();
  EXPECT_EQ(source.Read({}, {}).status().code(), absl::StatusCode::kCancelled);
  source.Cancel();
}

TEST_F(StreamSourceTest, EndsAtOnceWhenItIsCancelledWhereTheConnectionHangs) {
  options_.stale_after = absl::Hours(1);
  TcpProxy proxy(port());
  StreamSource source(proxy.address(), options_, Clock::Real());
  ledger_.AppendTo(1);
  LedgerPosition position;
  ReadTo(&source, &position, 1);
  proxy.Hang();
  std::atomic<int> reads{0};
  std::thread thread([&] {
    absl::Status status;
    while (status.ok()) {
      ++reads;
      status = source.Read(position, {}).status();
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  });
  while (reads == 0) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(50));
  source.Cancel();
  thread.join();

  // And where a connection is never had.
  StreamSource never(proxy.address(), options_, Clock::Real());
  absl::Notification begun;
  std::thread other([&] {
    begun.Notify();
    EXPECT_FALSE(never.Read({}, {}).ok());
  });
  begun.WaitForNotification();
  never.Cancel();
  other.join();
}

TEST_F(StreamSourceTest, ReadsOverAUnixSocket) {
  FakeLedger ledger;
  ledger.AppendTo(2);
  rpc::ServerOptions options;
  const std::string path = absl::StrCat("/tmp/ctlstore-stream-source-test-", getpid(), ".sock");
  const std::string address = absl::StrCat("unix:", path);
  options.listen = {address};
  absl::StatusOr<std::unique_ptr<rpc::Server>> server = rpc::Server::Start(options, {&ledger});
  ASSERT_TRUE(server.ok()) << server.status();
  StreamSource source(address, options_, Clock::Real());
  EXPECT_EQ(source.name(), "grpc:" + address);
  EXPECT_THAT(MustRead(&source, {}).entries, SizeIs(2));
  (*server)->Shutdown(absl::ZeroDuration());
  unlink(path.c_str());
}

// Messages of all sizes, streams that end anywhere, limits of all sizes: nothing is lost, repeated
// or out of order.
TEST_F(StreamSourceTest, LosesAndRepeatsNothing) {
  constexpr int64_t kLast = 3000;
  std::mt19937_64 server_random(1);
  ledger_.Say(
      [&](grpc::ServerContext*, const v1::TailRequest& request, FakeLedger::Writer* writer) {
        int64_t sent = request.after_sequence();
        if (sent > 0 && request.after_digest() != DigestOf(EntryAt(sent))) {
          return rpc::ToGrpcStatus(ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                                                   reason::kLedgerDiverged, "another one"));
        }
        for (uint64_t messages = server_random() % 10; messages > 0; --messages) {
          const int64_t upto = std::min<int64_t>(kLast, sent + server_random() % 40);
          if (!writer->Write(MessageOf(sent + 1, upto, kLast))) break;
          sent = upto;
        }
        switch (server_random() % 3) {
          case 0:
            return grpc::Status::OK;
          case 1:
            return grpc::Status(grpc::StatusCode::UNAVAILABLE, "random");
          default:
            return rpc::ToGrpcStatus(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                                     reason::kSlowReader, "random"));
        }
      });
  StreamSource source(address_, options_, Clock::Real());
  std::mt19937_64 random(2);
  LedgerPosition position;
  int errors = 0;
  while (position.sequence < kLast) {
    LedgerSource::Limits limits;
    limits.max_entries = 1 + random() % 30;
    limits.max_bytes = random() % 300;
    absl::StatusOr<LedgerSource::Batch> batch = source.Read(position, limits);
    if (!batch.ok()) {
      ++errors;
      ASSERT_TRUE(absl::IsUnavailable(batch.status()) ||
                  ErrorReason(batch.status()) == reason::kSlowReader)
          << batch.status();
      continue;
    }
    ASSERT_LE(batch->entries.size(), limits.max_entries);
    EXPECT_EQ(batch->all_as_of.has_value(),
              !batch->entries.empty() && batch->entries.back().sequence == kLast);
    for (const LedgerEntry& entry : batch->entries) {
      ASSERT_EQ(entry.sequence, position.sequence + 1);
      ASSERT_EQ(entry.statement, EntryAt(entry.sequence).statement);
      position = PositionAfter(entry);
    }
  }
  EXPECT_GT(errors, 5);
}

}  // namespace
}  // namespace ctlstore::reflector
