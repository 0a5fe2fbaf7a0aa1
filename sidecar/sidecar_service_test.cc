#include "sidecar/sidecar_service.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/service_test_util.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;

TEST_F(SidecarServiceTest, GetRowReturnsEveryTypeExactly) {
  Apply(
      {"CREATE TABLE fam___types (\"s\" VARCHAR(191), \"i\" INTEGER, \"d\" REAL, \"t\" TEXT, "
       "\"b\" BLOB, \"bs\" BLOB(255), \"n\" TEXT, PRIMARY KEY(\"s\",\"i\",\"bs\"));",
       "REPLACE INTO fam___types (\"s\",\"i\",\"d\",\"t\",\"b\",\"bs\",\"n\") "
       "VALUES('it''s \\ \xF0\x9F\x98\x80',-9223372036854775808,0.1,'',x'',x'00ff00',NULL)",
       "REPLACE INTO fam___types (\"s\",\"i\",\"d\",\"t\",\"b\",\"bs\",\"n\") "
       "VALUES('max',9223372036854775807,-1.5,'text',x'27005c',x'','x')"});
  Serve();

  v1::GetRowResponse response;
  absl::Status status =
      GetRow("fam", "types",
             {Text("it's \\ \xF0\x9F\x98\x80"), Integer(std::numeric_limits<int64_t>::min()),
              Bytes(std::string("\0\xff\0", 3))},
             &response);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(response.has_row());
  const auto& values = response.row().values();
  EXPECT_EQ(values.size(), 7);
  EXPECT_EQ(values.at("s").text(), "it's \\ \xF0\x9F\x98\x80");
  EXPECT_EQ(values.at("i").integer(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(values.at("d").decimal(), 0.1);
  EXPECT_EQ(values.at("t").kind_case(), v1::Value::kText);
  EXPECT_EQ(values.at("t").text(), "");
  EXPECT_EQ(values.at("b").kind_case(), v1::Value::kBytes);
  EXPECT_EQ(values.at("b").bytes(), "");
  EXPECT_EQ(values.at("bs").bytes(), std::string("\0\xff\0", 3));
  EXPECT_EQ(values.at("n").kind_case(), v1::Value::kNull);

  response.Clear();
  status =
      GetRow("fam", "types", {Text("max"), Integer(std::numeric_limits<int64_t>::max()), Bytes("")},
             &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.row().values().at("i").integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(response.row().values().at("b").bytes(), std::string("'\0\\", 3));
}

TEST_F(SidecarServiceTest, GetRowTakesNamesInAnyCase) {
  CreatePlaces();
  Apply({Place("nz", 1, "Wellington")});
  Serve();
  v1::GetRowResponse response;
  const absl::Status status = GetRow("GEO", "Places", {Text("nz"), Integer(1)}, &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.row().values().at("name").text(), "Wellington");
}

TEST_F(SidecarServiceTest, AnAbsentRowIsNoError) {
  CreatePlaces();
  Apply({Place("nz", 1, "Wellington")});
  Serve();
  for (const std::string code : {"NZ", "nz ", "n\xC5\xBE", ""}) {
    v1::GetRowResponse response;
    const absl::Status status = GetRow("geo", "places", {Text(code), Integer(1)}, &response);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(response.has_row()) << code;
  }
}

TEST_F(SidecarServiceTest, AWrongKeyIsAnInvalidArgument) {
  CreatePlaces();
  Apply({Place("nz", 1, "Wellington")});
  Serve();
  const std::vector<std::vector<v1::Value>> keys = {
      {},
      {Text("nz")},
      {Text("nz"), Integer(1), Integer(2)},
      {Integer(1), Text("nz")},
      {Text("nz"), Text("1")},
      {Bytes("nz"), Integer(1)},
      {Text("nz"), Null()},
      {Text("nz"), v1::Value()},
  };
  for (const auto& key : keys) {
    v1::GetRowResponse response;
    const absl::Status status = GetRow("geo", "places", key, &response);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_TRUE(ErrorReason(status).has_value()) << status;
  }
}

TEST_F(SidecarServiceTest, AnUnsetValueIsNamed) {
  CreatePlaces();
  Serve();
  v1::GetRowResponse response;
  const absl::Status status = GetRow("geo", "places", {Text("nz"), v1::Value()}, &response);
  EXPECT_EQ(ErrorField(status), "key[1]");
}

TEST_F(SidecarServiceTest, AnUnknownTableIsNotFound) {
  CreatePlaces();
  Serve();
  v1::GetRowResponse response;
  absl::Status status = GetRow("geo", "nowhere", {Text("nz")}, &response);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);

  v1::ListRowsRequest request = ListRequest({});
  request.set_table("nowhere");
  std::vector<v1::ListRowsResponse> pages;
  status = List(request, &pages);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);
  EXPECT_THAT(pages, IsEmpty());
}

TEST_F(SidecarServiceTest, TablesAreClearedDroppedAndMadeAgainWhileItServes) {
  FillPlaces(3, "Wellington");
  Serve();
  v1::GetRowResponse response;
  std::vector<v1::ListRowsResponse> pages;
  ASSERT_TRUE(GetRow("geo", "places", {Text("nz"), Integer(1)}, &response).ok());
  ASSERT_TRUE(response.has_row());
  ASSERT_TRUE(List(ListRequest({}), &pages).ok());
  ASSERT_EQ(Keys(pages).size(), 3u);

  Apply({"DELETE FROM geo___places"});
  response.Clear();
  pages.clear();
  EXPECT_TRUE(GetRow("geo", "places", {Text("nz"), Integer(1)}, &response).ok());
  EXPECT_FALSE(response.has_row());
  EXPECT_TRUE(List(ListRequest({}), &pages).ok());
  EXPECT_THAT(Keys(pages), IsEmpty());

  Apply({"DROP TABLE IF EXISTS geo___places"});
  for (const absl::Status& status :
       {GetRow("geo", "places", {Text("nz"), Integer(1)}, &response), List(ListRequest({}), &pages),
        List(ListRequest({Text("nz")}), &pages)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);
  }

  Apply(
      {"CREATE TABLE geo___places (\"name\" BLOB, \"number\" REAL, \"code\" VARCHAR(191), "
       "PRIMARY KEY(\"code\"));",
       "REPLACE INTO geo___places (\"name\",\"number\",\"code\") VALUES(x'00',1.0,'nz')"});
  EXPECT_EQ(ErrorReason(GetRow("geo", "places", {Text("nz"), Integer(1)}, &response)),
            reason::kInvalidKey);
  response.Clear();
  const absl::Status status = GetRow("geo", "places", {Text("nz")}, &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.row().values().at("name").bytes(), std::string(1, '\0'));
  EXPECT_EQ(response.row().values().at("number").decimal(), 1.0);
  EXPECT_EQ(response.row().values_size(), 3);
}

TEST_F(SidecarServiceTest, AMalformedNameIsAnInvalidArgument) {
  CreatePlaces();
  Serve();
  v1::GetRowResponse response;
  absl::Status status = GetRow("geo;", "places", {Text("nz"), Integer(1)}, &response);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorField(status), "family");
  EXPECT_EQ(ErrorReason(status), reason::kInvalidName);

  v1::ListRowsRequest request = ListRequest({});
  request.set_table("sqlite__master");
  std::vector<v1::ListRowsResponse> pages;
  status = List(request, &pages);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorField(status), "table");
}

