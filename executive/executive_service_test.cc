#include "executive/executive_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_changer.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "executive/executive.h"
#include "executive/testing/ledger_comparison.h"
#include "executive/testing/test_ctldb.h"
#include "executive/testing/test_executive.h"
#include "google/protobuf/util/json_util.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ctlstore::executive {
namespace {

constexpr char kWriter[] = "writer";
constexpr char kSecret[] = "the writer's secret";

// A message from its JSON, as grpcurl takes it.
template <typename Message>
Message FromJson(const std::string& json) {
  Message message;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return message;
}

// The service behind a real server; what it does to the ctldb is executive_test's matter.
class ExecutiveServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    rpc::ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start(options, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::Executive::NewStub(rpc::NewChannel(server_->addresses()[0]));

    ASSERT_TRUE(Call(&Stub::CreateFamily, FromJson<v1::CreateFamilyRequest>(R"({"family": "geo"})"),
                     &ignored_family_)
                    .ok());
    v1::CreateTableResponse created;
    ASSERT_TRUE(Call(&Stub::CreateTable, FromJson<v1::CreateTableRequest>(R"({"table": {
                       "family": "geo", "name": "countries",
                       "fields": [{"name": "code", "type": "STRING"},
                                  {"name": "population", "type": "INTEGER"},
                                  {"name": "area", "type": "DECIMAL"},
                                  {"name": "anthem", "type": "TEXT"},
                                  {"name": "flag", "type": "BINARY"}],
                       "keyFields": ["code"]}})"),
                     &created)
                    .ok());
    EXPECT_EQ(created.sequence(), 1);
    v1::RegisterWriterRequest writer;
    writer.set_writer(kWriter);
    writer.set_secret(kSecret);
    v1::RegisterWriterResponse registered;
    ASSERT_TRUE(Call(&Stub::RegisterWriter, writer, &registered).ok());
  }

  using Stub = v1::Executive::Stub;

  FaceParts Face() {
    FaceParts face = executive_.face();
    face.max_call_duration = absl::Seconds(2);
    return face;
  }

  template <typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  // One call, as the registered writer.
  template <typename Request, typename Response>
  absl::Status Call(Method<Request, Response> method, const Request& request, Response* response) {
    grpc::ClientContext context;
    rpc::SetDeadline(absl::Now() + absl::Minutes(1), &context);
    rpc::AddWriterCredentials(kWriter, kSecret, &context);
    last_status_ = (stub_.get()->*method)(&context, request, response);
    return rpc::FromGrpcStatus(last_status_);
  }

  absl::StatusOr<int64_t> Mutate(const v1::MutateRequest& request) {
    v1::MutateResponse response;
    absl::Status status = Call(&Stub::Mutate, request, &response);
    if (!status.ok()) return status;
    return response.sequence();
  }
  absl::StatusOr<int64_t> Mutate(const std::string& json) {
    return Mutate(FromJson<v1::MutateRequest>(json));
  }

  TestCtldb ctldb_{TestCtldb::Kind::kSqlite};
  std::unique_ptr<ctldb::Connection> connection_ = ctldb_.Connect();
  TestExecutive executive_{ctldb_};
  std::unique_ptr<grpc::Service> service_ = NewExecutiveService(Face());
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Stub> stub_;
  grpc::Status last_status_;
  v1::CreateFamilyResponse ignored_family_;
};

