#include "common/rpc/writer_metadata.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::rpc {
namespace {

// Answers with the credentials that it was called with.
class EchoService : public v1::Executive::Service {
  grpc::Status GetCookie(grpc::ServerContext* context, const v1::GetCookieRequest*,
                         v1::GetCookieResponse* response) override {
    const absl::StatusOr<WriterCredentials> credentials = GetWriterCredentials(*context);
    if (!credentials.ok()) return ToGrpcStatus(credentials.status());
    response->set_cookie(credentials->writer + "\n" + credentials->secret);
    return grpc::Status::OK;
  }
};

class WriterMetadataTest : public testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options, {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::Executive::NewStub(NewChannel(server_->addresses()[0]));
  }

  absl::StatusOr<std::string> Call(grpc::ClientContext* context) {
    v1::GetCookieResponse response;
    SetDeadline(absl::Now() + absl::Seconds(30), context);
    absl::Status status = FromGrpcStatus(stub_->GetCookie(context, {}, &response));
    if (!status.ok()) return status;
    return response.cookie();
  }

  EchoService service_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::Executive::Stub> stub_;
};

TEST_F(WriterMetadataTest, NamesAndSecretsArriveByteForByte) {
  for (const std::string& text :
       {std::string("plain"), std::string(" blanks at the ends "), std::string("caf\xC3\xA9"),
        std::string("line\nend"), std::string("a\0b", 3), std::string("with, comma; \"quote\"")}) {
    grpc::ClientContext context;
    AddWriterCredentials(text, "secret of " + text, &context);
    const absl::StatusOr<std::string> answer = Call(&context);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, text + "\nsecret of " + text);
  }
}

TEST_F(WriterMetadataTest, MissingEntriesAreNamed) {
  grpc::ClientContext none;
  absl::Status status = Call(&none).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ErrorReason(status), reason::kBadCredentials);
  EXPECT_NE(status.message().find("ctlstore-writer"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("ctlstore-secret"), absl::string_view::npos) << status;

  grpc::ClientContext writer_only;
  writer_only.AddMetadata("ctlstore-writer", "loader");
  status = Call(&writer_only).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(status.message().find("ctlstore-secret is missing"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace ctlstore::rpc
