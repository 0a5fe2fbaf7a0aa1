#include "sidecar/watches.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/fake_change_source.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

class WatchService : public v1::Sidecar::CallbackService {
 public:
  explicit WatchService(Watches* watches) : watches_(watches) {}

  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext* context,
                                                     const v1::WatchRequest* request) override {
    return watches_->Watch(context, allowed, *request, [this](absl::StatusCode code) {
      absl::MutexLock lock(&mutex_);
      ends_.push_back(code);
    });
  }

  std::vector<absl::StatusCode> AwaitEnds(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return ends_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return ends_;
  }

  // To be set before the first call.
  absl::Status allowed;

 private:
  Watches* const watches_;
  absl::Mutex mutex_;
  std::vector<absl::StatusCode> ends_ ABSL_GUARDED_BY(mutex_);
};

// A Watch call as a client has it.
class Watcher {
 public:
  Watcher(v1::Sidecar::Stub* stub, const v1::WatchRequest& request)
      : call_(stub->Watch(&context_, request)) {}
  ~Watcher() {
    if (call_ != nullptr) Cancel();
  }

  // Waits for the next message. False at the call's end.
  bool Next(v1::WatchResponse* message) { return call_->Read(message); }
  bool Next() {
    v1::WatchResponse message;
    return Next(&message);
  }

  absl::Status Finish() {
    const absl::Status status = rpc::FromGrpcStatus(call_->Finish());
    call_ = nullptr;
    return status;
  }

  void Cancel() {
    context_.TryCancel();
    while (Next()) {
    }
    EXPECT_FALSE(Finish().ok());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> call_;
};

std::vector<std::string> Texts(const v1::WatchResponse& message) {
  std::vector<std::string> texts;
  for (const v1::RowChange& change : message.changes()) {
    texts.push_back(absl::StrCat(change.sequence(), "/", change.key(0).text()));
  }
  return texts;
}

class WatchesTest : public ::testing::Test {
 protected:
  ~WatchesTest() override {
    source_.Unblock();
    stub_.reset();
    server_.reset();
  }