TEST_F(ExecutiveServiceTest, TablesGoInAndComeOut) {
  v1::GetTableResponse table;
  ASSERT_TRUE(Call(&Stub::GetTable,
                   FromJson<v1::GetTableRequest>(R"({"family": "geo", "table": "countries"})"),
                   &table)
                  .ok());
  EXPECT_EQ(table.table().family(), "geo");
  EXPECT_EQ(table.table().name(), "countries");
  ASSERT_EQ(table.table().fields_size(), 5);
  EXPECT_EQ(table.table().fields(4).type(), v1::BINARY);
  EXPECT_EQ(table.table().key_fields(0), "code");

  v1::CreateTablesRequest more;
  for (const char* name : {"one", "two"}) {
    v1::Table* added = more.add_tables();
    *added = table.table();
    added->set_name(name);
  }
  v1::CreateTablesResponse created;
  ASSERT_TRUE(Call(&Stub::CreateTables, more, &created).ok());
  EXPECT_GT(created.sequence(), 1);

  v1::AddFieldsResponse added;
  ASSERT_TRUE(Call(&Stub::AddFields,
                   FromJson<v1::AddFieldsRequest>(
                       R"({"family": "geo", "table": "one",
                           "fields": [{"name": "capital", "type": "BYTESTRING"}]})"),
                   &added)
                  .ok());
  EXPECT_GT(added.sequence(), created.sequence());

  v1::ListTablesResponse tables;
  ASSERT_TRUE(Call(&Stub::ListTables, v1::ListTablesRequest(), &tables).ok());
  ASSERT_EQ(tables.tables_size(), 3);
  EXPECT_EQ(tables.tables(0).name(), "countries");
  EXPECT_EQ(tables.tables(1).fields(5).name(), "capital");

  v1::ListFamiliesResponse families;
  ASSERT_TRUE(Call(&Stub::ListFamilies, v1::ListFamiliesRequest(), &families).ok());
  ASSERT_EQ(families.families_size(), 1);
  EXPECT_EQ(families.families(0), "geo");
}

TEST_F(ExecutiveServiceTest, MutationsOfEveryKindOfValueArrive) {
  const absl::StatusOr<int64_t> sequence = Mutate(R"({
      "family": "geo",
      "mutations": [
        {"table": "countries", "values": {
            "code": {"text": "NZ"}, "population": {"integer": "9007199254740993"},
            "area": {"decimal": 268021.5}, "anthem": {"null": null}, "flag": {"bytes": "AAEC"}}},
        {"table": "countries", "values": {"code": {"text": "AU"}, "area": {"integer": 7}}},
        {"table": "countries", "delete": true, "values": {"code": {"text": "XX"}}}],
      "cookie": "Y29va2ll", "checkCookie": ""})");
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, 6);
  std::vector<std::string> rows;
  ASSERT_TRUE(connection_
                  ->Query("SELECT \"code\", \"population\", \"area\", \"anthem\", \"flag\" FROM "
                          "geo___countries ORDER BY \"code\"",
                          {},
                          [&rows](absl::Span<const ValueView> row) {
                            std::string text;
                            for (const ValueView& value : row) {
                              absl::StrAppend(&text, DebugString(value), " ");
                            }
                            rows.push_back(text);
                            return absl::OkStatus();
                          })
                  .ok());
  EXPECT_EQ(rows, (std::vector<std::string>{"\"AU\" null 7 null null ",
                                            "\"NZ\" 9007199254740993 268021.5 null x'000102' "}));
  v1::GetCookieResponse cookie;
  ASSERT_TRUE(Call(&Stub::GetCookie, v1::GetCookieRequest(), &cookie).ok());
  EXPECT_EQ(cookie.cookie(), "cookie");
  v1::SetCookieRequest set;
  set.set_cookie(std::string("\0\xFF", 2));
  v1::SetCookieResponse ignored;
  ASSERT_TRUE(Call(&Stub::SetCookie, set, &ignored).ok());
  ASSERT_TRUE(Call(&Stub::GetCookie, v1::GetCookieRequest(), &cookie).ok());
  EXPECT_EQ(cookie.cookie(), set.cookie());
  EXPECT_TRUE(CompareLedgerWithTables(connection_.get()).ok());
}

