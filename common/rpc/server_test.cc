#include "common/rpc/server.h"

#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::rpc {
namespace {

using ::google::protobuf::UnknownFieldSet;

constexpr absl::Duration kLong = absl::Seconds(30);

// The health and reflection protocols are not among the contracts, so their messages are written
// and read by field number. A message is its serialized bytes.
std::string WithString(int number, const std::string& value) {
  UnknownFieldSet message;
  message.AddLengthDelimited(number, value);
  std::string bytes;
  EXPECT_TRUE(message.SerializeToString(&bytes));
  return bytes;
}

std::vector<std::string> Strings(const std::string& bytes, int number) {
  UnknownFieldSet message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  std::vector<std::string> found;
  for (int i = 0; i < message.field_count(); ++i) {
    if (message.field(i).number() == number) found.push_back(message.field(i).length_delimited());
  }
  return found;
}

// The one number that a message consists of; 0 where it is empty.
int Number(const std::string& bytes) {
  UnknownFieldSet message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message.field_count() == 1 ? static_cast<int>(message.field(0).varint()) : 0;
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string FromBuffer(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// Sends one message to a method and reads one back, streaming or not.
absl::StatusOr<std::string> Ask(const std::string& address, const std::string& method,
                                const std::string& request) {
  grpc::GenericStub stub(NewChannel(address));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  SetDeadline(absl::Now() + kLong, &context);
  auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return ok;
  };
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call =
      stub.PrepareCall(&context, method, &queue);
  call->StartCall(&context);
  next();
  grpc::ByteBuffer answer;
  call->Write(ToBuffer(request), &context);
  next();
  call->WritesDone(&context);
  next();
  call->Read(&answer, &context);
  const bool answered = next();
  grpc::Status status;
  call->Finish(&status, &context);
  if (answered) context.TryCancel();
  next();
  queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
  }
  if (!answered) return FromGrpcStatus(status);
  return FromBuffer(answer);
}

// grpc.health.v1.HealthCheckResponse.ServingStatus, or an error.
absl::StatusOr<int> HealthOf(const std::string& address, const std::string& service) {
  absl::StatusOr<std::string> answer =
      Ask(address, "/grpc.health.v1.Health/Check", WithString(1, service));
  if (!answer.ok()) return answer.status();
  return Number(*answer);
}

constexpr int kServing = 1;
constexpr int kNotServing = 2;

// ListFamilies does not answer before it is told to.
class SlowService : public v1::Executive::Service {
 public:
  grpc::Status ListFamilies(grpc::ServerContext* context, const v1::ListFamiliesRequest*,
                            v1::ListFamiliesResponse* response) override {
    entered.Notify();
    while (!go_on.WaitForNotificationWithTimeout(absl::Milliseconds(1))) {
      if (context->IsCancelled()) {
        cancelled.Notify();
        return grpc::Status::CANCELLED;
      }
    }
    response->add_families("geo");
    return grpc::Status::OK;
  }

  absl::Notification entered;
  absl::Notification go_on;
  absl::Notification cancelled;
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    // Not below TempDir(), whose path may be longer than a socket's may be.
    char folder[] = "/tmp/ctlstore_server_XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    socket_ = "unix:" + folder_ + "/s";
  }
  void TearDown() override {
    unlink((folder_ + "/s").c_str());
    rmdir(folder_.c_str());
  }

  absl::StatusOr<std::unique_ptr<Server>> Start(const std::vector<std::string>& listen) {
    ServerOptions options;
    options.listen = listen;
    return Server::Start(options, {&service_});
  }

  std::string folder_;
  std::string socket_;
  SlowService service_;
};

TEST_F(ServerTest, ServesOnTcpAndUnixSocketsAndSaysWhere) {
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0", socket_});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::vector<std::string>& addresses = (*server)->addresses();
  ASSERT_EQ(addresses.size(), 2);
  EXPECT_NE(addresses[0], "127.0.0.1:0");
  EXPECT_EQ(addresses[1], socket_);
  service_.go_on.Notify();
  std::unique_ptr<v1::Executive::Stub> stub = v1::Executive::NewStub(NewChannel(addresses[0]));
  grpc::ClientContext context;
  SetDeadline(absl::Now() + kLong, &context);
  v1::ListFamiliesResponse response;
  ASSERT_TRUE(stub->ListFamilies(&context, {}, &response).ok());
  EXPECT_EQ(response.families(0), "geo");
}

TEST_F(ServerTest, AnswersHealthOnEveryAddress) {
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0", socket_});
  ASSERT_TRUE(server.ok()) << server.status();
  for (const std::string& address : (*server)->addresses()) {
    EXPECT_EQ(HealthOf(address, "").value_or(-1), kServing);
    EXPECT_EQ(HealthOf(address, "ctlstore.v1.Executive").value_or(-1), kServing);
    EXPECT_EQ(HealthOf(address, "no.such.Service").status().code(), absl::StatusCode::kNotFound);
  }
  (*server)->SetServing(false);
  EXPECT_EQ(HealthOf((*server)->addresses()[0], "").value_or(-1), kNotServing);
  EXPECT_EQ(HealthOf((*server)->addresses()[0], "ctlstore.v1.Executive").value_or(-1), kNotServing);
  (*server)->SetServing(true);
  EXPECT_EQ(HealthOf((*server)->addresses()[0], "ctlstore.v1.Executive").value_or(-1), kServing);
}

