#include "executive/executive_server.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

absl::Status CreateFamily(const ExecutiveServer& server, const std::string& family) {
  std::unique_ptr<v1::Executive::Stub> stub =
      v1::Executive::NewStub(rpc::NewChannel(server.addresses()[0]));
  grpc::ClientContext context;
  rpc::SetDeadline(absl::Now() + absl::Minutes(1), &context);
  v1::CreateFamilyRequest request;
  request.set_family(family);
  v1::CreateFamilyResponse response;
  return rpc::FromGrpcStatus(stub->CreateFamily(&context, request, &response));
}

class ExecutiveServerTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  ExecutiveServer::Options Options(const TestCtldb& ctldb) {
    ExecutiveServer::Options options;
    options.ctldb = ctldb.target();
    options.connection = ctldb.options();
    options.server.listen = {"127.0.0.1:0"};
    return options;
  }
};

TEST_P(ExecutiveServerTest, SeveralStartAtOnceOnOneCtldb) {
  TestCtldb ctldb(GetParam());
  constexpr int kServers = 4;
  std::vector<std::unique_ptr<ExecutiveServer>> servers(kServers);
  std::vector<std::thread> threads;
  for (int i = 0; i < kServers; ++i) {
    threads.emplace_back([&, i] {
      absl::StatusOr<std::unique_ptr<ExecutiveServer>> server =
          ExecutiveServer::Start(Options(ctldb));
      ASSERT_TRUE(server.ok()) << server.status();
      servers[i] = *std::move(server);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::unique_ptr<ExecutiveServer>& server : servers) {
    ASSERT_NE(server, nullptr);
    const absl::Status status = CreateFamily(*server, "fam");
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_P(ExecutiveServerTest, StartsAgainOnTheSameData) {
  TestCtldb ctldb(GetParam());
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<std::unique_ptr<ExecutiveServer>> server =
        ExecutiveServer::Start(Options(ctldb));
    ASSERT_TRUE(server.ok()) << server.status();
    EXPECT_TRUE(CreateFamily(**server, "fam").ok());
    (*server)->Shutdown(absl::Seconds(10));
    EXPECT_FALSE(CreateFamily(**server, "fam").ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, ExecutiveServerTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

// A ctldb whose folder cannot be made (yet): a file is in its place.
class MissingCtldbTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "/executive_server_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::ofstream(folder_ + "/later") << "in the way";
    options_.ctldb.kind = ctldb::Target::Kind::kSqlite;
    options_.ctldb.path = folder_ + "/later/ctldb";
    options_.server.listen = {"127.0.0.1:0"};
  }

  std::string folder_;
  ExecutiveServer::Options options_;
};

TEST_F(MissingCtldbTest, IsWaitedFor) {
  std::unique_ptr<ExecutiveServer> server;
  std::thread starter([&] {
    absl::StatusOr<std::unique_ptr<ExecutiveServer>> started = ExecutiveServer::Start(options_);
    ASSERT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  });
  EXPECT_EQ(unlink((folder_ + "/later").c_str()), 0);
  starter.join();
  ASSERT_NE(server, nullptr);
  EXPECT_TRUE(CreateFamily(*server, "fam").ok());
}

TEST_F(MissingCtldbTest, IsNotWaitedForForever) {
  options_.ctldb_wait = absl::Milliseconds(300);
  const absl::Status status = ExecutiveServer::Start(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), options_.ctldb.path)) << status;
}

TEST_F(MissingCtldbTest, IsNotWaitedForAfterAStop) {
  options_.ctldb_wait = absl::InfiniteDuration();
  absl::Notification stop;
  options_.stop = &stop;
  std::thread stopper([&stop] { stop.Notify(); });
  EXPECT_EQ(ExecutiveServer::Start(options_).status().code(), absl::StatusCode::kCancelled);
  stopper.join();
}

TEST(ExecutiveServerOptions, ATakenPortIsAnError) {
  TestCtldb ctldb(TestCtldb::Kind::kSqlite);
  ExecutiveServer::Options options;
  options.ctldb = ctldb.target();
  options.connection = ctldb.options();
  options.server.listen = {"127.0.0.1:0"};
  absl::StatusOr<std::unique_ptr<ExecutiveServer>> first = ExecutiveServer::Start(options);
  ASSERT_TRUE(first.ok()) << first.status();
  options.server.listen = {(*first)->addresses()[0]};
  const absl::Status status = ExecutiveServer::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), (*first)->addresses()[0])) << status;
}

TEST(ExecutiveServerOptions, OneConnectionIsTooFew) {
  TestCtldb ctldb(TestCtldb::Kind::kSqlite);
  ExecutiveServer::Options options;
  options.ctldb = ctldb.target();
  options.max_ctldb_connections = 1;
  options.server.listen = {"127.0.0.1:0"};
  EXPECT_EQ(ExecutiveServer::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ctlstore::executive