TEST_F(ExecutiveServiceTest, ErrorsHaveTheStandardDetails) {
  ASSERT_FALSE(Mutate(R"({"family": "geo", "mutations": [
      {"table": "countries", "values": {"code": {"text": "NZ"}}},
      {"table": "countries", "values": {"code": {"text": "AU"}, "capital": {"text": "x"}}}]})")
                   .ok());
  EXPECT_EQ(last_status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(last_status_.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "UNKNOWN_FIELD");
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(details.details(1).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(), "mutations[1].values.capital");
}

TEST_F(ExecutiveServiceTest, OfSeveralErrorsInOneMutationTheFirstByNameIsTold) {
  for (int i = 0; i < 10; ++i) {
    const absl::Status status = Mutate(R"({"family": "geo", "mutations": [
        {"table": "countries", "values": {"code": {"text": "NZ"}, "z": {"text": "x"},
         "b": {"text": "x"}, "m": {"text": "x"}, "q": {"text": "x"}}}]})")
                                    .status();
    EXPECT_EQ(ErrorField(status), "mutations[0].values.b");
  }
}

TEST_F(ExecutiveServiceTest, PathsAreThoseOfTheRequest) {
  v1::CreateTableResponse created;
  absl::Status status = Call(&Stub::CreateTable, FromJson<v1::CreateTableRequest>(R"({"table": {
             "family": "geo", "name": "x y z", "fields": [{"name": "a", "type": "STRING"}],
             "keyFields": ["a"]}})"),
                             &created);
  EXPECT_EQ(ErrorField(status), "table.name") << status;
  v1::CreateTableRequest long_name = FromJson<v1::CreateTableRequest>(R"({"table": {
      "family": "family_of_thirty_characters_12", "fields": [{"name": "a", "type": "STRING"}],
      "keyFields": ["a"]}})");
  long_name.mutable_table()->set_name(std::string(32, 'x'));
  status = Call(&Stub::CreateTable, long_name, &created);
  EXPECT_EQ(ErrorField(status), "table.name") << status;
  status = Call(&Stub::CreateTable, v1::CreateTableRequest(), &created);
  EXPECT_EQ(ErrorField(status), "table.family") << status;

  v1::CreateTablesResponse several;
  status = Call(&Stub::CreateTables, FromJson<v1::CreateTablesRequest>(R"({"tables": [
             {"family": "geo", "name": "xyz", "fields": [{"name": "a", "type": "STRING"}],
              "keyFields": ["a"]},
             {"family": "geo", "name": "xyz", "fields": [{"name": "a"}], "keyFields": ["a"]}]})"),
                &several);
  EXPECT_EQ(ErrorField(status), "tables[1].fields[0].type") << status;

  v1::AddFieldsResponse added;
  status = Call(&Stub::AddFields,
                FromJson<v1::AddFieldsRequest>(
                    R"({"family": "geo", "table": "countries",
                        "fields": [{"name": "a", "type": "TEXT"}, {"name": "b"}]})"),
                &added);
  EXPECT_EQ(ErrorField(status), "fields[1].type") << status;

  status = Mutate(R"({"family": "geo", "mutations": [
      {"table": "countries", "values": {"code": {}}}]})")
               .status();
  EXPECT_EQ(ErrorField(status), "mutations[0].values.code") << status;
  EXPECT_EQ(ErrorReason(status), reason::kInvalidValue) << status;
}

