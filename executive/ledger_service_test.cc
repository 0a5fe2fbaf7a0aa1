#include "executive/ledger_service.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "common/rpc/testing/tcp_proxy.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "ctlstore/v1/ledger.grpc.pb.h"
#include "executive/executive_server.h"
#include "executive/testing/ledger_comparison.h"
#include "executive/testing/ledger_test_util.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

constexpr char kWriter[] = "writer";
constexpr char kSecret[] = "its secret";

std::shared_ptr<grpc::Channel> NewChannel(const ExecutiveServer& server,
                                          const std::string& token = "") {
  rpc::ChannelOptions options;
  options.own_connection = true;
  options.token = token;
  return rpc::NewChannel(server.addresses()[0], options);
}

// One Tail call.
class Stream {
 public:
  Stream(const std::shared_ptr<grpc::Channel>& channel, const LedgerPosition& after)
      : stub_(v1::Ledger::NewStub(channel)) {
    v1::TailRequest request;
    request.set_after_sequence(after.sequence);
    request.set_after_digest(after.digest);
    request.set_instance("a test");
    rpc::SetDeadline(absl::Now() + absl::Minutes(2), &context_);
    reader_ = stub_->Tail(&context_, request);
  }
  ~Stream() {
    context_.TryCancel();
    if (!finished_) static_cast<void>(Finish());
  }

  // False at the end of the stream.
  bool Read() {
    response_.Clear();
    if (!reader_->Read(&response_)) return false;
    for (const v1::TailEntry& entry : response_.entries()) {
      entries_.push_back({entry.sequence(), entry.leader_time(), entry.statement()});
    }
    return true;
  }
  // Reads until there was an entry with this sequence. False where the stream ended before.
  bool ReadTo(int64_t sequence) {
    while (entries_.empty() || entries_.back().sequence < sequence) {
      if (!Read()) return false;
    }
    return true;
  }
  // What it ends with, after all that it still has.
  absl::Status End() {
    while (Read()) {
    }
    return Finish();
  }
  void Cancel() { context_.TryCancel(); }

  const v1::TailResponse& response() const { return response_; }
  const std::vector<LedgerEntry>& entries() const { return entries_; }

 private:
  absl::Status Finish() {
    finished_ = true;
    return rpc::FromGrpcStatus(reader_->Finish());
  }

  const std::unique_ptr<v1::Ledger::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::TailResponse>> reader_;
  v1::TailResponse response_;
  std::vector<LedgerEntry> entries_;
  bool finished_ = false;
};

// What a call on its own ends with at once.
absl::Status Refusal(const std::shared_ptr<grpc::Channel>& channel, const LedgerPosition& after) {
  return Stream(channel, after).End();
}

// Changes families and rows through an executive.
class Client {
 public:
  explicit Client(const ExecutiveServer& server)
      : stub_(v1::Executive::NewStub(NewChannel(server))) {}

  void SetUpTable() {
    v1::CreateFamilyRequest family;
    family.set_family("fam");
    Call(&v1::Executive::Stub::CreateFamily, family);
    v1::CreateTableRequest table;
    table.mutable_table()->set_family("fam");
    table.mutable_table()->set_name("rows");
    v1::Field* id = table.mutable_table()->add_fields();
    id->set_name("id");
    id->set_type(v1::INTEGER);
    v1::Field* text = table.mutable_table()->add_fields();
    text->set_name("text");
    text->set_type(v1::TEXT);
    table.mutable_table()->add_key_fields("id");
    Call(&v1::Executive::Stub::CreateTable, table);
    v1::RegisterWriterRequest writer;
    writer.set_writer(kWriter);
    writer.set_secret(kSecret);
    Call(&v1::Executive::Stub::RegisterWriter, writer);
  }

  int64_t Mutate(int64_t first_id, int mutations, size_t bytes = 20) {
    v1::MutateRequest request;
    request.set_family("fam");
    for (int i = 0; i < mutations; ++i) {
      v1::Mutation* mutation = request.add_mutations();
      mutation->set_table("rows");
      (*mutation->mutable_values())["id"].set_integer(first_id + i);
      (*mutation->mutable_values())["text"].set_text(std::string(bytes, 'x'));
    }
    return Call(&v1::Executive::Stub::Mutate, request).sequence();
  }

