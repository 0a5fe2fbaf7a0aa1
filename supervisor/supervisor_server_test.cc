#include "supervisor/supervisor_server.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/reflector.grpc.pb.h"
#include "ctlstore/v1/supervisor.grpc.pb.h"
#include "reflector/reflector_control.h"

namespace ctlstore::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A supervisor that says what it is told to say.
class FakeControl : public SupervisorControl {
 public:
  void TakeSnapshot(OnTaken on_taken) override {
    {
      absl::MutexLock lock(&mutex_);
      if (hold_) {
        waiting_.push_back(std::move(on_taken));
        return;
      }
    }
    on_taken(result);
  }
  void ListSnapshots(OnListed on_listed) override { on_listed(lists); }
  SupervisorStatus Status() const override { return status; }

  void Hold() {
    absl::MutexLock lock(&mutex_);
    hold_ = true;
  }
  void WaitForCallers(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]()
                           ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return waiting_.size() == count; };
    mutex_.Await(absl::Condition(&there));
  }
  void Answer() {
    std::vector<OnTaken> waiting;
    {
      absl::MutexLock lock(&mutex_);
      waiting.swap(waiting_);
    }
    for (const OnTaken& each : waiting) each(result);
  }

  absl::StatusOr<SnapshotResult> result = absl::UnknownError("not set");
  std::vector<DestinationList> lists;
  SupervisorStatus status;

 private:
  absl::Mutex mutex_;
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<OnTaken> waiting_ ABSL_GUARDED_BY(mutex_);
};

// A reflector that writes down what it is asked to do.
class FakeReflector : public reflector::ReflectorControl {
 public:
  std::vector<reflector::LdbStatus> Status() const override { return {reflector::LdbStatus()}; }
  absl::Status SkipEntry(absl::string_view, int64_t) override { return absl::OkStatus(); }
  absl::Status Rebuild(absl::string_view) override {
    ++rebuilds;
    return absl::OkStatus();
  }

  int rebuilds = 0;
};

SnapshotSummary Summary() {
  SnapshotSummary summary;
  summary.id = "00000000000000000012-20260102T030405Z-0a0b0c0d";
  summary.sequence = 12;
  summary.taken_at = absl::FromUnixSeconds(1767323045);
  summary.compression = snapshot::Compression::kGzip;
  summary.object_bytes = 100;
  summary.file_bytes = 400;
  summary.object_sha256 = std::string("\x01\xfe", 2);
  summary.tables = 3;
  summary.rows = 4;
  summary.families = {"fam", "other"};
  return summary;
}

class SupervisorServerTest : public ::testing::Test {
 protected:
  SupervisorServerTest() { options_.listen = {"127.0.0.1:0"}; }