TEST_F(ExecutiveServiceTest, ACallWithoutCredentialsIsToldWhichEntriesToSend) {
  auto call = [this](const std::vector<std::pair<std::string, std::string>>& metadata) {
    grpc::ClientContext context;
    for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
    v1::GetCookieResponse response;
    return rpc::FromGrpcStatus(stub_->GetCookie(&context, {}, &response));
  };
  absl::Status status = call({});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ErrorReason(status), reason::kBadCredentials);
  EXPECT_TRUE(absl::StrContains(status.message(), "ctlstore-writer")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "ctlstore-secret")) << status;
  status = call({{"ctlstore-writer", kWriter}});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(absl::StrContains(status.message(), "ctlstore-secret is missing")) << status;
  status = call({{"ctlstore-writer", kWriter}, {"ctlstore-secret", "wrong"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_FALSE(absl::StrContains(status.message(), "wrong ")) << status;
  EXPECT_TRUE(call({{"ctlstore-writer", kWriter}, {"ctlstore-secret", kSecret}}).ok());
}

TEST_F(ExecutiveServiceTest, WritersWithNamesOfAnyCharactersWork) {
  v1::RegisterWriterRequest writer;
  writer.set_writer("sch\xC3\xB6n \xF0\x9F\x98\x80");
  writer.set_secret("geheimnis \xC3\xA4");
  v1::RegisterWriterResponse registered;
  ASSERT_TRUE(Call(&Stub::RegisterWriter, writer, &registered).ok());
  grpc::ClientContext context;
  rpc::AddWriterCredentials(writer.writer(), writer.secret(), &context);
  v1::GetCookieResponse response;
  const grpc::Status status = stub_->GetCookie(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ExecutiveServiceTest, ARequestHasASizeLimit) {
  // The bytes of the whole message are moved to the limit by the length of one text.
  auto request_of = [](size_t bytes) {
    v1::MutateRequest request;
    request.set_family("geo");
    for (int i = 0; i < 3; ++i) {
      v1::Mutation* mutation = request.add_mutations();
      mutation->set_table("countries");
      (*mutation->mutable_values())["code"].set_text(absl::StrCat(i));
      (*mutation->mutable_values())["anthem"].set_text(std::string(300000, 'x'));
    }
    std::string* text = (*request.mutable_mutations(0)->mutable_values())["anthem"].mutable_text();
    text->append(bytes - request.ByteSizeLong(), 'x');
    EXPECT_EQ(request.ByteSizeLong(), bytes);
    return request;
  };
  EXPECT_TRUE(Mutate(request_of(limits::kRequestMaxBytes - 1)).ok());
  const absl::StatusOr<int64_t> at_limit = Mutate(request_of(limits::kRequestMaxBytes));
  EXPECT_TRUE(at_limit.ok()) << at_limit.status();
  const absl::Status above = Mutate(request_of(limits::kRequestMaxBytes + 1)).status();
  EXPECT_EQ(above.code(), absl::StatusCode::kInvalidArgument) << above;
  EXPECT_EQ(ErrorReason(above), reason::kTooLarge);
  EXPECT_TRUE(absl::StrContains(above.message(), "1048577")) << above;
}

TEST_F(ExecutiveServiceTest, OtherErrorsKeepTheirCodesAndReasons) {
  absl::Status status =
      Mutate(R"({"family": "geo", "mutations": [{"table": "lakes", "values": {}}]})").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);
  status = Mutate(R"({"family": "geo", "checkCookie": "AAAA", "mutations": [
      {"table": "countries", "values": {"code": {"text": "NZ"}}}]})")
               .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ErrorReason(status), reason::kCookieMismatch);
  v1::RegisterWriterRequest writer;
  writer.set_writer(kWriter);
  writer.set_secret("another");
  v1::RegisterWriterResponse registered;
  status = Call(&Stub::RegisterWriter, writer, &registered);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrorReason(status), reason::kWriterDiffers);
}

TEST_F(ExecutiveServiceTest, ACallWithoutADeadlineEndsAllTheSame) {
  absl::StatusOr<ctldb::LedgerTransaction> holder =
      ctldb::LedgerTransaction::Begin(connection_.get());
  ASSERT_TRUE(holder.ok()) << holder.status();
  grpc::ClientContext context;
  rpc::AddWriterCredentials(kWriter, kSecret, &context);
  v1::MutateResponse response;
  const absl::Status status = rpc::FromGrpcStatus(
      stub_->Mutate(&context, FromJson<v1::MutateRequest>(R"({"family": "geo", "mutations": [
          {"table": "countries", "values": {"code": {"text": "NZ"}}}]})"),
                    &response));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
}

}  // namespace
}  // namespace ctlstore::executive