 private:
  template <typename Request, typename Response>
  Response Call(grpc::Status (v1::Executive::Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                const Request& request) {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + absl::Minutes(1), &context);
    rpc::AddWriterCredentials(kWriter, kSecret, &context);
    Response response;
    const absl::Status status =
        rpc::FromGrpcStatus(((*stub_).*method)(&context, request, &response));
    EXPECT_TRUE(status.ok()) << status;
    return response;
  }

  const std::unique_ptr<v1::Executive::Stub> stub_;
};

ExecutiveServer::Options OptionsFor(const TestCtldb& ctldb) {
  ExecutiveServer::Options options;
  options.ctldb = ctldb.target();
  options.connection = ctldb.options();
  options.server.listen = {"127.0.0.1:0"};
  options.executive.limits.default_writer_rows = 0;
  return options;
}

std::unique_ptr<ExecutiveServer> MustStart(const ExecutiveServer::Options& options) {
  absl::StatusOr<std::unique_ptr<ExecutiveServer>> server = ExecutiveServer::Start(options);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

void ExpectRefusal(const absl::Status& status, absl::StatusCode code,
                   const std::string& error_reason) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ErrorReason(status).value_or(""), error_reason) << status;
}

class LedgerServiceTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  LedgerServiceTest() : ctldb_(GetParam()), options_(OptionsFor(ctldb_)) {}

  void Start() {
    server_ = MustStart(options_);
    client_ = std::make_unique<Client>(*server_);
    client_->SetUpTable();
  }
  std::vector<LedgerEntry> Ledger() {
    absl::StatusOr<std::vector<LedgerEntry>> ledger = ReadLedger(ctldb_.Connect().get());
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    return *std::move(ledger);
  }

  TestCtldb ctldb_;
  ExecutiveServer::Options options_;
  std::unique_ptr<ExecutiveServer> server_;
  std::unique_ptr<Client> client_;
};

TEST_P(LedgerServiceTest, EveryKindOfChangeComesAtOnce) {
  // So that only a commit can be the reason.
  options_.ledger.poll_interval = options_.ledger.idle_interval = absl::Hours(1);
  options_.executive.destructive_changes = true;
  Start();
  Stream stream(NewChannel(*server_), PositionAfter(Ledger().back()));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.response().entries_size(), 0);
  EXPECT_EQ(stream.response().last_sequence(), 1);
  for (int i = 0; i < 10; ++i) {
    const int64_t sequence = client_->Mutate(10 * i, 1 + i % 3);
    ASSERT_TRUE(stream.ReadTo(sequence));
    EXPECT_EQ(stream.response().last_sequence(), sequence);
  }
  const std::unique_ptr<v1::Executive::Stub> stub = v1::Executive::NewStub(NewChannel(*server_));
  const auto call = [&](auto method, auto request, auto response) {
    grpc::ClientContext context;
    const grpc::Status status = ((*stub).*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.sequence();
  };
  v1::AddFieldsRequest fields;
  fields.set_family("fam");
  fields.set_table("rows");
  fields.add_fields()->set_name("more");
  fields.mutable_fields(0)->set_type(v1::INTEGER);
  ASSERT_TRUE(
      stream.ReadTo(call(&v1::Executive::Stub::AddFields, fields, v1::AddFieldsResponse())));
  v1::ClearTableRequest clear;
  clear.set_family("fam");
  clear.set_table("rows");
  ASSERT_TRUE(
      stream.ReadTo(call(&v1::Executive::Stub::ClearTable, clear, v1::ClearTableResponse())));
  v1::DropTableRequest drop;
  drop.set_family("fam");
  drop.set_table("rows");
  ASSERT_TRUE(stream.ReadTo(call(&v1::Executive::Stub::DropTable, drop, v1::DropTableResponse())));
  EXPECT_EQ(Difference(EntriesBehind(Ledger(), 1), stream.entries()), "");
}

TEST_P(LedgerServiceTest, MessagesHaveWholeTransactions) {
  options_.ledger.message_bytes = 4000;
  Start();
  for (int i = 0; i < 60; ++i) client_->Mutate(100 * i, 1 + i % 20);
  Stream stream(NewChannel(*server_), {});
  const int64_t last = Ledger().back().sequence;
  while (stream.entries().empty() || stream.entries().back().sequence < last) {
    ASSERT_TRUE(stream.Read());
    int depth = 0;
    for (const v1::TailEntry& entry : stream.response().entries()) {
      if (entry.statement() == kBeginMarker) ++depth;
      if (entry.statement() == kCommitMarker) --depth;
      ASSERT_GE(depth, 0);
    }
    EXPECT_EQ(depth, 0);
  }
}

