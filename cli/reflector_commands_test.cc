// The commands about reflectors, by the real binary against a reflector that answers as a test
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
#include "ctlstore/v1/reflector.grpc.pb.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

class FakeReflector : public v1::Reflector::Service {
 public:
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetReflectorStatusRequest*,
                         v1::GetReflectorStatusResponse* response) override {
    *response = status;
    return rpc::ToGrpcStatus(answer);
  }
  grpc::Status SkipEntry(grpc::ServerContext*, const v1::SkipEntryRequest* request,
                         v1::SkipEntryResponse*) override {
    asked.push_back(absl::StrCat("skip ", request->ldb_path(), " ", request->sequence()));
    return rpc::ToGrpcStatus(answer);
  }
  grpc::Status Rebuild(grpc::ServerContext*, const v1::RebuildRequest* request,
                       v1::RebuildResponse*) override {
    asked.push_back(absl::StrCat("rebuild ", request->ldb_path()));
    return rpc::ToGrpcStatus(answer);
  }

  // To be set before it is asked, and looked at after.
  v1::GetReflectorStatusResponse status;
  absl::Status answer;
  std::vector<std::string> asked;
};

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

class ReflectorCommandsTest : public ::testing::Test {
 protected:
  ReflectorCommandsTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/reflector-", getpid(), "-",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        program_(absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore")) {
    std::filesystem::create_directories(folder_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&reflector_);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~ReflectorCommandsTest() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  Outcome Run(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {program_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Subprocess process(folder_, all, "", {{"CTLSTORE_REFLECTOR", address_}});
    Outcome outcome;
    outcome.status = process.WaitForExit(kPatience);
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }

  v1::LdbStatus* AddCurrent(const std::string& path) {
    v1::LdbStatus* ldb = reflector_.status.add_ldbs();
    ldb->set_path(path);
    ldb->set_state(v1::CURRENT);
    ldb->set_applied_sequence(9007199254740993);
    ldb->set_ledger_sequence(9007199254740993);
    ldb->set_upstream("grpc://executive:3000");
    return ldb;
  }

  const std::string folder_;
  const std::string program_;
  FakeReflector reflector_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(ReflectorCommandsTest, ShowsACurrentCopyInAFewLines) {
  AddCurrent("/a/ldb.db");
  const Outcome outcome = Run({"status", "reflector"});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(outcome.output,
            "local database     /a/ldb.db\n"
            "state              current\n"
            "applied sequence   9007199254740993\n"
            "ledger's sequence  9007199254740993\n"
            "upstream           grpc://executive:3000\n"
            "families           all\n"
            "WAL bytes          0\n");
}

TEST_F(ReflectorCommandsTest, ACopyThatIsNotReadyIsShownAndIsAnError) {
  AddCurrent("/a/ldb.db");
  v1::LdbStatus* ldb = AddCurrent("/b/ldb.db");
  ldb->set_state(v1::ENTRY_FAILED);
  ldb->set_error("ledger entry 18: no such table");
  ldb->set_not_ready("ledger entry 18 cannot be applied");
  ldb->set_failed_sequence(18);
  ldb->set_skipped_entries(2);
  ldb->add_families("flags");
  ldb->add_families("geo");
  ldb->mutable_behind()->set_seconds(90);
  ldb->mutable_checkpoint_blocked()->set_seconds(12);
  ldb->set_checkpoint_blocked_by_pid(4711);
  const Outcome outcome = Run({"status", "reflector"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  for (const char* text : {"/a/ldb.db", "entry_failed", "no such table", "flags, geo", "1m30s",
                           "12s, process 4711", "not the same as the ctldb"}) {
    EXPECT_THAT(outcome.output, HasSubstr(text));
  }
  EXPECT_THAT(outcome.errors, HasSubstr("/b/ldb.db is not ready"));

  const Outcome machine = Run({"status", "reflector", "--json"});
  EXPECT_EQ(machine.status, kExitUnavailable);
  const json parsed = json::parse(machine.output, nullptr, /*allow_exceptions=*/false);
  ASSERT_EQ(parsed["ldbs"].size(), 2u) << machine.output;
  EXPECT_EQ(parsed["ldbs"][0]["ready"], true);
  EXPECT_EQ(parsed["ldbs"][0]["applied_sequence"], 9007199254740993);
  EXPECT_EQ(parsed["ldbs"][1]["state"], "entry_failed");
  EXPECT_EQ(parsed["ldbs"][1]["failed_sequence"], 18);
  EXPECT_EQ(parsed["ldbs"][1]["behind_seconds"], 90.0);
  EXPECT_EQ(parsed["ldbs"][1]["families"], json({"flags", "geo"}));
}

TEST_F(ReflectorCommandsTest, SkipsTheEntryThatIsNamed) {
  EXPECT_EQ(Run({"reflector", "skip", "18"}).status, kExitOk);
  EXPECT_EQ(Run({"reflector", "skip", "19", "/b/ldb.db"}).status, kExitOk);
  EXPECT_THAT(reflector_.asked, ElementsAre("skip  18", "skip /b/ldb.db 19"));
  reflector_.answer = absl::FailedPreconditionError("entry 18 does not stand in the way");
  const Outcome refused = Run({"reflector", "skip", "18"});
  EXPECT_EQ(refused.status, kExitRefused);
  EXPECT_THAT(refused.errors, HasSubstr("does not stand in the way"));
}

TEST_F(ReflectorCommandsTest, WhatIsNotASequenceIsNeverSent) {
  for (const char* sequence : {"0", "-1", "x", "1x", "99999999999999999999"}) {
    EXPECT_EQ(Run({"reflector", "skip", "--", sequence}).status, kExitUsage) << sequence;
  }
  EXPECT_EQ(Run({"reflector", "skip"}).status, kExitUsage);
  EXPECT_THAT(reflector_.asked, ElementsAre());
}

TEST_F(ReflectorCommandsTest, Rebuilds) {
  const Outcome outcome = Run({"reflector", "rebuild", "/b/ldb.db"});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_THAT(reflector_.asked, ElementsAre("rebuild /b/ldb.db"));
  reflector_.answer = absl::NotFoundError("there is no local database /c/ldb.db here");
  EXPECT_EQ(Run({"reflector", "rebuild", "/c/ldb.db"}).status, kExitNotFound);
}

TEST_F(ReflectorCommandsTest, SaysWhereNoReflectorAnswers) {
  server_->Shutdown();
  const Outcome outcome = Run({"status", "reflector"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.errors, HasSubstr("--reflector"));
  EXPECT_THAT(outcome.errors, HasSubstr(address_));
}

}  // namespace
}  // namespace ctlstore::cli
