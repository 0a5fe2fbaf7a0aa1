#include "reflector/reflector_server.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/reflector.grpc.pb.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A reflector that says what it is told to say, and writes down what it is asked to do.
class FakeControl : public ReflectorControl {
 public:
  std::vector<LdbStatus> Status() const override { return statuses; }
  absl::Status SkipEntry(absl::string_view ldb_path, int64_t sequence) override {
    told.push_back(absl::StrCat("skip ", ldb_path, " ", sequence));
    return answer;
  }
  absl::Status Rebuild(absl::string_view ldb_path) override {
    told.push_back(absl::StrCat("rebuild ", ldb_path));
    return answer;
  }

  std::vector<LdbStatus> statuses;
  absl::Status answer;
  std::vector<std::string> told;
};

class ReflectorServerTest : public ::testing::Test {
 protected:
  ReflectorServerTest() { options_.listen = {"127.0.0.1:0"}; }

  void Start() {
    auto server = ReflectorServer::Start(options_, &control_, &registry_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  template <typename Request, typename Response>
  using Method = grpc::Status (v1::Reflector::Stub::*)(grpc::ClientContext*, const Request&,
                                                       Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method, const Request& request,
                                const std::string& token = "") {
    rpc::ChannelOptions channel;
    channel.token = token;
    const auto stub =
        v1::Reflector::NewStub(rpc::NewChannel(server_->addresses().front(), channel));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    rpc::SetDeadline(absl::Now() + absl::Seconds(30), &context);
    Response response;
    const absl::Status status =
        rpc::FromGrpcStatus((stub.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<v1::SkipEntryResponse> Skip(const std::string& path, int64_t sequence,
                                             const std::string& token = "") {
    v1::SkipEntryRequest request;
    request.set_ldb_path(path);
    request.set_sequence(sequence);
    return Call(&v1::Reflector::Stub::SkipEntry, request, token);
  }

  std::string TokenFile(const std::string& name, const std::string& token) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
    std::ofstream(path) << token;
    return path;
  }

  FakeControl control_;
  prometheus::Registry registry_;
  rpc::ServerOptions options_;
  std::unique_ptr<ReflectorServer> server_;
};

TEST_F(ReflectorServerTest, ShowsEachLocalDatabaseAsItIs) {
  const absl::Time now = absl::Now();
  LdbStatus current;
  current.path = "/a/ldb.db";
  current.state = ReplicationState::kCurrent;
  current.applied_sequence = current.ledger_sequence = 9007199254740993;
  current.last_caught_up = now - absl::Milliseconds(5);
  current.upstream = "grpc://executive:3000";
  LdbStatus failed;
  failed.path = "/b/ldb.db";
  failed.state = ReplicationState::kEntryFailed;
  failed.error = absl::FailedPreconditionError("ledger entry 18: no such table");
  failed.readiness = absl::UnavailableError("ledger entry 18 cannot be applied");
  failed.applied_sequence = 17;
  failed.ledger_sequence = 30;
  failed.last_caught_up = now - absl::Hours(2);
  failed.families = {"flags", "geo"};
  failed.wal_bytes = 4096;
  failed.checkpoint_blocked_since = now - absl::Minutes(3);
  failed.checkpoint_blocked_by = 4711;
  failed.failed_sequence = 18;
  failed.skipped_entries = 2;
  failed.rebuild_sequence = 5;
  failed.rebuild_reason = "because";
  failed.changelog_path = "/b/changes";
  control_.statuses = {current, failed};
  Start();

  const auto response = Call(&v1::Reflector::Stub::GetStatus, v1::GetReflectorStatusRequest());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(response->instance(), EndsWith(absl::StrCat("/", getpid())));
  ASSERT_EQ(response->ldbs_size(), 2);
  const v1::LdbStatus& a = response->ldbs(0);
  EXPECT_EQ(a.path(), "/a/ldb.db");
  EXPECT_EQ(a.state(), v1::CURRENT);
  EXPECT_EQ(a.error(), "");
  EXPECT_EQ(a.not_ready(), "");
  EXPECT_EQ(a.applied_sequence(), 9007199254740993);
  EXPECT_EQ(a.ledger_sequence(), 9007199254740993);
  EXPECT_FALSE(a.has_behind());
  EXPECT_EQ(rpc::FromProto(a.last_caught_up()), *current.last_caught_up);
  EXPECT_EQ(a.upstream(), "grpc://executive:3000");
  EXPECT_THAT(a.families(), IsEmpty());
  EXPECT_FALSE(a.has_checkpoint_blocked());
  const v1::LdbStatus& b = response->ldbs(1);
  EXPECT_EQ(b.path(), "/b/ldb.db");
  EXPECT_EQ(b.state(), v1::ENTRY_FAILED);
  EXPECT_THAT(b.error(), HasSubstr("no such table"));
  EXPECT_EQ(b.not_ready(), "ledger entry 18 cannot be applied");
  EXPECT_EQ(b.applied_sequence(), 17);
  EXPECT_EQ(b.ledger_sequence(), 30);
  EXPECT_GE(rpc::FromProto(b.behind()), absl::Hours(2));
  EXPECT_THAT(b.families(), ElementsAre("flags", "geo"));
  EXPECT_EQ(b.wal_bytes(), 4096);
  EXPECT_GE(rpc::FromProto(b.checkpoint_blocked()), absl::Minutes(3));
  EXPECT_EQ(b.checkpoint_blocked_by_pid(), 4711);
  EXPECT_EQ(b.failed_sequence(), 18);
  EXPECT_EQ(b.skipped_entries(), 2);
  EXPECT_EQ(b.rebuild_sequence(), 5);
  EXPECT_EQ(b.rebuild_reason(), "because");
  EXPECT_EQ(b.changelog_path(), "/b/changes");
}

TEST_F(ReflectorServerTest, EachStateHasANameOfItsOwnInTheContract) {
  Start();
  for (int i = 0; i <= static_cast<int>(ReplicationState::kRebuilding); ++i) {
    LdbStatus status;
    status.state = static_cast<ReplicationState>(i);
    control_.statuses = {status};
    const auto response = Call(&v1::Reflector::Stub::GetStatus, v1::GetReflectorStatusRequest());
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(absl::AsciiStrToLower(v1::ReflectorState_Name(response->ldbs(0).state())),
              ReplicationStateName(status.state));
  }
}

TEST_F(ReflectorServerTest, TellsTheReflectorAndReturnsItsAnswer) {
  Start();
  EXPECT_TRUE(Skip("/a/ldb.db", 18).ok());
  control_.answer = absl::FailedPreconditionError("entry 18 does not stand in the way");
  const absl::Status refused = Skip("", 18).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused.message(), "entry 18 does not stand in the way");
  control_.answer = absl::OkStatus();
  v1::RebuildRequest request;
  request.set_ldb_path("/a/ldb.db");
  EXPECT_TRUE(Call(&v1::Reflector::Stub::Rebuild, request).ok());
  EXPECT_THAT(control_.told, ElementsAre("skip /a/ldb.db 18", "skip  18", "rebuild /a/ldb.db"));
}

TEST_F(ReflectorServerTest, AReaderMaySeeAndOnlyAnAdministratorMayTell) {
  options_.access.admin_token_file = TokenFile("admin", "an-administrator's-token");
  options_.access.reader_token_file = TokenFile("reader", "a-reader's-token-of-its-own");
  Start();
  const v1::GetReflectorStatusRequest request;
  EXPECT_EQ(ErrorReason(Call(&v1::Reflector::Stub::GetStatus, request).status()), reason::kNoRole);
  EXPECT_TRUE(Call(&v1::Reflector::Stub::GetStatus, request, "a-reader's-token-of-its-own").ok());
  EXPECT_EQ(ErrorReason(Skip("", 1).status()), reason::kNoRole);
  EXPECT_EQ(ErrorReason(Skip("", 1, "a-reader's-token-of-its-own").status()), reason::kRoleMissing);
  EXPECT_EQ(ErrorReason(Call(&v1::Reflector::Stub::Rebuild, v1::RebuildRequest(),
                             "a-reader's-token-of-its-own")
                            .status()),
            reason::kRoleMissing);
  EXPECT_THAT(control_.told, IsEmpty());
  EXPECT_TRUE(Skip("", 1, "an-administrator's-token").ok());
  EXPECT_THAT(control_.told, ElementsAre("skip  1"));
}

}  // namespace
}  // namespace ctlstore::reflector