TEST_P(LedgerServiceTest, ManyListenersGetAllOfWhatTwoExecutivesWrite) {
  options_.ledger.buffer_bytes = 100000;
  options_.ledger.message_bytes = 10000;
  Start();
  const std::unique_ptr<ExecutiveServer> other = MustStart(options_);
  for (int i = 0; i < 50; ++i) client_->Mutate(i, 2);
  const std::vector<LedgerEntry> before = Ledger();

  std::atomic<int> running{3};
  std::atomic<int64_t> last{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      Client client(i == 0 ? *other : *server_);
      std::mt19937 random(i);
      for (int j = 0; j < 100; ++j) {
        const int64_t sequence = client.Mutate(random() % 1000, 1 + random() % 8, random() % 500);
        int64_t known = last;
        while (sequence > known && !last.compare_exchange_weak(known, sequence)) {
        }
      }
      --running;
    });
  }
  std::vector<std::vector<LedgerEntry>> found(10);
  std::vector<int64_t> begin(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(100 + i);
      begin[i] = random() % before.size();
      LedgerPosition position;
      if (begin[i] > 0) position = PositionAfter(before[begin[i] - 1]);
      if (i % 3 == 0) position.digest.clear();
      const std::shared_ptr<grpc::Channel> channel = NewChannel(i % 2 == 0 ? *server_ : *other);
      bool all = false;
      while (!all) {
        Stream stream(channel, position);
        // Sometimes it breaks off, sometimes it does not read for a while.
        int messages = random() % 3 == 0 ? 10 : 1000000;
        while (messages-- > 0 && stream.Read()) {
          if (random() % 20 == 0) absl::SleepFor(absl::Milliseconds(random() % 20));
          all =
              running == 0 && !stream.entries().empty() && stream.entries().back().sequence >= last;
          if (all) break;
          if (running == 0 && stream.entries().empty() && position.sequence >= last) {
            all = true;
            break;
          }
        }
        if (!all && messages >= 0) {
          const absl::Status end = stream.End();
          ASSERT_EQ(ErrorReason(end).value_or(""), reason::kSlowReader) << end;
        }
        for (const LedgerEntry& entry : stream.entries()) found[i].push_back(entry);
        if (!found[i].empty()) position = PositionAfter(found[i].back());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<LedgerEntry> ledger = Ledger();
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(Difference(EntriesBehind(ledger, begin[i]), found[i]), "") << "listener " << i;
  }
}

TEST_P(LedgerServiceTest, PositionsAreChecked) {
  Start();
  for (int i = 0; i < 20; ++i) client_->Mutate(i, 1);
  const std::shared_ptr<grpc::Channel> channel = NewChannel(*server_);
  ExpectRefusal(Refusal(channel, {10, std::string(16, 'x')}), absl::StatusCode::kFailedPrecondition,
                reason::kLedgerDiverged);
  ExpectRefusal(Refusal(channel, {22, ""}), absl::StatusCode::kUnavailable, reason::kLedgerBehind);
  ASSERT_TRUE(ctldb_.Connect()->Execute("DELETE FROM ctlstore_dml_ledger WHERE seq <= 10").ok());
  ExpectRefusal(Refusal(channel, {0, ""}), absl::StatusCode::kFailedPrecondition,
                reason::kLedgerPruned);
}

