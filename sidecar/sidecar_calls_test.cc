// The sidecar's calls that wait, that read many rows at once, and that tell of tables.

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/service_test_util.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(60);

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

int ThreadsOfThisProcess() {
  int threads = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    static_cast<void>(thread);
    ++threads;
  }
  return threads;
}

class SidecarCallsTest : public SidecarServiceTest {
 protected:
  static v1::BatchGetRowsRequest::Key Key(const std::string& family, const std::string& table,
                                          const std::vector<v1::Value>& values) {
    v1::BatchGetRowsRequest::Key key;
    key.set_family(family);
    key.set_table(table);
    for (const v1::Value& value : values) *key.add_key() = value;
    return key;
  }

  static v1::BatchGetRowsRequest::Key PlaceKey(const std::string& code, int64_t number) {
    return Key("geo", "places", {Text(code), Integer(number)});
  }

  absl::Status Batch(const std::vector<v1::BatchGetRowsRequest::Key>& keys,
                     v1::BatchGetRowsResponse* response, int64_t min_sequence = 0) {
    v1::BatchGetRowsRequest request;
    for (const auto& key : keys) *request.add_keys() = key;
    request.set_min_sequence(min_sequence);
    grpc::ClientContext context;
    return rpc::FromGrpcStatus(stub_->BatchGetRows(&context, request, response));
  }

  // The names of the rows, "-" for none.
  static std::vector<std::string> Names(const v1::BatchGetRowsResponse& response) {
    std::vector<std::string> names;
    for (const v1::GetRowResponse& row : response.rows()) {
      names.push_back(row.has_row() ? row.row().values().at("name").text() : "-");
    }
    return names;
  }

  static v1::GetRowRequest PlaceRequest(const std::string& code, int64_t number,
                                        int64_t min_sequence) {
    v1::GetRowRequest request;
    request.set_family("geo");
    request.set_table("places");
    *request.add_key() = Text(code);
    *request.add_key() = Integer(number);
    request.set_min_sequence(min_sequence);
    return request;
  }

  absl::Status GetPlace(const v1::GetRowRequest& request, v1::GetRowResponse* response,
                        absl::Time deadline = absl::InfiniteFuture()) {
    grpc::ClientContext context;
    rpc::SetDeadline(deadline, &context);
    return rpc::FromGrpcStatus(stub_->GetRow(&context, request, response));
  }

  absl::StatusOr<int64_t> WaitForSequence(int64_t sequence,
                                          absl::Time deadline = absl::InfiniteFuture()) {
    v1::WaitForSequenceRequest request;
    request.set_sequence(sequence);
    v1::WaitForSequenceResponse response;
    grpc::ClientContext context;
    rpc::SetDeadline(deadline, &context);
    const absl::Status status =
        rpc::FromGrpcStatus(stub_->WaitForSequence(&context, request, &response));
    if (!status.ok()) return status;
    return response.applied_sequence();
  }

  bool WaitsAre(size_t count) {
    return Eventually([&] { return service_->waiting() == count; });
  }
};

TEST_F(SidecarCallsTest, ABatchAnswersEachKeyInTheirOrder) {
  CreatePlaces();
  Apply({"CREATE TABLE shop___items (\"id\" INTEGER, \"name\" TEXT, PRIMARY KEY(\"id\"));",
         "REPLACE INTO shop___items (\"id\",\"name\") VALUES(7,'lamp')",
         Place("nz", 1, "Wellington"), Place("nz", 2, "Auckland")});
  Serve();
  v1::BatchGetRowsResponse response;
  const absl::Status status =
      Batch({PlaceKey("nz", 2), Key("shop", "items", {Integer(7)}), PlaceKey("nz", 3),
             Key("GEO", "Places", {Text("nz"), Integer(1)}), PlaceKey("nz", 2),
             Key("shop", "items", {Integer(8)})},
            &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Names(response), ElementsAre("Auckland", "lamp", "-", "Wellington", "Auckland", "-"));
  EXPECT_EQ(response.rows(0).row().values().at("number").integer(), 2);
  EXPECT_EQ(response.sequence(), writer_->applied_sequence());
}