TEST_F(ServerTest, AnswersReflectionOnEveryAddress) {
  constexpr char kMethod[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0", socket_});
  ASSERT_TRUE(server.ok()) << server.status();
  for (const std::string& address : (*server)->addresses()) {
    // list_services is field 7; list_services_response is 6, its service 1, its name 1.
    absl::StatusOr<std::string> answer = Ask(address, kMethod, WithString(7, "*"));
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(Strings(*answer, 6).size(), 1);
    std::vector<std::string> names;
    for (const std::string& service : Strings(Strings(*answer, 6)[0], 1)) {
      names.push_back(Strings(service, 1)[0]);
    }
    EXPECT_NE(std::find(names.begin(), names.end(), "ctlstore.v1.Executive"), names.end());

    // file_containing_symbol is field 4; file_descriptor_response is 4.
    answer = Ask(address, kMethod, WithString(4, "ctlstore.v1.Executive"));
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(Strings(*answer, 4).size(), 1);
    EXPECT_NE(Strings(*answer, 4)[0].find("MutateRequest"), std::string::npos);
  }
}

TEST_F(ServerTest, ATakenPortIsAnErrorThatNamesIt) {
  absl::StatusOr<std::unique_ptr<Server>> first = Start({"127.0.0.1:0"});
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string taken = (*first)->addresses()[0];
  const absl::Status status = Start({"127.0.0.1:0", taken}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find(taken), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("in use"), absl::string_view::npos) << status;
}

TEST_F(ServerTest, ASocketInUseIsAnErrorAndStaysInUse) {
  absl::StatusOr<std::unique_ptr<Server>> first = Start({socket_});
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status status = Start({socket_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find(socket_), absl::string_view::npos) << status;
  EXPECT_EQ(HealthOf(socket_, "").value_or(-1), kServing);
}

TEST_F(ServerTest, ASocketLeftByADeadServerIsTakenOver) {
  absl::StatusOr<std::unique_ptr<Server>> first = Start({socket_});
  ASSERT_TRUE(first.ok()) << first.status();
  // A second name of the socket's file outlives the server, as the file of a killed one does.
  const std::string path = folder_ + "/s";
  ASSERT_EQ(link(path.c_str(), (path + "2").c_str()), 0);
  first->reset();
  ASSERT_EQ(rename((path + "2").c_str(), path.c_str()), 0);
  absl::StatusOr<std::unique_ptr<Server>> second = Start({socket_});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(HealthOf(socket_, "").value_or(-1), kServing);
}

TEST_F(ServerTest, MalformedAndMissingAddressesAreRefused) {
  EXPECT_EQ(Start({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Start({"nonsense"}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerTest, AMessageOverTheLimitIsRefused) {
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  std::unique_ptr<v1::Executive::Stub> stub =
      v1::Executive::NewStub(NewChannel((*server)->addresses()[0]));
  grpc::ClientContext context;
  SetDeadline(absl::Now() + kLong, &context);
  v1::CreateFamilyRequest request;
  request.set_family(std::string((4 << 20) + 1, 'x'));
  v1::CreateFamilyResponse response;
  EXPECT_EQ(stub->CreateFamily(&context, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// A call of ListFamilies in a thread of its own.
class Call {
 public:
  explicit Call(const std::string& address)
      : stub_(v1::Executive::NewStub(NewChannel(address))), thread_([this] {
          grpc::ClientContext context;
          SetDeadline(absl::Now() + kLong, &context);
          v1::ListFamiliesResponse response;
          status_ = FromGrpcStatus(stub_->ListFamilies(&context, {}, &response));
        }) {}

  absl::Status Join() {
    thread_.join();
    return status_;
  }

 private:
  std::unique_ptr<v1::Executive::Stub> stub_;
  absl::Status status_;
  std::thread thread_;
};

TEST_F(ServerTest, ShutdownLetsACallUnderWayEnd) {
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string address = (*server)->addresses()[0];
  Call call(address);
  ASSERT_TRUE(service_.entered.WaitForNotificationWithTimeout(kLong));
  std::thread shutdown([&server] { (*server)->Shutdown(absl::InfiniteDuration()); });
  // New calls are refused from some moment on, while the old one goes on.
  while (HealthOf(address, "").value_or(kNotServing) == kServing) {
  }
  service_.go_on.Notify();
  EXPECT_TRUE(call.Join().ok());
  shutdown.join();
}

TEST_F(ServerTest, ShutdownCancelsWhatOutlastsTheGrace) {
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  Call call((*server)->addresses()[0]);
  ASSERT_TRUE(service_.entered.WaitForNotificationWithTimeout(kLong));
  (*server)->Shutdown(absl::Milliseconds(10));
  EXPECT_TRUE(service_.cancelled.HasBeenNotified());
  EXPECT_FALSE(call.Join().ok());
}

TEST_F(ServerTest, AClientThatWatchesTheHealthDoesNotKeepTheServerAlive) {
  absl::StatusOr<std::unique_ptr<Server>> server = Start({"127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  grpc::GenericStub stub(NewChannel((*server)->addresses()[0]));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  SetDeadline(absl::Now() + kLong, &context);
  auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return ok;
  };
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call =
      stub.PrepareCall(&context, "/grpc.health.v1.Health/Watch", &queue);
  call->StartCall(&context);
  ASSERT_TRUE(next());
  call->WriteLast(ToBuffer(""), grpc::WriteOptions(), &context);
  ASSERT_TRUE(next());
  grpc::ByteBuffer answer;
  call->Read(&answer, &context);
  ASSERT_TRUE(next());
  EXPECT_EQ(Number(FromBuffer(answer)), kServing);

  (*server)->Shutdown(absl::Milliseconds(10));
  call->Read(&answer, &context);
  if (next()) {
    EXPECT_EQ(Number(FromBuffer(answer)), kNotServing);
  }
  grpc::Status status;
  call->Finish(&status, &context);
  next();
  queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
  }
}

}  // namespace
}  // namespace ctlstore::rpc
