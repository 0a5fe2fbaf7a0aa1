#include "sidecar/sidecar_server.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_writer.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class SidecarServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Unix sockets' paths are short.
    folder_ = "/tmp/sidecar_XXXXXX";
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    options_.ldb_path = absl::StrCat(folder_, "/ldb.db");
    options_.server.listen = {"127.0.0.1:0"};
  }

  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Start() {
    auto server = SidecarServer::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void WriteLdb() {
    auto writer = ldb::LdbWriter::Open(options_.ldb_path, {});
    ASSERT_TRUE(writer.ok()) << writer.status();
    const LedgerEntry entries[] = {
        {1, "2024-01-01 00:00:00",
         "CREATE TABLE geo___countries (\"code\" VARCHAR(191), PRIMARY KEY(\"code\"));"},
        {2, "2024-01-01 00:00:00", "REPLACE INTO geo___countries (\"code\") VALUES('NZ')"}};
    const absl::Status status = (*writer)->Apply(entries);
    ASSERT_TRUE(status.ok()) << status;
  }

  static std::unique_ptr<v1::Sidecar::Stub> Stub(const std::string& address) {
    rpc::ChannelOptions options;
    options.own_connection = true;
    return v1::Sidecar::NewStub(rpc::NewChannel(address, options));
  }

  static absl::Status GetRow(v1::Sidecar::Stub* stub, v1::GetRowResponse* response) {
    v1::GetRowRequest request;
    request.set_family("geo");
    request.set_table("countries");
    request.add_key()->set_text("NZ");
    grpc::ClientContext context;
    return rpc::FromGrpcStatus(stub->GetRow(&context, request, response));
  }

  static absl::Status ListRows(v1::Sidecar::Stub* stub, v1::ListRowsResponse* page) {
    v1::ListRowsRequest request;
    request.set_family("geo");
    request.set_table("countries");
    grpc::ClientContext context;
    auto reader = stub->ListRows(&context, request);
    reader->Read(page);
    return rpc::FromGrpcStatus(reader->Finish());
  }

  static absl::Status GetStatus(v1::Sidecar::Stub* stub, v1::GetStatusResponse* response) {
    grpc::ClientContext context;
    return rpc::FromGrpcStatus(stub->GetStatus(&context, v1::GetStatusRequest(), response));
  }

  std::string folder_;
  SidecarServer::Options options_;
  std::unique_ptr<SidecarServer> server_;
};

TEST_F(SidecarServerTest, ServesBeforeThereIsAnLdbAndOnceThereIsOne) {
  Start();
  const auto stub = Stub(server_->addresses()[0]);
  v1::GetRowResponse row;
  v1::ListRowsResponse page;
  v1::GetStatusResponse state;
  for (const absl::Status& status :
       {GetRow(stub.get(), &row), ListRows(stub.get(), &page), GetStatus(stub.get(), &state)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ErrorReason(status), reason::kLdbUnavailable) << status;
  }

  WriteLdb();
  absl::Status status = GetRow(stub.get(), &row);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(row.row().values().at("code").text(), "NZ");
  status = ListRows(stub.get(), &page);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(page.rows_size(), 1);
  status = GetStatus(stub.get(), &state);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(state.applied_sequence(), 2);
  EXPECT_EQ(state.ldb_path(), options_.ldb_path);
}

TEST_F(SidecarServerTest, ListensOnUnixSocketsToo) {
  WriteLdb();
  options_.server.listen.push_back(absl::StrCat("unix:", folder_, "/sidecar.sock"));
  Start();
  ASSERT_THAT(server_->addresses(), SizeIs(2));
  for (const std::string& address : server_->addresses()) {
    const auto stub = Stub(address);
    v1::GetRowResponse row;
    const absl::Status status = GetRow(stub.get(), &row);
    ASSERT_TRUE(status.ok()) << address << ": " << status;
    EXPECT_TRUE(row.has_row());
  }
}

TEST_F(SidecarServerTest, TakesNoCallsAfterShutdown) {
  WriteLdb();
  Start();
  const auto stub = Stub(server_->addresses()[0]);
  v1::GetRowResponse row;
  ASSERT_TRUE(GetRow(stub.get(), &row).ok());
  server_->Shutdown(absl::Seconds(1));
  EXPECT_EQ(GetRow(stub.get(), &row).code(), absl::StatusCode::kUnavailable);
}

TEST_F(SidecarServerTest, RefusesAnAddressThatIsTaken) {
  Start();
  options_.server.listen = server_->addresses();
  const auto second = SidecarServer::Start(options_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->addresses()[0]));
}

TEST_F(SidecarServerTest, RefusesALimitBelowOneRow) {
  options_.max_list_rows = 0;
  const auto server = SidecarServer::Start(options_);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << server.status();
}

}  // namespace
}  // namespace ctlstore::sidecar