TEST_F(SidecarCallsTest, ABatchHasAtLeastOneKeyAndAtMostAThousand) {
  FillPlaces(3, "x");
  Serve();
  v1::BatchGetRowsResponse response;
  for (int keys : {0, 1001}) {
    const absl::Status status =
        Batch(std::vector<v1::BatchGetRowsRequest::Key>(keys, PlaceKey("nz", 1)), &response);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ErrorField(status), "keys");
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("1000"), HasSubstr(absl::StrCat(keys))));
  }
  const absl::Status status =
      Batch(std::vector<v1::BatchGetRowsRequest::Key>(1000, PlaceKey("nz", 1)), &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.rows_size(), 1000);
}

TEST_F(SidecarCallsTest, ABatchFailsAsAWholeAndNamesTheKey) {
  FillPlaces(3, "x");
  Serve();
  const struct {
    v1::BatchGetRowsRequest::Key key;
    absl::StatusCode code;
    std::string reason;
    std::string field;
  } cases[] = {
      {Key("geo;", "places", {Text("nz"), Integer(1)}), absl::StatusCode::kInvalidArgument,
       reason::kInvalidName, "keys[1].family"},
      {Key("geo", "pl__aces", {Text("nz"), Integer(1)}), absl::StatusCode::kInvalidArgument,
       reason::kInvalidName, "keys[1].table"},
      {Key("geo", "places", {Text("nz"), v1::Value()}), absl::StatusCode::kInvalidArgument,
       reason::kInvalidValue, "keys[1].key[1]"},
      {Key("geo", "places", {Text("nz")}), absl::StatusCode::kInvalidArgument, reason::kInvalidKey,
       "keys[1].key[1]"},
      {Key("geo", "nowhere", {Text("nz")}), absl::StatusCode::kNotFound, reason::kTableNotFound,
       ""},
  };
  for (const auto& bad : cases) {
    v1::BatchGetRowsResponse response;
    const absl::Status status = Batch({PlaceKey("nz", 1), bad.key, PlaceKey("nz", 2)}, &response);
    EXPECT_EQ(status.code(), bad.code) << status;
    EXPECT_EQ(ErrorReason(status), bad.reason) << status;
    EXPECT_EQ(ErrorField(status).value_or(""), bad.field) << status;
    EXPECT_EQ(response.rows_size(), 0);
  }
}

TEST_F(SidecarCallsTest, AnAnswerOfABatchIsBounded) {
  CreatePlaces();
  Apply({Place("nz", 1, std::string(1000, 'x'))});
  SidecarService::Options options;
  options.max_response_bytes = 10500;
  Serve(options);
  v1::BatchGetRowsResponse response;
  absl::Status status =
      Batch(std::vector<v1::BatchGetRowsRequest::Key>(9, PlaceKey("nz", 1)), &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_LE(response.ByteSizeLong(), 10500u);
  status = Batch(std::vector<v1::BatchGetRowsRequest::Key>(11, PlaceKey("nz", 1)), &response);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTooLarge);
  EXPECT_EQ(ErrorField(status), "keys");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("10500"), HasSubstr("first 10 of 11"), HasSubstr("fewer")));
}