  void Serve(const Watches::Options& options = {}, const absl::Status& allowed = {}) {
    watches_ = std::make_unique<Watches>(&source_, options);
    service_ = std::make_unique<WatchService>(watches_.get());
    service_->allowed = allowed;
    rpc::ServerOptions server_options;
    server_options.listen = {"127.0.0.1:0"};
    auto server = rpc::Server::Start(server_options, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = NewStub();
  }

  std::unique_ptr<v1::Sidecar::Stub> NewStub() {
    rpc::ChannelOptions channel_options;
    channel_options.own_connection = true;
    return v1::Sidecar::NewStub(rpc::NewChannel(server_->addresses()[0], channel_options));
  }

  std::unique_ptr<Watcher> Watch(const v1::WatchRequest& request = {}) {
    return std::make_unique<Watcher>(stub_.get(), request);
  }

  static v1::WatchRequest After(int64_t sequence) {
    v1::WatchRequest request;
    request.set_after_sequence(sequence);
    return request;
  }

  void AwaitWaits(int64_t waits) {
    const absl::Time give_up = absl::Now() + kPatience;
    while (source_.waits() != waits) {
      ASSERT_LT(absl::Now(), give_up);
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  // Far more than connections and their ends take in.
  void CommitMuch() {
    const std::string large(60000, 'x');
    std::vector<FakeChangeSource::Entry> entries;
    for (int i = 0; i < kMuch; ++i) entries.push_back({"geo", "places", absl::StrCat(i), large});
    source_.Commit(entries);
  }

  // Begins to watch what CommitMuch() has written, and returns when the call is stuck: it has
  // messages to send, and the client takes none.
  std::unique_ptr<Watcher> WatchWithoutReading() {
    v1::WatchRequest request = After(0);
    request.set_with_rows(true);
    std::unique_ptr<Watcher> slow = Watch(request);
    // As long as it gets on, it is not stuck.
    const absl::Time give_up = absl::Now() + kPatience;
    int64_t views = 0;
    do {
      views = source_.views();
      EXPECT_LT(absl::Now(), give_up);
      absl::SleepFor(absl::Milliseconds(200));
    } while (views == 0 || source_.views() != views);
    EXPECT_LT(watches_->stats().changes_sent, kMuch);
    return slow;
  }

  static constexpr int kMuch = 1000;

  FakeChangeSource source_;
  std::unique_ptr<Watches> watches_;
  std::unique_ptr<WatchService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Sidecar::Stub> stub_;
};

TEST_F(WatchesTest, TheFirstMessageComesAtOnceAndChangesAsTheyAreCommitted) {
  source_.Commit({{"geo", "places", "nz", "1"}});
  Serve();
  auto watcher = Watch();
  v1::WatchResponse message;
  ASSERT_TRUE(watcher->Next(&message));
  EXPECT_EQ(message.sequence(), 1);
  EXPECT_THAT(Texts(message), IsEmpty());
  EXPECT_FALSE(message.everything_changed());

  for (int64_t sequence = 2; sequence < 20; ++sequence) {
    source_.Commit({{"geo", "places", "fr", "1"}});
    ASSERT_TRUE(watcher->Next(&message));
    EXPECT_EQ(message.sequence(), sequence);
    EXPECT_THAT(Texts(message), ElementsAre(absl::StrCat(sequence, "/fr")));
  }
  EXPECT_EQ(watches_->stats().changes_sent, 18);
  EXPECT_EQ(watches_->stats().watches, 1);
  watcher->Cancel();
  EXPECT_THAT(service_->AwaitEnds(1), ElementsAre(absl::StatusCode::kCancelled));
  EXPECT_EQ(watches_->stats().watches, 0);
}

TEST_F(WatchesTest, MessagesGoOnWhereNothingIsSelectedThatChanges) {
  Watches::Options options;
  options.progress_interval = absl::Milliseconds(5);
  Serve(options);
  v1::WatchRequest request = After(0);
  request.add_selectors()->set_family("other");
  auto watcher = Watch(request);
  v1::WatchResponse message;
  ASSERT_TRUE(watcher->Next(&message));
  ASSERT_TRUE(watcher->Next(&message));
  EXPECT_EQ(message.sequence(), 0);
  source_.Commit({{"geo", "places", "fr", "1"}});
  while (message.sequence() == 0) ASSERT_TRUE(watcher->Next(&message));
  EXPECT_EQ(message.sequence(), 1);
  EXPECT_THAT(Texts(message), IsEmpty());
}

TEST_F(WatchesTest, ManyMessagesComeInOrder) {
  CommitMuch();
  Serve();
  auto watcher = Watch(After(0));
  v1::WatchResponse message;
  int64_t sequence = 0;
  while (sequence < kMuch) {
    ASSERT_TRUE(watcher->Next(&message));
    for (const v1::RowChange& change : message.changes()) {
      EXPECT_EQ(change.sequence(), ++sequence);
    }
    EXPECT_EQ(message.sequence(), sequence);
  }
}

TEST_F(WatchesTest, ASequenceFromAHostThatIsAheadIsWaitedFor) {
  source_.CommitNothing(5);
  Serve();
  auto watcher = Watch(After(7));
  v1::WatchResponse message;
  ASSERT_TRUE(watcher->Next(&message));
  EXPECT_EQ(message.sequence(), 7);
  source_.Commit(
      {{"geo", "places", "6", "1"}, {"geo", "places", "7", "1"}, {"geo", "places", "8", "1"}});
  ASSERT_TRUE(watcher->Next(&message));
  EXPECT_THAT(Texts(message), ElementsAre("8/8"));
}

TEST_F(WatchesTest, ASlowClientCostsNoMoreThanAMessageAndMissesNothing) {
  CommitMuch();
  Serve();
  auto slow = WatchWithoutReading();
  v1::WatchResponse message;
  int64_t sequence = 0;
  while (sequence < kMuch) {
    ASSERT_TRUE(slow->Next(&message));
    EXPECT_LE(message.ByteSizeLong(), 200000u);
    for (const v1::RowChange& change : message.changes()) {
      EXPECT_EQ(change.sequence(), ++sequence);
    }
  }
}

TEST_F(WatchesTest, AClientThatIsTooSlowIsToldThatAnythingMayHaveChanged) {
  CommitMuch();
  Serve();
  auto slow = WatchWithoutReading();
  source_.CommitNothing(1);
  source_.ForgetUpTo(kMuch + 1);
  v1::WatchResponse message;
  int64_t sequence = 0;
  while (!message.everything_changed()) {
    ASSERT_TRUE(slow->Next(&message));
    for (const v1::RowChange& change : message.changes()) {
      EXPECT_EQ(change.sequence(), ++sequence);
    }
  }
  EXPECT_LT(sequence, kMuch);
  EXPECT_EQ(message.sequence(), kMuch + 1);
  EXPECT_EQ(watches_->stats().resets_sent, 1);
}

TEST_F(WatchesTest, MalformedRequestsAreRefused) {
  Serve();
  auto negative = Watch(After(-1));
  EXPECT_FALSE(negative->Next());
  const absl::Status status = negative->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(status), "after_sequence");
  v1::WatchRequest request;
  request.add_selectors()->set_family("no__pe");
  auto unnamed = Watch(request);
  EXPECT_FALSE(unnamed->Next());
  EXPECT_EQ(ErrorField(unnamed->Finish()), "selectors[0].family");
  EXPECT_THAT(service_->AwaitEnds(2),
              ElementsAre(absl::StatusCode::kInvalidArgument, absl::StatusCode::kInvalidArgument));
}

TEST_F(WatchesTest, WhoIsNotAllowedToIsRefused) {
  Serve({}, absl::UnauthenticatedError("who are you?"));
  auto watcher = Watch();
  EXPECT_FALSE(watcher->Next());
  EXPECT_EQ(watcher->Finish().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(source_.views(), 0);
}

TEST_F(WatchesTest, WatchesAreLimited) {
  Watches::Options options;
  options.max_watches = 2;
  Serve(options);
  auto first = Watch();
  auto second = Watch();
  ASSERT_TRUE(first->Next());
  ASSERT_TRUE(second->Next());
  auto third = Watch();
  EXPECT_FALSE(third->Next());
  const absl::Status status = third->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(status), reason::kQueueFull);
  EXPECT_TRUE(RetryDelay(status).has_value());
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max_watches"));
  first->Cancel();
  service_->AwaitEnds(2);
  auto fourth = Watch();
  EXPECT_TRUE(fourth->Next());
}

TEST_F(WatchesTest, WithoutALocalDatabaseItEnds) {
  source_.SetError(absl::UnavailableError("no local database"));
  Watches::Options options;
  options.progress_interval = absl::Milliseconds(5);
  Serve(options);
  auto watcher = Watch();
  EXPECT_FALSE(watcher->Next());
  EXPECT_EQ(watcher->Finish().code(), absl::StatusCode::kUnavailable);

  source_.SetError(absl::OkStatus());
  auto later = Watch();
  ASSERT_TRUE(later->Next());
  source_.SetError(absl::UnavailableError("no local database"));
  while (later->Next()) {
  }
  EXPECT_EQ(later->Finish().code(), absl::StatusCode::kUnavailable);
}

TEST_F(WatchesTest, AClientMayGoWhileItIsReadFor) {
  Serve();
  source_.Block();
  auto watcher = Watch();
  source_.AwaitBlocked();
  watcher->Cancel();
  EXPECT_THAT(service_->AwaitEnds(1), ElementsAre(absl::StatusCode::kCancelled));
  source_.Unblock();
}

TEST_F(WatchesTest, AClientMayGoWhileItWaits) {
  Serve();
  auto watcher = Watch();
  ASSERT_TRUE(watcher->Next());
  AwaitWaits(1);
  watcher->Cancel();
  service_->AwaitEnds(1);
  EXPECT_EQ(source_.waits(), 0);
}

TEST_F(WatchesTest, AClientMayGoWhileItIsSentTo) {
  CommitMuch();
  Serve();
  WatchWithoutReading()->Cancel();
  EXPECT_THAT(service_->AwaitEnds(1), ElementsAre(absl::StatusCode::kCancelled));
}

TEST_F(WatchesTest, TheSidecarsEndWaitsForNobody) {
  CommitMuch();
  Serve();
  auto sending = WatchWithoutReading();
  auto waiting = Watch();
  ASSERT_TRUE(waiting->Next());
  AwaitWaits(1);
  source_.Block();
  auto reading = Watch();
  source_.AwaitBlocked();
  EXPECT_EQ(watches_->stats().watches, 3);

  watches_->Shutdown();
  // Would take that long otherwise.
  server_->Shutdown(absl::Hours(1));
  EXPECT_FALSE(waiting->Next());
  EXPECT_EQ(waiting->Finish().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(reading->Next());
  EXPECT_EQ(reading->Finish().code(), absl::StatusCode::kUnavailable);
  while (sending->Next()) {
  }
  EXPECT_THAT(sending->Finish().code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled));
  EXPECT_EQ(watches_->stats().watches, 0);
}

TEST_F(WatchesTest, NoWatchBeginsAtTheSidecarsEnd) {
  Serve();
  watches_->Shutdown();
  auto watcher = Watch();
  EXPECT_FALSE(watcher->Next());
  EXPECT_EQ(watcher->Finish().code(), absl::StatusCode::kUnavailable);
}

// Clients go at any moment and begin again where they were.
TEST_F(WatchesTest, NothingIsLostOrRepeatedOverManyBeginnings) {
  Watches::Options options;
  options.progress_interval = absl::Milliseconds(1);
  options.max_watches = 8;
  Serve(options);
  constexpr int64_t kCommits = 2000;
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([this, client] {
      std::mt19937 random(client);
      const auto stub = NewStub();
      int64_t sequence = 0;
      int64_t told = 0;
      while (sequence < kCommits) {
        Watcher watcher(stub.get(), After(sequence));
        v1::WatchResponse message;
        for (int messages = random() % 20; messages > 0 && watcher.Next(&message); --messages) {
          EXPECT_FALSE(message.everything_changed());
          for (const v1::RowChange& change : message.changes()) {
            EXPECT_EQ(change.sequence(), ++told);
          }
          sequence = message.sequence();
          EXPECT_EQ(sequence, told);
        }
      }
    });
  }
  while (source_.sequence() < kCommits) {
    source_.Commit({{"geo", "places", "nz", "1"}});
    std::this_thread::yield();
  }
  for (std::thread& client : clients) client.join();
}

// The server's end meets calls in every state.
TEST_F(WatchesTest, TheSidecarMayEndAtAnyMoment) {
  for (int round = 0; round < 30; ++round) {
    Watches::Options options;
    options.progress_interval = absl::Microseconds(100);
    Serve(options);
    std::vector<std::thread> clients;
    for (int client = 0; client < 3; ++client) {
      clients.emplace_back([this, client, round] {
        Watcher watcher(stub_.get(), After(0));
        for (int messages = client * round; messages > 0 && watcher.Next(); --messages) {
        }
        if (client == 1) return;
        while (watcher.Next()) {
        }
        EXPECT_FALSE(watcher.Finish().ok());
      });
    }
    source_.Commit({{"geo", "places", "nz", "1"}});
    absl::SleepFor(absl::Microseconds(100 * round));
    watches_->Shutdown();
    server_->Shutdown(absl::Hours(1));
    for (std::thread& client : clients) client.join();
    server_.reset();
    service_.reset();
    watches_.reset();
  }
}

}  // namespace
}  // namespace ctlstore::sidecar