TEST_F(SidecarServiceTest, ListsAPrefixInKeyOrder) {
  CreatePlaces();
  Apply({Place("b", 10, "x"), Place("b", -2, "x"), Place("b", 9, "x"), Place("B", 1, "x"),
         Place("b ", 1, "x"), Place("\xC3\xA1", 1, "x"), Place("a", 1, "x"), Place("bb", 1, "x")});
  Serve();
  std::vector<v1::ListRowsResponse> pages;
  absl::Status status = List(ListRequest({}), &pages);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Keys(pages),
              ElementsAre("B/1", "a/1", "b/-2", "b/9", "b/10", "b /1", "bb/1", "\xC3\xA1/1"));
  pages.clear();
  status = List(ListRequest({Text("b")}), &pages);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Keys(pages), ElementsAre("b/-2", "b/9", "b/10"));
  pages.clear();
  status = List(ListRequest({Text("b"), Integer(9)}), &pages);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Keys(pages), ElementsAre("b/9"));
}

TEST_F(SidecarServiceTest, AWrongPrefixIsAnInvalidArgument) {
  CreatePlaces();
  Apply({Place("nz", 1, "x")});
  Serve();
  const std::vector<std::vector<v1::Value>> prefixes = {
      {Integer(1)}, {Null()}, {v1::Value()}, {Text("nz"), Integer(1), Integer(1)}};
  for (const auto& prefix : prefixes) {
    std::vector<v1::ListRowsResponse> pages;
    const absl::Status status = List(ListRequest(prefix), &pages);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(pages, IsEmpty());
  }
}

TEST_F(SidecarServiceTest, AListWithoutRowsIsOneEmptyPage) {
  CreatePlaces();
  Apply({Place("nz", 1, "x")});
  Serve();
  std::vector<v1::ListRowsResponse> pages;
  const absl::Status status = List(ListRequest({Text("au")}), &pages);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(pages.size(), 1);
  EXPECT_EQ(pages[0].rows_size(), 0);
  EXPECT_FALSE(pages[0].truncated());
}