TEST_F(SidecarCallsTest, ClientsTakeTheLargestAnswerOfABatchUnlessToldOtherwise) {
  // One more such row is too much.
  FillPlaces(9, std::string(499'900, 'x'));
  Serve();
  rpc::ChannelOptions as_grpc_has_it;
  as_grpc_has_it.own_connection = true;
  as_grpc_has_it.max_receive_bytes = 4 << 20;
  stub_ = v1::Sidecar::NewStub(rpc::NewChannel(server_->addresses()[0], as_grpc_has_it));
  std::vector<v1::BatchGetRowsRequest::Key> keys;
  for (int i = 0; i < 8; ++i) keys.push_back(PlaceKey("nz", i));
  v1::BatchGetRowsResponse response;
  absl::Status status = Batch(keys, &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.rows_size(), 8);
  keys.push_back(PlaceKey("nz", 8));
  status = Batch(keys, &response);
  EXPECT_EQ(ErrorReason(status), reason::kTooLarge) << status;
}

TEST_F(SidecarCallsTest, ABatchIsOfOneStateWhileRowsChangeTogether) {
  constexpr int kTogether = 20;
  CreatePlaces();
  const auto change = [this](const std::string& name) {
    std::vector<std::string> statements = {"--- BEGIN"};
    for (int i = 0; i < kTogether; ++i) statements.push_back(Place("nz", i, name));
    statements.push_back("--- COMMIT");
    Apply(statements);
  };
  change("0");
  Serve();
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 1; !stop; ++i) change(absl::StrCat(i));
  });
  std::vector<v1::BatchGetRowsRequest::Key> keys;
  for (int i = 0; i < kTogether; ++i) keys.push_back(PlaceKey("nz", i));
  int64_t sequence = 0;
  int states = 0;
  // Until it has seen some change.
  const absl::Time give_up = absl::Now() + kPatience;
  for (int i = 0; i < 500 || (states < 3 && absl::Now() < give_up); ++i) {
    v1::BatchGetRowsResponse response;
    const absl::Status status = Batch(keys, &response);
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<std::string> names = Names(response);
    EXPECT_EQ(names, std::vector<std::string>(kTogether, names[0]));
    // Each change has so many entries, behind the one that made the table.
    EXPECT_EQ(response.sequence(), 1 + (std::stoll(names[0]) + 1) * (kTogether + 2));
    EXPECT_GE(response.sequence(), sequence);
    if (response.sequence() != sequence) ++states;
    sequence = response.sequence();
    if (HasFailure()) break;
  }
  stop = true;
  writer.join();
  EXPECT_GE(states, 3);
}

TEST_F(SidecarCallsTest, ReadsWaitForTheirSequence) {
  FillPlaces(2, "before");
  Serve();
  const int64_t sequence = writer_->applied_sequence() + 1;
  absl::Status statuses[3];
  v1::GetRowResponse row;
  v1::BatchGetRowsResponse batch;
  std::vector<v1::ListRowsResponse> pages;
  std::thread readers[] = {
      std::thread([&] { statuses[0] = GetPlace(PlaceRequest("nz", 1, sequence), &row); }),
      std::thread([&] { statuses[1] = Batch({PlaceKey("nz", 1)}, &batch, sequence); }),
      std::thread([&] {
        v1::ListRowsRequest request = ListRequest({});
        request.set_min_sequence(sequence);
        statuses[2] = List(request, &pages);
      }),
  };
  ASSERT_TRUE(WaitsAre(3));
  // Others are answered meanwhile.
  v1::GetRowResponse other;
  ASSERT_TRUE(GetPlace(PlaceRequest("nz", 1, sequence - 1), &other).ok());
  EXPECT_EQ(other.row().values().at("name").text(), "before");
  Apply({Place("nz", 1, "after")});
  for (std::thread& reader : readers) reader.join();
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(row.row().values().at("name").text(), "after");
  EXPECT_THAT(Names(batch), ElementsAre("after"));
  EXPECT_EQ(batch.sequence(), sequence);
  ASSERT_EQ(pages.size(), 1u);
  EXPECT_EQ(pages[0].rows(1).values().at("name").text(), "after");
  EXPECT_EQ(pages[0].sequence(), sequence);
  EXPECT_EQ(service_->waiting(), 0u);
}