TEST_P(LedgerServiceTest, BadRequestsAreRefused) {
  Start();
  const std::shared_ptr<grpc::Channel> channel = NewChannel(*server_);
  absl::Status status = Refusal(channel, {-1, ""});
  ExpectRefusal(status, absl::StatusCode::kInvalidArgument, reason::kInvalidRequest);
  EXPECT_EQ(ErrorField(status).value_or(""), "after_sequence");
  status = Refusal(channel, {1, "too short"});
  ExpectRefusal(status, absl::StatusCode::kInvalidArgument, reason::kInvalidRequest);
  EXPECT_EQ(ErrorField(status).value_or(""), "after_digest");

  // Anything at all as a request: it is refused, or understood.
  std::mt19937 random(7);
  grpc::GenericStub stub(channel);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, "/ctlstore.v1.Ledger/Tail", &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(nullptr);
    queue.Next(&tag, &ok);
    call->WriteLast(request, grpc::WriteOptions(), nullptr);
    queue.Next(&tag, &ok);
    grpc::ByteBuffer response;
    call->Read(&response, nullptr);
    queue.Next(&tag, &ok);
    if (ok) context.TryCancel();
    grpc::Status end;
    call->Finish(&end, nullptr);
    queue.Next(&tag, &ok);
    EXPECT_NE(end.error_code(), grpc::StatusCode::INTERNAL) << end.error_message();
    EXPECT_NE(end.error_code(), grpc::StatusCode::UNKNOWN) << end.error_message();
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
  }
  Stream stream(channel, {});
  EXPECT_TRUE(stream.ReadTo(1));
}

TEST_P(LedgerServiceTest, OneThatDoesNotReadIsLetGoAndComesBack) {
  options_.ledger.buffer_bytes = 1 << 20;
  options_.ledger.message_bytes = 100000;
  Start();
  Stream slow(NewChannel(*server_), {1, ""});
  Stream fast(NewChannel(*server_), {1, ""});
  ASSERT_TRUE(slow.Read());
  // Much more than the ring and what is buffered on the way.
  std::thread reading([&] { fast.ReadTo(1 + 200); });
  for (int i = 0; i < 200; ++i) client_->Mutate(i, 1, 200000);
  reading.join();
  EXPECT_EQ(Difference(EntriesBehind(Ledger(), 1), fast.entries()), "");
  const absl::Status end = slow.End();
  ExpectRefusal(end, absl::StatusCode::kResourceExhausted, reason::kSlowReader);
  LedgerPosition reached{1, ""};
  if (!slow.entries().empty()) reached = PositionAfter(slow.entries().back());
  ASSERT_LT(reached.sequence, 201);
  Stream again(NewChannel(*server_), reached);
  ASSERT_TRUE(again.ReadTo(201));
  EXPECT_EQ(Difference(EntriesBehind(Ledger(), reached.sequence), again.entries()), "");
}

TEST_P(LedgerServiceTest, OneThatNeverReadsIsCancelled) {
  options_.ledger.listener_timeout = absl::Milliseconds(300);
  options_.ledger.shutdown_patience = absl::Minutes(10);
  Start();
  for (int i = 0; i < 100; ++i) client_->Mutate(i, 1, 200000);
  Stream never(NewChannel(*server_), {});
  Stream next(NewChannel(*server_), {});
  ASSERT_TRUE(next.ReadTo(101));
  // It waits for all that listen, and not for this one.
  next.Cancel();
  absl::SleepFor(absl::Seconds(1));
  server_->Shutdown(absl::Minutes(10));
}

TEST_P(LedgerServiceTest, ShutdownIsQuickWithOpenStreams) {
  Start();
  for (int i = 0; i < 100; ++i) client_->Mutate(i, 1, 200000);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 5; ++i) {
    streams.push_back(std::make_unique<Stream>(NewChannel(*server_), LedgerPosition()));
    ASSERT_TRUE(streams.back()->ReadTo(101));
  }
  Stream never(NewChannel(*server_), {});
  Stream later(NewChannel(*server_), {});
  ASSERT_TRUE(later.ReadTo(50));
  std::thread reading([&] {
    for (const auto& stream : streams) {
      const absl::Status end = stream->End();
      EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable) << end;
      EXPECT_TRUE(RetryDelay(end).has_value());
    }
  });
  // With such a grace the test would end by its own time limit.
  server_->Shutdown(absl::Hours(1));
  reading.join();
  EXPECT_FALSE(Refusal(NewChannel(*server_), {}).ok());
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, LedgerServiceTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