TEST_F(SidecarServiceTest, ALimitTruncatesAndSaysSo) {
  FillPlaces(3, "x");
  Serve();
  std::vector<v1::ListRowsResponse> pages;
  ASSERT_TRUE(List(ListRequest({Text("nz")}, 2), &pages).ok());
  ASSERT_EQ(pages.size(), 1);
  EXPECT_THAT(Keys(pages), ElementsAre("nz/0", "nz/1"));
  EXPECT_TRUE(pages[0].truncated());

  for (int64_t enough : {3, 4, 0}) {
    pages.clear();
    ASSERT_TRUE(List(ListRequest({Text("nz")}, enough), &pages).ok());
    ASSERT_EQ(pages.size(), 1);
    EXPECT_EQ(pages[0].rows_size(), 3);
    EXPECT_FALSE(pages[0].truncated());
  }
}

TEST_F(SidecarServiceTest, TheServersLimitBoundsEveryList) {
  FillPlaces(8, "x");
  SidecarService::Options options;
  options.max_list_rows = 5;
  Serve(options);
  std::vector<v1::ListRowsResponse> pages;
  ASSERT_TRUE(List(ListRequest({}), &pages).ok());
  ASSERT_EQ(pages.size(), 1);
  EXPECT_EQ(pages[0].rows_size(), 5);
  EXPECT_TRUE(pages[0].truncated());

  pages.clear();
  absl::Status status = List(ListRequest({}, 6), &pages);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorField(status), "limit");
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("6"), HasSubstr("5")));
  EXPECT_THAT(pages, IsEmpty());

  status = List(ListRequest({}, -1), &pages);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorField(status), "limit");
}

TEST_F(SidecarServiceTest, TheLargestLimitIsNoOverflow) {
  FillPlaces(3, "x");
  SidecarService::Options options;
  options.max_list_rows = std::numeric_limits<int64_t>::max();
  Serve(options);
  std::vector<v1::ListRowsResponse> pages;
  const absl::Status status = List(ListRequest({}, std::numeric_limits<int64_t>::max()), &pages);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Keys(pages).size(), 3);
}

TEST_F(SidecarServiceTest, ManyRowsComeInPages) {
  FillPlaces(1000, "x");
  Serve();
  std::vector<v1::ListRowsResponse> pages;
  absl::Status status = List(ListRequest({}), &pages);
  ASSERT_TRUE(status.ok()) << status;
  std::vector<std::string> expected;
  for (int i = 0; i < 1000; ++i) expected.push_back(absl::StrCat("nz/", i));
  EXPECT_EQ(Keys(pages), expected);
  std::vector<int> sizes;
  for (const v1::ListRowsResponse& page : pages) {
    sizes.push_back(page.rows_size());
    EXPECT_FALSE(page.truncated());
  }
  EXPECT_THAT(sizes, ElementsAre(256, 256, 256, 232));

  // No empty page follows a last one that is full.
  pages.clear();
  ASSERT_TRUE(List(ListRequest({}, 512), &pages).ok());
  ASSERT_EQ(pages.size(), 2);
  EXPECT_FALSE(pages[0].truncated());
  EXPECT_TRUE(pages[1].truncated());
}

TEST_F(SidecarServiceTest, PagesOfLargeRowsAreBounded) {
  FillPlaces(20, std::string(20000, 'x'));
  Serve();
  std::vector<v1::ListRowsResponse> pages;
  const absl::Status status = List(ListRequest({}), &pages);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Keys(pages).size(), 20);
  std::vector<size_t> sizes;
  for (const v1::ListRowsResponse& page : pages) sizes.push_back(page.ByteSizeLong());
  EXPECT_THAT(sizes, Each(Le(size_t{64 * 1024 + 21000})));
}

TEST_F(SidecarServiceTest, AllPagesAreOfOneState) {
  // Far more than flow control lets through, so the list is still being read after the change.
  const std::string before(64 * 1024, 'b');
  FillPlaces(400, before);
  Serve();
  grpc::ClientContext context;
  auto reader = stub_->ListRows(&context, ListRequest({}));
  v1::ListRowsResponse page;
  ASSERT_TRUE(reader->Read(&page));
  std::vector<v1::ListRowsResponse> pages = {page};
  Apply({"DELETE FROM geo___places", Place("nz", 399, "after")});
  while (reader->Read(&page)) pages.push_back(page);
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(Keys(pages).size(), 400);
  for (const v1::ListRowsResponse& one : pages) {
    for (const v1::Row& row : one.rows()) ASSERT_TRUE(row.values().at("name").text() == before);
  }
}