TEST_F(SidecarCallsTest, AWaitEndsAtTheServersLimit) {
  FillPlaces(1, "x");
  SidecarService::Options options;
  options.max_wait = absl::Milliseconds(50);
  Serve(options);
  const int64_t applied = writer_->applied_sequence();
  v1::GetRowResponse row;
  v1::BatchGetRowsResponse batch;
  std::vector<v1::ListRowsResponse> pages;
  v1::ListRowsRequest list = ListRequest({});
  list.set_min_sequence(applied + 1);
  for (const absl::Status& status : {GetPlace(PlaceRequest("nz", 0, applied + 1), &row),
                                     Batch({PlaceKey("nz", 0)}, &batch, applied + 1),
                                     List(list, &pages), WaitForSequence(applied + 1).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat(applied + 1)), HasSubstr(absl::StrCat(applied))));
  }
  EXPECT_FALSE(row.has_row());
  EXPECT_THAT(pages, IsEmpty());
  EXPECT_TRUE(WaitsAre(0));
}

TEST_F(SidecarCallsTest, AWaitEndsAtTheCallsDeadline) {
  FillPlaces(1, "x");
  Serve();
  v1::GetRowResponse row;
  const absl::Status status = GetPlace(PlaceRequest("nz", 0, writer_->applied_sequence() + 1), &row,
                                       absl::Now() + absl::Milliseconds(100));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_TRUE(WaitsAre(0));
}

TEST_F(SidecarCallsTest, ACancelledCallEndsItsWait) {
  FillPlaces(1, "x");
  SidecarService::Options options;
  options.max_wait = absl::Hours(1);
  Serve(options);
  const int64_t sequence = writer_->applied_sequence() + 1;
  grpc::ClientContext contexts[3];
  absl::Status statuses[3];
  std::thread callers[] = {
      std::thread([&] {
        v1::GetRowResponse response;
        statuses[0] = rpc::FromGrpcStatus(
            stub_->GetRow(&contexts[0], PlaceRequest("nz", 0, sequence), &response));
      }),
      std::thread([&] {
        v1::ListRowsRequest request = ListRequest({});
        request.set_min_sequence(sequence);
        auto reader = stub_->ListRows(&contexts[1], request);
        v1::ListRowsResponse page;
        while (reader->Read(&page)) continue;
        statuses[1] = rpc::FromGrpcStatus(reader->Finish());
      }),
      std::thread([&] {
        v1::WaitForSequenceRequest request;
        request.set_sequence(sequence);
        v1::WaitForSequenceResponse response;
        statuses[2] = rpc::FromGrpcStatus(stub_->WaitForSequence(&contexts[2], request, &response));
      }),
  };
  ASSERT_TRUE(WaitsAre(3));
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  for (std::thread& caller : callers) caller.join();
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  }
  EXPECT_TRUE(WaitsAre(0));
}

