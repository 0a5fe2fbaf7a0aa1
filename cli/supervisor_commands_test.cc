// The commands about supervisors, by the real binary against a supervisor that answers as a test
// tells it to.

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/subprocess.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/supervisor.grpc.pb.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

constexpr char kId[] = "00000000000000000012-20260102T030405Z-0a0b0c0d";

class FakeSupervisor : public v1::Supervisor::Service {
 public:
  grpc::Status TakeSnapshot(grpc::ServerContext*, const v1::TakeSnapshotRequest*,
                            v1::TakeSnapshotResponse* response) override {
    *response = taken;
    return rpc::ToGrpcStatus(answer);
  }
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetSupervisorStatusRequest*,
                         v1::GetSupervisorStatusResponse* response) override {
    *response = status;
    return rpc::ToGrpcStatus(answer);
  }

  // To be set before it is asked.
  v1::TakeSnapshotResponse taken;
  v1::GetSupervisorStatusResponse status;
  absl::Status answer;
};

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

class SupervisorCommandsTest : public ::testing::Test {
 protected:
  SupervisorCommandsTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/supervisor-", getpid(), "-",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        program_(absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore")) {
    std::filesystem::create_directories(folder_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&supervisor_);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
    SetInfo(supervisor_.taken.mutable_snapshot());
    supervisor_.taken.add_destinations()->set_url("file:///a");
    supervisor_.taken.add_destinations()->set_url("s3://bucket/b");
    supervisor_.status.set_stage(v1::GetSupervisorStatusResponse::IDLE);
    supervisor_.status.mutable_stage_age()->set_seconds(61);
    supervisor_.status.set_applied_sequence(9007199254740993);
    supervisor_.status.set_ledger_sequence(9007199254740993);
    auto* destination = supervisor_.status.add_destinations();
    destination->set_url("file:///a");
    SetInfo(destination->mutable_last_snapshot());
    destination->mutable_last_success()->set_seconds(1767323046);
  }
  ~SupervisorCommandsTest() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  static void SetInfo(v1::SnapshotInfo* info) {
    info->set_id(kId);
    info->set_sequence(9007199254740993);
    info->mutable_taken_at()->set_seconds(1767323045);
    info->set_compression("zstd");
    info->set_object_bytes(100);
    info->set_file_bytes(400);
    info->set_object_sha256("00ff");
    info->set_tables(3);
    info->set_rows(4);
  }

  Outcome Run(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {program_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Subprocess process(folder_, all, "", {{"CTLSTORE_SUPERVISOR", address_}});
    Outcome outcome;
    outcome.status = process.WaitForExit(kPatience);
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }

  const std::string folder_;
  const std::string program_;
  FakeSupervisor supervisor_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(SupervisorCommandsTest, SnapshotNowShowsWhatCameWhere) {
  const Outcome outcome = Run({"snapshot", "now"});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(outcome.output,
            "snapshot      00000000000000000012-20260102T030405Z-0a0b0c0d\n"
            "sequence      9007199254740993\n"
            "families      all\n"
            "tables, rows  3, 4\n"
            "bytes         100 (zstd), decompressed 400\n"
            "is in         file:///a\n"
            "is in         s3://bucket/b\n");
  const Outcome machine = Run({"snapshot", "now", "--json"});
  EXPECT_EQ(machine.status, kExitOk) << machine.errors;
  const json parsed = json::parse(machine.output, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(parsed["snapshot"]["id"], kId);
  EXPECT_EQ(parsed["snapshot"]["sequence"], 9007199254740993);
  EXPECT_EQ(parsed["snapshot"]["taken_at"], "2026-01-02T03:04:05Z");
  EXPECT_EQ(parsed["snapshot"]["object_bytes"], 100);
  ASSERT_EQ(parsed["destinations"].size(), 2u);
  EXPECT_EQ(parsed["destinations"][1]["url"], "s3://bucket/b");
  EXPECT_EQ(parsed["destinations"][1]["ok"], true);
}

TEST_F(SupervisorCommandsTest, OneDestinationThatFailedIsAnError) {
  supervisor_.taken.mutable_destinations(1)->set_error("PERMISSION_DENIED: wrong\ncredentials");
  supervisor_.taken.mutable_snapshot()->add_families("fam");
  const Outcome outcome = Run({"snapshot", "now"});
  EXPECT_EQ(outcome.status, kExitFailed);
  EXPECT_THAT(outcome.output, HasSubstr("is in         file:///a\n"));
  EXPECT_THAT(outcome.output, HasSubstr("FAILED in     s3://bucket/b: PERMISSION_DENIED: wrong"));
  EXPECT_THAT(outcome.output, HasSubstr("families      fam\n"));
  EXPECT_THAT(outcome.errors, HasSubstr("not in 1 of 2 destinations"));
  const Outcome machine = Run({"snapshot", "now", "--json"});
  EXPECT_EQ(machine.status, kExitFailed);
  const json parsed = json::parse(machine.output, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(parsed["destinations"][0]["ok"], true);
  EXPECT_EQ(parsed["destinations"][1]["ok"], false);
  EXPECT_EQ(parsed["destinations"][1]["error"], "PERMISSION_DENIED: wrong\ncredentials");
}

TEST_F(SupervisorCommandsTest, WhatTheSupervisorRefusesIsShownAsItSaysIt) {
  supervisor_.answer =
      ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLdbUnavailable, "is being built");
  const Outcome outcome = Run({"snapshot", "now"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.errors, HasSubstr("is being built"));
  EXPECT_THAT(outcome.errors, Not(HasSubstr("can be reached")));
}

TEST_F(SupervisorCommandsTest, StatusShowsEachDestination) {
  const Outcome outcome = Run({"status", "supervisor"});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(outcome.output,
            "stage              idle for 1m1s\n"
            "next snapshot      on demand\n"
            "applied sequence   9007199254740993\n"
            "ledger's sequence  9007199254740993\n"
            "destination        file:///a\n"
            "  last snapshot    00000000000000000012-20260102T030405Z-0a0b0c0d, sequence "
            "9007199254740993, 100 bytes\n"
            "  put there at     2026-01-02T03:04:06Z\n");
}

TEST_F(SupervisorCommandsTest, StatusIsAnErrorWhereSomethingIsWrong) {
  auto* failing = supervisor_.status.add_destinations();
  failing->set_url("s3://bucket/b");
  failing->set_error("UNAVAILABLE: away");
  failing->set_failures(12);
  const Outcome outcome = Run({"status", "supervisor"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.output, HasSubstr("  last snapshot    none since the start\n"));
  EXPECT_THAT(outcome.output, HasSubstr("  failures         12\n"));
  EXPECT_THAT(outcome.output, HasSubstr("  error            UNAVAILABLE: away\n"));
  EXPECT_THAT(outcome.errors, HasSubstr("not in 1 of 2 destinations"));

  supervisor_.status.set_not_ready("is being built");
  const Outcome machine = Run({"status", "supervisor", "--json"});
  EXPECT_EQ(machine.status, kExitUnavailable);
  EXPECT_THAT(machine.errors, HasSubstr("is being built"));
  const json parsed = json::parse(machine.output, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(parsed["ready"], false);
  EXPECT_EQ(parsed["stage"], "idle");
  EXPECT_EQ(parsed["next_snapshot"], json());
  EXPECT_EQ(parsed["destinations"][0]["last_snapshot"]["id"], kId);
  EXPECT_EQ(parsed["destinations"][1]["last_snapshot"], json());
  EXPECT_EQ(parsed["destinations"][1]["failures"], 12);
}

TEST_F(SupervisorCommandsTest, SaysWhereNoSupervisorAnswers) {
  server_->Shutdown();
  const Outcome outcome = Run({"snapshot", "now"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.errors, HasSubstr("--supervisor"));
  EXPECT_THAT(outcome.errors, HasSubstr(address_));
}

}  // namespace
}  // namespace ctlstore::cli