TEST_F(SidecarServiceTest, ACancelledListLetsItsStateGo) {
  FillPlaces(400, std::string(64 * 1024, 'x'));
  SidecarService::Options options;
  options.max_list_duration = absl::Hours(1);
  Serve(options);
  grpc::ClientContext context;
  auto reader = stub_->ListRows(&context, ListRequest({}));
  v1::ListRowsResponse page;
  ASSERT_TRUE(reader->Read(&page));
  // Far more is to come than flow control lets through, so the list is still being read.
  ASSERT_FALSE(WalCanBeEmptied(absl::ZeroDuration()));
  context.TryCancel();
  EXPECT_TRUE(WalCanBeEmptied(absl::Seconds(60)));
  while (reader->Read(&page)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(SidecarServiceTest, AListWhoseClientStopsReadingEndsWhenTheTimeIsUp) {
  FillPlaces(400, std::string(64 * 1024, 'x'));
  SidecarService::Options options;
  options.max_list_duration = absl::Milliseconds(500);
  Serve(options);
  grpc::ClientContext context;
  auto reader = stub_->ListRows(&context, ListRequest({}));
  v1::ListRowsResponse page;
  int rows = 0;
  if (reader->Read(&page)) rows += page.rows_size();
  // The state is let go although nobody reads on.
  EXPECT_TRUE(WalCanBeEmptied(absl::Seconds(60)));
  while (reader->Read(&page)) rows += page.rows_size();
  const absl::Status status = rpc::FromGrpcStatus(reader->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("500ms"), HasSubstr("--max_list_duration_ms")));
  EXPECT_LT(rows, 400);
}

TEST_F(SidecarServiceTest, AListThatTakesTooLongFails) {
  FillPlaces(10, "x");
  SidecarService::Options options;
  options.max_list_duration = absl::Nanoseconds(1);
  Serve(options);
  std::vector<v1::ListRowsResponse> pages;
  const absl::Status status = List(ListRequest({}), &pages);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(pages, IsEmpty());
}

TEST_F(SidecarServiceTest, ShutdownEndsAListThatNobodyReads) {
  FillPlaces(400, std::string(64 * 1024, 'x'));
  Serve();
  grpc::ClientContext context;
  auto reader = stub_->ListRows(&context, ListRequest({}));
  v1::ListRowsResponse page;
  ASSERT_TRUE(reader->Read(&page));
  server_->Shutdown(absl::ZeroDuration());
  while (reader->Read(&page)) continue;
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_F(SidecarServiceTest, StatusOfAnEmptyCopy) {
  OpenWriter();
  Serve();
  grpc::ClientContext context;
  v1::GetStatusResponse response;
  const grpc::Status status = stub_->GetStatus(&context, v1::GetStatusRequest(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.applied_sequence(), 0);
  EXPECT_FALSE(response.has_applied_entry_time());
  EXPECT_FALSE(response.has_heartbeat_time());
  EXPECT_FALSE(response.has_lag());
}

TEST_F(SidecarServiceTest, StatusTellsPositionLagAndIdentity) {
  // 2024-05-06 12:53:15.25, 4.75 seconds before the clock's time.
  CreatePlaces();
  Apply({Place("nz", 1, "x")});
  Serve();
  v1::GetStatusResponse response;
  {
    grpc::ClientContext context;
    const grpc::Status status = stub_->GetStatus(&context, v1::GetStatusRequest(), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(response.applied_sequence(), 2);
  EXPECT_EQ(response.applied_entry_time().seconds(), 1714999995);
  EXPECT_EQ(response.applied_entry_time().nanos(), 250000000);
  EXPECT_FALSE(response.has_heartbeat_time());
  EXPECT_EQ(response.lag().seconds(), 4);
  EXPECT_EQ(response.lag().nanos(), 750000000);
  char host[256] = {};
  ASSERT_EQ(gethostname(host, sizeof(host) - 1), 0);
  EXPECT_EQ(response.instance(), absl::StrCat(host, "/", getpid()));
  EXPECT_EQ(response.ldb_path(), path_);

  // A heartbeat one second and one nanosecond before the clock's time.
  Apply(
      {"CREATE TABLE ctlstore___heartbeats (\"name\" VARCHAR(191), \"value\" INTEGER, "
       "PRIMARY KEY(\"name\"));",
       "REPLACE INTO ctlstore___heartbeats (\"name\",\"value\") "
       "VALUES('heartbeat',1714999998999999999)"});
  grpc::ClientContext context;
  const grpc::Status status = stub_->GetStatus(&context, v1::GetStatusRequest(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.applied_sequence(), 4);
  EXPECT_EQ(response.heartbeat_time().seconds(), 1714999998);
  EXPECT_EQ(response.heartbeat_time().nanos(), 999999999);
  EXPECT_EQ(response.lag().seconds(), 1);
  EXPECT_EQ(response.lag().nanos(), 1);
}

}  // namespace
}  // namespace ctlstore::sidecar
