// `ctlstore watch`, by the real binary against a sidecar that tells what a test wants.

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/subprocess.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"

namespace ctlstore::cli {
namespace {

using ::testing::HasSubstr;

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

// Answers one call after the other, and then ends each with its last status.
class FakeSidecar : public v1::Sidecar::Service {
 public:
  struct Answer {
    std::vector<v1::WatchResponse> messages;
    absl::Status end;
  };

  void Add(Answer answer) {
    absl::MutexLock lock(&mutex_);
    answers_.push_back(std::move(answer));
  }

  std::vector<v1::WatchRequest> requests() const {
    absl::MutexLock lock(&mutex_);
    return requests_;
  }

  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override {
    Answer answer;
    {
      absl::MutexLock lock(&mutex_);
      requests_.push_back(*request);
      answer.end = absl::PermissionDeniedError("the test ends here");
      if (!answers_.empty()) {
        answer = answers_.front();
        answers_.pop_front();
      }
    }
    for (const v1::WatchResponse& message : answer.messages) writer->Write(message);
    return rpc::ToGrpcStatus(answer.end);
  }

 private:
  mutable absl::Mutex mutex_;
  std::deque<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::WatchRequest> requests_ ABSL_GUARDED_BY(mutex_);
};

v1::WatchResponse Message(int64_t sequence) {
  v1::WatchResponse message;
  message.set_sequence(sequence);
  return message;
}

v1::WatchResponse Reset(int64_t sequence) {
  v1::WatchResponse message = Message(sequence);
  message.set_everything_changed(true);
  return message;
}

v1::RowChange* AddChange(int64_t sequence, v1::WatchResponse* message) {
  v1::RowChange* change = message->add_changes();
  change->set_sequence(sequence);
  change->set_family("geo");
  change->set_table("places");
  return change;
}

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

class WatchCommandTest : public ::testing::Test {
 protected:
  WatchCommandTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/watch-", getpid(), "-",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        program_(absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore")) {
    std::filesystem::create_directories(folder_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&sidecar_);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~WatchCommandTest() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  // To its end.
  Outcome Run(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {program_, "watch"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Subprocess process(folder_, all, "", {{"CTLSTORE_SIDECAR", address_}});
    Outcome outcome;
    outcome.status = process.WaitForExit(kPatience);
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }

  const std::string folder_;
  const std::string program_;
  FakeSidecar sidecar_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(WatchCommandTest, EachLineTellsOneThing) {
  v1::WatchResponse changes = Message(9007199254740993);
  v1::RowChange* change = AddChange(9007199254740991, &changes);
  change->add_key()->set_text("n\"z");
  change->add_key()->set_integer(-1);
  change->add_key()->set_bytes(std::string("\0\xff", 2));
  AddChange(9007199254740992, &changes);
  sidecar_.Add(
      {{Message(5), changes, Reset(9007199254740994)}, absl::PermissionDeniedError("no more")});
  const Outcome outcome = Run({});
  EXPECT_EQ(outcome.output,
            "{\"sequence\":5}\n"
            "{\"sequence\":9007199254740991,\"family\":\"geo\",\"table\":\"places\","
            "\"key\":[\"n\\\"z\",-1,\"AP8=\"]}\n"
            "{\"sequence\":9007199254740992,\"family\":\"geo\",\"table\":\"places\"}\n"
            "{\"sequence\":9007199254740994,\"everything_changed\":true}\n");
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_THAT(outcome.errors, HasSubstr("no more"));
  EXPECT_EQ(sidecar_.requests()[0].ShortDebugString(), "");
}

TEST_F(WatchCommandTest, RowsAreShownWhereTheyAreAskedFor) {
  v1::WatchResponse changes = Message(3);
  v1::RowChange* written = AddChange(1, &changes);
  written->add_key()->set_text("nz");
  auto& values = *written->mutable_row()->mutable_values();
  values["id"].set_text("nz");
  values["area"].set_null(google::protobuf::NULL_VALUE);
  AddChange(2, &changes)->add_key()->set_text("fr");
  AddChange(3, &changes);
  sidecar_.Add({{changes}, absl::PermissionDeniedError("no more")});
  const Outcome outcome = Run({"--with_rows"});
  EXPECT_EQ(outcome.output,
            "{\"sequence\":1,\"family\":\"geo\",\"table\":\"places\",\"key\":[\"nz\"],"
            "\"row\":{\"area\":null,\"id\":\"nz\"}}\n"
            "{\"sequence\":2,\"family\":\"geo\",\"table\":\"places\",\"key\":[\"fr\"],"
            "\"row\":null}\n"
            "{\"sequence\":3,\"family\":\"geo\",\"table\":\"places\"}\n");
  EXPECT_TRUE(sidecar_.requests()[0].with_rows());
}

TEST_F(WatchCommandTest, AsksForWhatIsNamed) {
  Run({"GEO", "shop.Prices", "--after_sequence=7"});
  ASSERT_EQ(sidecar_.requests().size(), 1u);
  EXPECT_EQ(sidecar_.requests()[0].ShortDebugString(),
            "after_sequence: 7 selectors { family: \"geo\" } "
            "selectors { family: \"shop\" table: \"prices\" }");
}

TEST_F(WatchCommandTest, GoesOnWhereItWasWhenTheSidecarComesBack) {
  sidecar_.Add({{Message(5), Message(8)}, absl::UnavailableError("this sidecar ends")});
  sidecar_.Add({{}, absl::UnavailableError("no local database")});
  sidecar_.Add({{Message(9)}, absl::CancelledError("")});
  const Outcome outcome = Run({"geo"});
  EXPECT_EQ(outcome.output, "{\"sequence\":5}\n{\"sequence\":8}\n{\"sequence\":9}\n");
  EXPECT_THAT(outcome.errors, HasSubstr("this sidecar ends"));
  EXPECT_THAT(outcome.errors, HasSubstr("after sequence 8"));
  // Said once for each time that it is away.
  EXPECT_THAT(outcome.errors, ::testing::Not(HasSubstr("no local database")));
  const std::vector<v1::WatchRequest> requests = sidecar_.requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_FALSE(requests[0].has_after_sequence());
  EXPECT_EQ(requests[1].after_sequence(), 8);
  EXPECT_EQ(requests[2].after_sequence(), 8);
  EXPECT_EQ(requests[3].after_sequence(), 9);
  EXPECT_EQ(requests[3].selectors(0).family(), "geo");
}

TEST_F(WatchCommandTest, SaysWhereNoSidecarAnswers) {
  server_->Shutdown();
  const Outcome outcome = Run({});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.errors, HasSubstr("--sidecar"));
}

TEST_F(WatchCommandTest, WhatIsNotANameIsNeverSent) {
  EXPECT_EQ(Run({"no__pe"}).status, kExitRefused);
  EXPECT_EQ(Run({"geo."}).status, kExitRefused);
  EXPECT_EQ(Run({"geo.a.b"}).status, kExitRefused);
  EXPECT_EQ(Run({"--after_sequence=-2"}).status, kExitUsage);
  EXPECT_EQ(Run({"--after_sequence=x"}).status, kExitUsage);
  EXPECT_EQ(sidecar_.requests().size(), 0u);
}

TEST_F(WatchCommandTest, RunsUntilItIsStopped) {
  sidecar_.Add({{Message(5)}, absl::UnavailableError("this sidecar ends")});
  for (int i = 0; i < 1000; ++i) sidecar_.Add({{}, absl::UnavailableError("away")});
  Subprocess process(folder_, {program_, "watch"}, "", {{"CTLSTORE_SIDECAR", address_}});
  // What is told is there at once, not only at the end.
  ASSERT_TRUE(process.WaitForOutput("{\"sequence\":5}\n", kPatience));
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(kPatience), 128 + SIGTERM);
}

}  // namespace
}  // namespace ctlstore::cli
