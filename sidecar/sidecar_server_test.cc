#include "sidecar/sidecar_server.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_writer.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "common/rpc/testing/certificates.h"
#include "common/rpc/testing/scrape.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kServing = 1;
constexpr int kNotServing = 2;

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + absl::Seconds(60);
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

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

  std::string ServeMetrics() {
    rpc::HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    const auto address = server_->ServeMetrics(options);
    EXPECT_TRUE(address.ok()) << address.status();
    return address.value_or("");
  }

  // What the gRPC health service says. Its messages are not among the contracts; the answer is one
  // field, a number.
  int Health() {
    grpc::GenericStub stub(rpc::NewChannel(server_->addresses()[0]));
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    grpc::Status status;
    const auto call =
        stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    EXPECT_TRUE(status.ok()) << status.error_message();
    grpc::Slice slice;
    EXPECT_TRUE(response.DumpToSingleSlice(&slice).ok());
    return slice.size() == 2 ? slice.begin()[1] : 0;
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

  static std::unique_ptr<v1::Sidecar::Stub> Stub(const std::string& address,
                                                 rpc::ChannelOptions options = {}) {
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

TEST_F(SidecarServerTest, TellsPrometheusHowItDoes) {
  Start();
  const std::string address = ServeMetrics();
  const auto stub = Stub(server_->addresses()[0]);
  v1::GetRowResponse row;
  v1::ListRowsResponse page;
  v1::GetStatusResponse state;
  EXPECT_FALSE(GetRow(stub.get(), &row).ok());
  auto metrics = rpc::testing::Scrape(address);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->Get("ctlstore_sidecar_ldb_readable"), 0);
  EXPECT_FALSE(metrics->Get("ctlstore_sidecar_applied_sequence").has_value());
  EXPECT_FALSE(metrics->Get("ctlstore_sidecar_lag_seconds").has_value());

  WriteLdb();
  EXPECT_TRUE(GetRow(stub.get(), &row).ok());
  EXPECT_TRUE(GetRow(stub.get(), &row).ok());
  EXPECT_TRUE(ListRows(stub.get(), &page).ok());
  EXPECT_TRUE(GetStatus(stub.get(), &state).ok());
  v1::ListRowsRequest nowhere;
  nowhere.set_family("geo");
  nowhere.set_table("nowhere");
  grpc::ClientContext context;
  EXPECT_EQ(rpc::FromGrpcStatus(stub->ListRows(&context, nowhere)->Finish()).code(),
            absl::StatusCode::kNotFound);
  // A list is counted at its end, which its client may see first.
  const auto calls = [&](const std::string& code, const std::string& method) {
    return rpc::testing::ScrapeOne(address,
                                   absl::StrCat("ctlstore_calls_total{api=\"grpc\",code=\"", code,
                                                "\",method=\"", method, "\"}"))
        .value_or(0);
  };
  EXPECT_TRUE(Eventually([&] { return calls("OK", "ListRows") == 1; }));
  EXPECT_TRUE(Eventually([&] { return calls("NOT_FOUND", "ListRows") == 1; }));
  EXPECT_EQ(calls("UNAVAILABLE", "GetRow"), 1);
  EXPECT_EQ(calls("OK", "GetRow"), 2);
  EXPECT_EQ(calls("OK", "GetStatus"), 1);
  metrics = rpc::testing::Scrape(address);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->Get(R"(ctlstore_call_seconds_count{api="grpc",method="GetRow"})"), 3);
  EXPECT_EQ(metrics->Get("ctlstore_sidecar_ldb_readable"), 1);
  EXPECT_EQ(metrics->Get("ctlstore_sidecar_applied_sequence"), 2);
  EXPECT_GT(metrics->Get("ctlstore_sidecar_lag_seconds").value_or(0), 0);

  server_->Shutdown(absl::Seconds(1));
  EXPECT_FALSE(rpc::testing::Ask(address, "/livez").ok());
}

TEST_F(SidecarServerTest, IsReadyAndServingWhileTheLdbCanBeRead) {
  options_.health_interval = absl::Milliseconds(5);
  Start();
  const std::string address = ServeMetrics();
  const auto ready = [&] {
    const auto answer = rpc::testing::Ask(address, "/readyz");
    return answer.ok() ? answer->status : 0;
  };
  EXPECT_EQ(ready(), 503);
  EXPECT_EQ(Health(), kNotServing);
  WriteLdb();
  EXPECT_TRUE(Eventually([&] { return ready() == 200; }));
  EXPECT_TRUE(Eventually([&] { return Health() == kServing; }));
  std::filesystem::remove_all(options_.ldb_path);
  EXPECT_TRUE(Eventually([&] { return ready() == 503; }));
  EXPECT_TRUE(Eventually([&] { return Health() == kNotServing; }));
}