TEST(LedgerServiceRoles, ReadersAndAdminsMayListen) {
  TestCtldb ctldb(TestCtldb::Kind::kSqlite);
  ExecutiveServer::Options options = OptionsFor(ctldb);
  std::string folder = testing::TempDir() + "/ledger_roles_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string admin = "the-token-of-an-administrator";
  const std::string reader = "the-token-of-a-reader-of-data";
  std::ofstream(folder + "/admin") << admin << "\n";
  std::ofstream(folder + "/reader") << reader << "\n";
  options.server.access.admin_token_file = folder + "/admin";
  options.server.access.reader_token_file = folder + "/reader";
  const std::unique_ptr<ExecutiveServer> server = MustStart(options);
  ExpectRefusal(Refusal(NewChannel(*server), {}), absl::StatusCode::kUnauthenticated,
                reason::kNoRole);
  ExpectRefusal(Refusal(NewChannel(*server, "not-one-of-those-tokens"), {}),
                absl::StatusCode::kUnauthenticated, reason::kNoRole);
  for (const std::string& token : {admin, reader}) {
    Stream stream(NewChannel(*server, token), {});
    EXPECT_TRUE(stream.Read());
  }
}

TEST(LedgerServiceLimits, OneListenerTooManyIsRefused) {
  TestCtldb ctldb(TestCtldb::Kind::kSqlite);
  ExecutiveServer::Options options = OptionsFor(ctldb);
  options.ledger.max_listeners = 2;
  const std::unique_ptr<ExecutiveServer> server = MustStart(options);
  Stream first(NewChannel(*server), {});
  Stream second(NewChannel(*server), {});
  ASSERT_TRUE(first.Read());
  ASSERT_TRUE(second.Read());
  const absl::Status refused = Refusal(NewChannel(*server), {});
  ExpectRefusal(refused, absl::StatusCode::kResourceExhausted, reason::kTooManyListeners);
  EXPECT_TRUE(RetryDelay(refused).has_value());
}

// A ctldb behind a wire that breaks, or hands nothing on.
class LedgerOutageTest : public testing::TestWithParam<bool> {};

TEST_P(LedgerOutageTest, ListenersAreSentAwayUntilTheCtldbIsBack) {
  absl::StatusOr<std::unique_ptr<ctldb::testing::MariadbServer>> mariadb =
      ctldb::testing::MariadbServer::Start();
  ASSERT_TRUE(mariadb.ok()) << mariadb.status();
  rpc::testing::TcpProxy proxy((*mariadb)->port());
  ExecutiveServer::Options options;
  options.ctldb = (*mariadb)->NewDatabase();
  options.ctldb.socket.clear();
  options.ctldb.host = "127.0.0.1";
  options.ctldb.port = proxy.port();
  options.connection.io_timeout = options.connection.connect_timeout = absl::Seconds(2);
  options.server.listen = {"127.0.0.1:0"};
  options.executive.limits.default_writer_rows = 0;
  options.ledger.ctldb_patience = absl::Milliseconds(500);
  const std::unique_ptr<ExecutiveServer> server = MustStart(options);
  Client client(*server);
  client.SetUpTable();
  client.Mutate(1, 3);
  Stream first(NewChannel(*server), {});
  Stream second(NewChannel(*server), {});
  ASSERT_TRUE(first.ReadTo(6) && second.ReadTo(6));

  if (GetParam()) {
    proxy.Hang();
  } else {
    proxy.Cut();
  }
  for (Stream* stream : {&first, &second}) {
    const absl::Status end = stream->End();
    ExpectRefusal(end, absl::StatusCode::kUnavailable, reason::kCtldbUnavailable);
    EXPECT_TRUE(RetryDelay(end).has_value());
  }
  ExpectRefusal(Refusal(NewChannel(*server), {}), absl::StatusCode::kUnavailable,
                reason::kCtldbUnavailable);

  proxy.Restore();
  const LedgerPosition reached = PositionAfter(first.entries().back());
  std::unique_ptr<Stream> stream;
  ASSERT_TRUE(Eventually([&] {
    stream = std::make_unique<Stream>(NewChannel(*server), reached);
    return stream->Read();
  }));
  int64_t sequence = 0;
  ASSERT_TRUE(Eventually([&] {
    // The executive's own connections may be broken too.
    const absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection =
        ctldb::Connection::Open(options.ctldb, options.connection);
    if (!connection.ok()) return false;
    sequence = AppendToLedger(connection->get(), {StatementOf(1)});
    return true;
  }));
  ASSERT_TRUE(stream->ReadTo(sequence));
  EXPECT_EQ(stream->entries().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Wires, LedgerOutageTest, testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Hangs" : "Cut"; });

}  // namespace
}  // namespace ctlstore::executive