TEST_F(SidecarCallsTest, TooManyWaitsAreRefused) {
  FillPlaces(1, "x");
  SidecarService::Options options;
  options.max_waits = 1;
  Serve(options);
  const int64_t sequence = writer_->applied_sequence() + 1;
  std::thread first([&] { EXPECT_TRUE(WaitForSequence(sequence).ok()); });
  ASSERT_TRUE(WaitsAre(1));
  v1::GetRowResponse row;
  v1::ListRowsRequest list = ListRequest({});
  list.set_min_sequence(sequence);
  std::vector<v1::ListRowsResponse> pages;
  for (const absl::Status& status : {GetPlace(PlaceRequest("nz", 0, sequence), &row),
                                     List(list, &pages), WaitForSequence(sequence).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(ErrorReason(status), reason::kQueueFull);
  }
  // Who need not wait is not refused.
  EXPECT_TRUE(GetPlace(PlaceRequest("nz", 0, sequence - 1), &row).ok());
  Apply({Place("nz", 1, "x")});
  first.join();
}

TEST_F(SidecarCallsTest, WaitsTakeNoThreads) {
  constexpr int kWaits = 1000;
  FillPlaces(1, "x");
  Serve();
  ASSERT_TRUE(WaitForSequence(1).ok());
  const int64_t sequence = writer_->applied_sequence() + 1;
  struct Call {
    grpc::ClientContext context;
    v1::GetRowResponse response;
    grpc::Status status;
  };
  const v1::GetRowRequest request = PlaceRequest("nz", 0, sequence);
  const int before = ThreadsOfThisProcess();
  std::vector<Call> calls(kWaits);
  std::atomic<int> ended{0};
  for (Call& call : calls) {
    stub_->async()->GetRow(&call.context, &request, &call.response,
                           [&call, &ended](grpc::Status status) {
                             call.status = std::move(status);
                             ++ended;
                           });
  }
  ASSERT_TRUE(WaitsAre(kWaits));
  // gRPC's own come and go, client's and server's.
  EXPECT_LT(ThreadsOfThisProcess(), before + 50);
  v1::GetRowResponse other;
  EXPECT_TRUE(GetPlace(PlaceRequest("nz", 0, 0), &other).ok());
  EXPECT_EQ(ended, 0);
  Apply({Place("nz", 0, "after")});
  ASSERT_TRUE(Eventually([&] { return ended == kWaits; }));
  for (const Call& call : calls) {
    ASSERT_TRUE(call.status.ok()) << call.status.error_message();
    ASSERT_EQ(call.response.row().values().at("name").text(), "after");
  }
}

TEST_F(SidecarCallsTest, ShutdownEndsWaits) {
  FillPlaces(1, "x");
  SidecarService::Options options;
  options.max_wait = absl::Hours(1);
  Serve(options);
  std::thread waiter([&] { EXPECT_FALSE(WaitForSequence(writer_->applied_sequence() + 1).ok()); });
  ASSERT_TRUE(WaitsAre(1));
  server_->Shutdown(absl::ZeroDuration());
  waiter.join();
  EXPECT_EQ(service_->waiting(), 0u);
}

TEST_F(SidecarCallsTest, WaitsForALocalDatabaseThatIsNotThereYet) {
  Serve();
  absl::StatusOr<int64_t> applied;
  std::thread waiter([&] { applied = WaitForSequence(3); });
  ASSERT_TRUE(WaitsAre(1));
  FillPlaces(2, "x");
  waiter.join();
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(*applied, 3);
}

TEST_F(SidecarCallsTest, WithoutALocalDatabaseAWaitThatEndsSaysSo) {
  SidecarService::Options options;
  options.max_wait = absl::Milliseconds(20);
  Serve(options);
  v1::GetRowResponse row;
  for (const absl::Status& status :
       {WaitForSequence(1).status(), GetPlace(PlaceRequest("nz", 1, 1), &row)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ErrorReason(status), reason::kLdbUnavailable);
  }
}

TEST_F(SidecarCallsTest, WaitForSequenceTellsHowFarTheCopyIs) {
  FillPlaces(3, "x");
  Serve();
  for (int64_t sequence : {0, 1, 4}) {
    const absl::StatusOr<int64_t> applied = WaitForSequence(sequence);
    ASSERT_TRUE(applied.ok()) << applied.status();
    EXPECT_EQ(*applied, 4);
  }
}

TEST_F(SidecarCallsTest, ASequenceIsNotNegative) {
  FillPlaces(1, "x");
  Serve();
  v1::GetRowResponse row;
  v1::BatchGetRowsResponse batch;
  v1::ListRowsRequest list = ListRequest({});
  list.set_min_sequence(-1);
  std::vector<v1::ListRowsResponse> pages;
  for (const absl::Status& status :
       {GetPlace(PlaceRequest("nz", 0, -1), &row), Batch({PlaceKey("nz", 0)}, &batch, -1),
        List(list, &pages), WaitForSequence(-1).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(ErrorField(status).value_or(""), HasSubstr("sequence"));
  }
}

TEST_F(SidecarCallsTest, AListGoesOnBehindTheLastKeyOfTheOneBefore) {
  FillPlaces(1000, "x");
  Serve();
  std::vector<std::string> keys;
  v1::ListRowsRequest request = ListRequest({Text("nz")}, 300);
  std::vector<size_t> sizes;
  while (true) {
    std::vector<v1::ListRowsResponse> pages;
    const absl::Status status = List(request, &pages);
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<std::string> found = Keys(pages);
    keys.insert(keys.end(), found.begin(), found.end());
    sizes.push_back(found.size());
    for (const v1::ListRowsResponse& page : pages) {
      EXPECT_EQ(page.sequence(), writer_->applied_sequence());
      EXPECT_EQ(page.next_after_size(), page.truncated() ? 2 : 0);
      EXPECT_TRUE(!page.truncated() || &page == &pages.back());
    }
    if (!pages.back().truncated()) break;
    *request.mutable_after() = pages.back().next_after();
  }
  std::vector<std::string> expected;
  for (int i = 0; i < 1000; ++i) expected.push_back(absl::StrCat("nz/", i));
  EXPECT_EQ(keys, expected);
  EXPECT_THAT(sizes, ElementsAre(300, 300, 300, 100));
}

TEST_F(SidecarCallsTest, AListGoesOnBehindAKeyThatNoRowHas) {
  CreatePlaces();
  Apply({Place("a", 1, "x"), Place("b", 1, "x"), Place("b", 5, "x"), Place("c", 1, "x")});
  Serve();
  const auto list_after = [&](const std::vector<v1::Value>& prefix, const std::string& code,
                              int64_t number) {
    v1::ListRowsRequest request = ListRequest(prefix);
    *request.add_after() = Text(code);
    *request.add_after() = Integer(number);
    std::vector<v1::ListRowsResponse> pages;
    const absl::Status status = List(request, &pages);
    EXPECT_TRUE(status.ok()) << status;
    return Keys(pages);
  };
  EXPECT_THAT(list_after({}, "b", 3), ElementsAre("b/5", "c/1"));
  EXPECT_THAT(list_after({}, "aa", 7), ElementsAre("b/1", "b/5", "c/1"));
  EXPECT_THAT(list_after({Text("b")}, "b", 1), ElementsAre("b/5"));
  EXPECT_THAT(list_after({Text("b")}, "b", 5), IsEmpty());
  EXPECT_THAT(list_after({}, "c", 1), IsEmpty());
}

TEST_F(SidecarCallsTest, AWrongKeyToGoOnBehindIsAnInvalidArgument) {
  FillPlaces(3, "x");
  Serve();
  const std::vector<std::vector<v1::Value>> wrong = {
      {Text("nz")},
      {Text("nz"), Integer(1), Integer(1)},
      {Integer(1), Integer(1)},
      {Text("nz"), v1::Value()},
      {Text("nz"), Null()},
      // Does not begin with the prefix.
      {Text("au"), Integer(1)},
  };
  for (const auto& after : wrong) {
    v1::ListRowsRequest request = ListRequest({Text("nz")});
    for (const v1::Value& value : after) *request.add_after() = value;
    std::vector<v1::ListRowsResponse> pages;
    const absl::Status status = List(request, &pages);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(ErrorField(status).value_or(""), HasSubstr("after")) << status;
    EXPECT_THAT(pages, IsEmpty());
  }
}

TEST_F(SidecarCallsTest, GetTableReturnsTheDefinition) {
  CreatePlaces();
  Serve();
  v1::SidecarGetTableRequest request;
  request.set_family("GEO");
  request.set_table("places");
  v1::SidecarGetTableResponse response;
  {
    grpc::ClientContext context;
    const grpc::Status status = stub_->GetTable(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(response.table().family(), "geo");
  EXPECT_EQ(response.table().name(), "places");
  ASSERT_EQ(response.table().fields_size(), 3);
  EXPECT_EQ(response.table().fields(0).name(), "code");
  EXPECT_EQ(response.table().fields(0).type(), v1::STRING);
  EXPECT_EQ(response.table().fields(1).type(), v1::INTEGER);
  EXPECT_EQ(response.table().fields(2).type(), v1::TEXT);
  EXPECT_THAT(response.table().key_fields(), ElementsAre("code", "number"));

  const auto error = [&](const std::string& family, const std::string& table) {
    request.set_family(family);
    request.set_table(table);
    grpc::ClientContext context;
    return rpc::FromGrpcStatus(stub_->GetTable(&context, request, &response));
  };
  EXPECT_EQ(ErrorReason(error("geo", "nowhere")), reason::kTableNotFound);
  EXPECT_EQ(ErrorField(error("geo", "no where")), "table");
}

TEST_F(SidecarCallsTest, ListTablesReturnsAllOrAFamilys) {
  const auto create = [](const std::string& name) {
    return absl::StrCat("CREATE TABLE ", name, " (\"id\" INTEGER, PRIMARY KEY(\"id\"));");
  };
  Apply({create("shop___items"), create("geo___places"), create("geo___areas")});
  SidecarService::Options options;
  options.max_response_bytes = 60;
  Serve(options);
  const auto list = [&](const std::string& family, v1::SidecarListTablesResponse* response) {
    v1::SidecarListTablesRequest request;
    request.set_family(family);
    grpc::ClientContext context;
    return rpc::FromGrpcStatus(stub_->ListTables(&context, request, response));
  };
  const auto names = [&](const std::string& family) {
    v1::SidecarListTablesResponse response;
    const absl::Status status = list(family, &response);
    EXPECT_TRUE(status.ok()) << status;
    std::vector<std::string> found;
    for (const v1::Table& table : response.tables()) {
      found.push_back(absl::StrCat(table.family(), "/", table.name()));
    }
    return found;
  };
  EXPECT_THAT(names("Shop"), ElementsAre("shop/items"));
  EXPECT_THAT(names("geo"), ElementsAre("geo/areas", "geo/places"));
  EXPECT_THAT(names("none"), IsEmpty());
  v1::SidecarListTablesResponse response;
  EXPECT_EQ(ErrorField(list("no family", &response)), "family");
  // An answer is bounded.
  EXPECT_EQ(ErrorReason(list("", &response)), reason::kTooLarge);
  stub_.reset();
  server_.reset();
  Serve();
  EXPECT_THAT(names(""), ElementsAre("geo/areas", "geo/places", "shop/items"));
}

TEST_F(SidecarCallsTest, StatusTellsHowFarBackWatchReaches) {
  FillPlaces(3, "x");
  Serve();
  grpc::ClientContext context;
  v1::GetStatusResponse response;
  const grpc::Status status = stub_->GetStatus(&context, v1::GetStatusRequest(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_TRUE(response.has_changes_after());
  EXPECT_EQ(response.changes_after(), 0);
}

TEST_F(SidecarCallsTest, WhatIsNoRequestIsAnInvalidArgument) {
  FillPlaces(3, "x");
  Serve();
  for (const std::string method : {"GetRow", "BatchGetRows", "ListRows"}) {
    // A member whose text is not UTF-8, and one that is longer than the message.
    for (const std::string& bytes : {std::string("\x0a\x02\xff\xfe"), std::string("\x0a\x70geo")}) {
      grpc::GenericStub stub(rpc::NewChannel(server_->addresses()[0]));
      grpc::CompletionQueue queue;
      grpc::ClientContext context;
      const grpc::Slice slice(bytes);
      const grpc::ByteBuffer request(&slice, 1);
      grpc::ByteBuffer response;
      grpc::Status status;
      const auto call = stub.PrepareUnaryCall(
          &context, absl::StrCat("/ctlstore.v1.Sidecar/", method), request, &queue);
      call->StartCall();
      call->Finish(&response, &status, nullptr);
      void* tag = nullptr;
      bool ok = false;
      ASSERT_TRUE(queue.Next(&tag, &ok));
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
          << method << ": " << status.error_message();
      EXPECT_EQ(ErrorReason(rpc::FromGrpcStatus(status)), reason::kInvalidRequest);
    }
  }
}

}  // namespace
}  // namespace ctlstore::sidecar