// With each role, each call.
class SidecarRolesTest : public SidecarServerTest {
 protected:
  void SetUp() override {
    SidecarServerTest::SetUp();
    WriteLdb();
    options_.server.access.admin_token_file = folder_ + "/admin";
    options_.server.access.reader_token_file = folder_ + "/reader";
    rpc::testing::ReplaceFile(folder_ + "/admin", "admin-token-0123456789");
    rpc::testing::ReplaceFile(folder_ + "/reader", "reader-token-0123456789");
    Start();
  }

  // The codes of GetRow, ListRows and GetStatus.
  std::vector<absl::StatusCode> CallAll(const std::string& token) {
    rpc::ChannelOptions options;
    options.token = token;
    const auto stub = Stub(server_->addresses()[0], options);
    v1::GetRowResponse row;
    v1::ListRowsResponse page;
    v1::GetStatusResponse state;
    std::vector<absl::StatusCode> codes;
    for (const absl::Status& status :
         {GetRow(stub.get(), &row), ListRows(stub.get(), &page), GetStatus(stub.get(), &state)}) {
      codes.push_back(status.code());
      if (status.ok()) continue;
      EXPECT_EQ(ErrorReason(status), reason::kNoRole) << status;
    }
    // Who is refused learns nothing.
    EXPECT_EQ(row.has_row(), codes[0] == absl::StatusCode::kOk);
    EXPECT_EQ(page.rows_size() == 1, codes[1] == absl::StatusCode::kOk);
    EXPECT_EQ(state.ldb_path().empty(), codes[2] != absl::StatusCode::kOk);
    return codes;
  }
};

TEST_F(SidecarRolesTest, ReadersMayCallEverything) {
  EXPECT_THAT(CallAll("reader-token-0123456789"), Each(absl::StatusCode::kOk));
}

TEST_F(SidecarRolesTest, AdminsMayCallEverything) {
  EXPECT_THAT(CallAll("admin-token-0123456789"), Each(absl::StatusCode::kOk));
}

TEST_F(SidecarRolesTest, WithoutAProvenRoleNothingMayBeCalled) {
  EXPECT_THAT(CallAll(""), Each(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(CallAll("other-token-0123456789"), Each(absl::StatusCode::kUnauthenticated));
}

TEST_F(SidecarServerTest, ServesOverTlsToReadersByCertificate) {
  WriteLdb();
  const rpc::testing::CertificateAuthority ca;
  const rpc::testing::Certificate server = ca.IssueServer();
  const rpc::testing::Certificate client = ca.IssueClient("app");
  rpc::testing::ReplaceFile(folder_ + "/ca.pem", ca.cert());
  rpc::testing::ReplaceFile(folder_ + "/server.pem", server.cert);
  rpc::testing::ReplaceFile(folder_ + "/server.key", server.key);
  rpc::testing::ReplaceFile(folder_ + "/client.pem", client.cert);
  rpc::testing::ReplaceFile(folder_ + "/client.key", client.key);
  options_.server.tls.cert_file = folder_ + "/server.pem";
  options_.server.tls.key_file = folder_ + "/server.key";
  options_.server.tls.client_ca_file = folder_ + "/ca.pem";
  options_.server.access.reader_identities = {"app"};
  options_.server.listen = {"0.0.0.0:0"};
  Start();
  const std::string address = server_->addresses()[0];
  const std::string local = "127.0.0.1" + address.substr(address.rfind(':'));
  rpc::ChannelOptions options;
  options.tls.enabled = true;
  options.tls.ca_file = folder_ + "/ca.pem";
  v1::GetRowResponse row;
  EXPECT_EQ(GetRow(Stub(local, options).get(), &row).code(), absl::StatusCode::kUnauthenticated);
  options.tls.cert_file = folder_ + "/client.pem";
  options.tls.key_file = folder_ + "/client.key";
  const absl::Status status = GetRow(Stub(local, options).get(), &row);
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(SidecarServerTest, RefusesToListenBeyondLoopbackUnprotected) {
  options_.server.listen = {"0.0.0.0:0"};
  const auto server = SidecarServer::Start(options_);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kFailedPrecondition) << server.status();
}

TEST_F(SidecarServerTest, RefusesALimitBelowOneRow) {
  options_.max_list_rows = 0;
  const auto server = SidecarServer::Start(options_);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << server.status();
}

}  // namespace
}  // namespace ctlstore::sidecar