  void Start() {
    auto server = SupervisorServer::Start(options_, &control_, &reflector_, &registry_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  template <typename Request, typename Response>
  using Method = grpc::Status (v1::Supervisor::Stub::*)(grpc::ClientContext*, const Request&,
                                                        Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method, const Request& request,
                                const std::string& token = "",
                                absl::Duration timeout = absl::Seconds(30)) {
    rpc::ChannelOptions channel;
    channel.token = token;
    const auto stub =
        v1::Supervisor::NewStub(rpc::NewChannel(server_->addresses().front(), channel));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    rpc::SetDeadline(absl::Now() + timeout, &context);
    Response response;
    const absl::Status status =
        rpc::FromGrpcStatus((stub.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  auto Take(const std::string& token = "", absl::Duration timeout = absl::Seconds(30)) {
    return Call(&v1::Supervisor::Stub::TakeSnapshot, v1::TakeSnapshotRequest(), token, timeout);
  }

  std::string TokenFile(const std::string& name, const std::string& token) {
    const std::string path =
        absl::StrCat(::testing::TempDir(), "/supervisor-", getpid(), "-", name);
    std::ofstream(path) << token << "\n";
    return path;
  }

  FakeControl control_;
  FakeReflector reflector_;
  prometheus::Registry registry_;
  rpc::ServerOptions options_;
  std::unique_ptr<SupervisorServer> server_;
};

TEST_F(SupervisorServerTest, ASnapshotIsToldWithEachDestination) {
  SnapshotResult result;
  result.snapshot = Summary();
  result.destinations = {{"file:///a", absl::OkStatus()},
                         {"s3://bucket/b", absl::PermissionDeniedError("wrong credentials")}};
  control_.result = result;
  Start();
  const auto taken = Take();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->snapshot().id(), result.snapshot.id);
  EXPECT_EQ(taken->snapshot().sequence(), 12);
  EXPECT_EQ(rpc::FromProto(taken->snapshot().taken_at()), result.snapshot.taken_at);
  EXPECT_EQ(taken->snapshot().compression(), "gzip");
  EXPECT_EQ(taken->snapshot().object_bytes(), 100);
  EXPECT_EQ(taken->snapshot().file_bytes(), 400);
  EXPECT_EQ(taken->snapshot().object_sha256(), "01fe");
  EXPECT_EQ(taken->snapshot().tables(), 3);
  EXPECT_EQ(taken->snapshot().rows(), 4);
  EXPECT_THAT(taken->snapshot().families(), ElementsAre("fam", "other"));
  ASSERT_EQ(taken->destinations_size(), 2);
  EXPECT_EQ(taken->destinations(0).url(), "file:///a");
  EXPECT_THAT(taken->destinations(0).error(), IsEmpty());
  EXPECT_THAT(taken->destinations(1).error(), HasSubstr("wrong credentials"));
}

TEST_F(SupervisorServerTest, CallersWhoWaitTakeNoThreadAndMayGiveUp) {
  control_.result = absl::UnavailableError("all failed");
  control_.Hold();
  Start();
  const auto gave_up = Take("", absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsDeadlineExceeded(gave_up.status())) << gave_up.status();
  constexpr int kCallers = 50;
  std::vector<std::thread> callers;
  std::vector<absl::Status> statuses(kCallers);
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([this, &status = statuses[i]] { status = Take().status(); });
  }
  control_.WaitForCallers(kCallers + 1);
  const auto status = Call(&v1::Supervisor::Stub::GetStatus, v1::GetSupervisorStatusRequest());
  EXPECT_TRUE(status.ok()) << status.status();
  control_.Answer();
  for (std::thread& caller : callers) caller.join();
  for (const absl::Status& each : statuses) EXPECT_TRUE(absl::IsUnavailable(each)) << each;
}

TEST_F(SupervisorServerTest, TheStatusIsTold) {
  const absl::Time now = absl::Now();
  control_.status.stage = Stage::kCompressing;
  control_.status.stage_since = now - absl::Seconds(90);
  control_.status.next_snapshot = now + absl::Minutes(4);
  control_.status.applied_sequence = 70;
  control_.status.ledger_sequence = 71;
  control_.status.readiness = absl::UnavailableError("is being built");
  DestinationStatus never;
  never.url = "file:///never";
  never.last_error = absl::UnavailableError("away");
  never.failures = 9;
  DestinationStatus fine;
  fine.url = "file:///fine";
  fine.last_snapshot = Summary();
  fine.last_success = now;
  control_.status.destinations = {never, fine};
  Start();
  const auto status = Call(&v1::Supervisor::Stub::GetStatus, v1::GetSupervisorStatusRequest());
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_THAT(status->instance(), HasSubstr(absl::StrCat("/", getpid())));
  EXPECT_EQ(status->stage(), v1::GetSupervisorStatusResponse::COMPRESSING);
  EXPECT_GE(rpc::FromProto(status->stage_age()), absl::Seconds(90));
  EXPECT_TRUE(status->has_next_snapshot());
  EXPECT_EQ(status->applied_sequence(), 70);
  EXPECT_EQ(status->ledger_sequence(), 71);
  EXPECT_EQ(status->not_ready(), "is being built");
  ASSERT_EQ(status->destinations_size(), 2);
  EXPECT_FALSE(status->destinations(0).has_last_snapshot());
  EXPECT_FALSE(status->destinations(0).has_last_success());
  EXPECT_EQ(status->destinations(0).failures(), 9);
  EXPECT_THAT(status->destinations(0).error(), HasSubstr("away"));
  EXPECT_EQ(status->destinations(1).last_snapshot().id(), Summary().id);
  EXPECT_TRUE(status->destinations(1).has_last_success());
}

TEST_F(SupervisorServerTest, SnapshotsAreListedByDestination) {
  control_.lists = {{"file:///a", absl::OkStatus(), {Summary(), Summary()}},
                    {"file:///b", absl::UnavailableError("away"), {}}};
  Start();
  const auto listed = Call(&v1::Supervisor::Stub::ListSnapshots, v1::ListSnapshotsRequest());
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->destinations_size(), 2);
  EXPECT_EQ(listed->destinations(0).snapshots_size(), 2);
  EXPECT_THAT(listed->destinations(1).error(), HasSubstr("away"));
}

TEST_F(SupervisorServerTest, TakingNeedsAnAdminAndLookingAReader) {
  options_.access.admin_token_file = TokenFile("admin", "admin-token-0123456789");
  options_.access.reader_token_file = TokenFile("reader", "reader-token-0123456789");
  control_.result = SnapshotResult();
  Start();
  const auto status = [this](const std::string& token) {
    return Call(&v1::Supervisor::Stub::GetStatus, v1::GetSupervisorStatusRequest(), token).status();
  };
  const auto list = [this](const std::string& token) {
    return Call(&v1::Supervisor::Stub::ListSnapshots, v1::ListSnapshotsRequest(), token).status();
  };
  for (const absl::Status& refused : {Take().status(), status(""), list("")}) {
    EXPECT_TRUE(HasReason(refused, reason::kNoRole)) << refused;
  }
  EXPECT_TRUE(HasReason(Take("reader-token-0123456789").status(), reason::kRoleMissing));
  EXPECT_TRUE(status("reader-token-0123456789").ok());
  EXPECT_TRUE(list("reader-token-0123456789").ok());
  EXPECT_TRUE(Take("admin-token-0123456789").ok());
}

TEST_F(SupervisorServerTest, ItsOwnCopyIsSeenAndToldAsAReflectorsIs) {
  options_.access.admin_token_file = TokenFile("rebuilder", "admin-token-0123456789");
  Start();
  for (const std::string token : {"", "admin-token-0123456789"}) {
    rpc::ChannelOptions channel;
    channel.token = token;
    const auto stub =
        v1::Reflector::NewStub(rpc::NewChannel(server_->addresses().front(), channel));
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + absl::Seconds(30), &context);
    v1::RebuildResponse response;
    const absl::Status status =
        rpc::FromGrpcStatus(stub->Rebuild(&context, v1::RebuildRequest(), &response));
    EXPECT_EQ(status.ok(), !token.empty()) << status;
  }
  EXPECT_EQ(reflector_.rebuilds, 1);
}

}  // namespace
}  // namespace ctlstore::supervisor
