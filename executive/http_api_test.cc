#include "executive/http_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/ctldb/connection.h"
#include "common/rpc/http_server.h"
#include "common/rpc/testing/http_client.h"
#include "common/schema/errors.h"
#include "executive/testing/test_ctldb.h"
#include "executive/testing/test_executive.h"

namespace ctlstore::executive {
namespace {

using ::ctlstore::rpc::testing::HttpAnswer;
using ::ctlstore::rpc::testing::HttpClient;
using nlohmann::json;

constexpr char kWriterHeaders[] = "ctlstore-writer: loader\r\nctlstore-secret: hush hush\r\n";
constexpr char kCountries[] =
    R"({"fields":[["code","string"],["population","integer"],["area","decimal"],)"
    R"(["anthem","text"],["flag","binary"]],"keyFields":["code"]})";

// The HTTP API in front of a real executive with a real ctldb.
class HttpApiTest : public ::testing::Test {
 protected:
  void Start(Executive::Options options = Destructive()) {
    executive_ = std::make_unique<TestExecutive>(ctldb_, std::move(options));
    Serve(executive_->face());
  }

  void Serve(const FaceParts& face) {
    server_.reset();
    api_ = std::make_unique<HttpApi>(face);
    rpc::HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    options.error_response = HttpApi::ServerError;
    auto server = rpc::HttpServer::Start(
        options, [this](const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) {
          api_->Handle(request, std::move(respond));
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<HttpClient>(server_->address());
  }

  static Executive::Options Destructive() {
    Executive::Options options = TestExecutive::Unlimited();
    options.destructive_changes = true;
    return options;
  }

  // A family, a table and a writer.
  void Prepare() {
    ASSERT_EQ(Ask("POST", "/families/geo").status, 200);
    ASSERT_EQ(Ask("POST", "/families/geo/tables/countries", kCountries).status, 200);
    ASSERT_EQ(Ask("POST", "/writers/loader", "hush hush").status, 200);
  }

  HttpAnswer Ask(const std::string& method, const std::string& path, const std::string& body = "",
                 const std::string& headers = "Content-Type: application/json\r\n") {
    const HttpAnswer answer = client_->Ask(method, path, body, headers);
    // After some errors the server ends the connection.
    if (answer.status == 0 || answer.headers.count("connection") > 0) {
      client_ = std::make_unique<HttpClient>(server_->address());
    }
    return answer;
  }

  HttpAnswer Mutate(const std::string& body, const std::string& family = "geo") {
    return Ask("POST", absl::StrCat("/families/", family, "/mutations"), body, kWriterHeaders);
  }

  // One mutation of the table countries.
  HttpAnswer Upsert(const std::string& values) {
    return Mutate(absl::StrCat(R"({"mutations":[{"table":"countries","values":{)", values, "}}]}"));
  }

  static absl::Status Unavailable(absl::string_view) {
    return WithRetryDelay(
        ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, "on purpose"),
        absl::Milliseconds(1100));
  }

  // The ledger's last statement.
  std::string LastStatement() {
    std::string statement;
    EXPECT_TRUE(ctldb_.Connect()
                    ->Query("SELECT statement FROM ctlstore_dml_ledger ORDER BY seq DESC LIMIT 1",
                            {},
                            [&statement](absl::Span<const ValueView> row) {
                              statement = std::string(row[0].data());
                              return absl::OkStatus();
                            })
                    .ok());
    return statement;
  }

  static std::string ReasonOf(const HttpAnswer& answer) {
    EXPECT_EQ(answer.headers.at("content-type"), "application/json") << answer.body;
    const json body = json::parse(answer.body, nullptr, false);
    return body.is_object() ? body["error"].value("reason", "") : "no JSON: " + answer.body;
  }
  static std::string FieldOf(const HttpAnswer& answer) {
    return json::parse(answer.body)["error"].value("field", "");
  }

  TestCtldb ctldb_{TestCtldb::Kind::kSqlite};
  std::unique_ptr<TestExecutive> executive_;
  std::unique_ptr<HttpApi> api_;
  std::unique_ptr<rpc::HttpServer> server_;
  std::unique_ptr<HttpClient> client_;
};

#define EXPECT_ERROR(answer, http_status, error_reason) \
  do {                                                  \
    const HttpAnswer error = (answer);                  \
    EXPECT_EQ(error.status, http_status) << error.body; \
    EXPECT_EQ(ReasonOf(error), error_reason);           \
  } while (false)

#define EXPECT_DONE(answer)                   \
  do {                                        \
    const HttpAnswer done = (answer);         \
    EXPECT_EQ(done.status, 200) << done.body; \
    EXPECT_EQ(done.body, "");                 \
  } while (false)

// One after the other the routes of the Go executive's API.

TEST_F(HttpApiTest, PostFamilies) {
  Start();
  EXPECT_DONE(Ask("POST", "/families/geo"));
  EXPECT_DONE(Ask("POST", "/families/geo"));
  EXPECT_DONE(Ask("POST", "/families/Other/", "whatever", ""));
  EXPECT_ERROR(Ask("POST", "/families/g"), 400, "INVALID_NAME");
  EXPECT_EQ(Ask("GET", "/schema/family/other").body, "[]");
}

TEST_F(HttpApiTest, PostTables) {
  Start();
  EXPECT_ERROR(Ask("POST", "/families/geo/tables/countries", kCountries), 404, "FAMILY_NOT_FOUND");
  Prepare();
  EXPECT_DONE(Ask("POST", "/families/geo/tables/countries", kCountries));
  EXPECT_ERROR(Ask("POST", "/families/geo/tables/countries",
                   R"({"fields":[["code","string"]],"keyFields":["code"]})"),
               409, "TABLE_DIFFERS");
  const HttpAnswer bad = Ask("POST", "/families/geo/tables/rivers",
                             R"({"fields":[["name","text"]],"keyFields":["name"]})");
  EXPECT_ERROR(bad, 400, "INVALID_SCHEMA");
  EXPECT_EQ(FieldOf(bad), "keyFields[0]");
  EXPECT_ERROR(Ask("POST", "/families/geo/tables/rivers", "{}"), 400, "INVALID_SCHEMA");
  EXPECT_ERROR(Ask("POST", "/families/geo/tables/rivers", ""), 400, "INVALID_REQUEST");
  const HttpAnswer created = Ask("POST", "/families/geo/tables/Rivers",
                                 R"({"fields":[["name","string"]],"keyFields":["name"]})");
  EXPECT_DONE(created);
  EXPECT_EQ(created.headers.at("ctlstore-sequence"), "2");
}

TEST_F(HttpApiTest, PutTablesAddsFields) {
  Start();
  Prepare();
  const std::string path = "/families/geo/tables/countries";
  const HttpAnswer added = Ask("PUT", path, R"({"fields":[["capital","string"]]})");
  EXPECT_DONE(added);
  EXPECT_EQ(added.headers.at("ctlstore-sequence"), "2");
  const HttpAnswer again = Ask("PUT", path, R"({"fields":[["capital","string"]]})");
  EXPECT_DONE(again);
  EXPECT_EQ(again.headers.count("ctlstore-sequence"), 0u);
  EXPECT_EQ(LastStatement(), "ALTER TABLE geo___countries ADD COLUMN \"capital\" VARCHAR(191)");
  EXPECT_ERROR(Ask("PUT", path, R"({"fields":[["capital","integer"]]})"), 409, "FIELD_DIFFERS");
  EXPECT_ERROR(Ask("PUT", path, R"({"fields":[]})"), 400, "INVALID_REQUEST");
  EXPECT_ERROR(Ask("PUT", path, R"({"fields":[["x","string"]],"keyFields":["x"]})"), 400,
               "UNKNOWN_FIELD");
  EXPECT_ERROR(Ask("PUT", "/families/geo/tables/absent", R"({"fields":[["x","string"]]})"), 404,
               "TABLE_NOT_FOUND");
}

TEST_F(HttpApiTest, DeleteTables) {
  Start();
  Prepare();
  EXPECT_DONE(Ask("DELETE", "/families/geo/tables/countries"));
  EXPECT_EQ(LastStatement(), "DROP TABLE IF EXISTS geo___countries");
  EXPECT_ERROR(Ask("DELETE", "/families/geo/tables/countries"), 404, "TABLE_NOT_FOUND");
  EXPECT_ERROR(Ask("DELETE", "/families/other/tables/countries"), 404, "FAMILY_NOT_FOUND");
}

TEST_F(HttpApiTest, DeleteClearRows) {
  Start();
  Prepare();
  ASSERT_EQ(Upsert(R"("code":"NZ")").status, 200);
  EXPECT_DONE(Ask("DELETE", "/clear-rows/families/geo/tables/countries"));
  EXPECT_EQ(LastStatement(), "DELETE FROM geo___countries");
  const HttpAnswer family = Ask("DELETE", "/clear-rows/families/geo");
  EXPECT_DONE(family);
  EXPECT_EQ(family.headers.at("ctlstore-sequence"), "4");
  EXPECT_ERROR(Ask("DELETE", "/clear-rows/families/geo/tables/absent"), 404, "TABLE_NOT_FOUND");
  EXPECT_ERROR(Ask("DELETE", "/clear-rows/families/absent"), 404, "FAMILY_NOT_FOUND");
}

TEST_F(HttpApiTest, DestructiveChangesHaveToBeEnabled) {
  Start(TestExecutive::Unlimited());
  Prepare();
  EXPECT_ERROR(Ask("DELETE", "/families/geo/tables/countries"), 403, "DESTRUCTIVE_DISABLED");
  EXPECT_ERROR(Ask("DELETE", "/clear-rows/families/geo"), 403, "DESTRUCTIVE_DISABLED");
  EXPECT_ERROR(Ask("DELETE", "/clear-rows/families/geo/tables/countries"), 403,
               "DESTRUCTIVE_DISABLED");
}

TEST_F(HttpApiTest, PostSeveralTables) {
  Start();
  Prepare();
  const std::string table = R"("fields":[["a","string"]],"keyFields":["a"]})";
  const std::string both = absl::StrCat(R"([{"family":"geo","name":"one",)", table,
                                        R"(,{"family":"geo","name":"two",)", table, "]");
  EXPECT_DONE(Ask("POST", "/tables", both));
  EXPECT_DONE(Ask("POST", "/tables", both));
  const HttpAnswer bad = Ask("POST", "/tables",
                             absl::StrCat(R"([{"family":"geo","name":"three",)", table,
                                          R"(,{"family":"no","name":"four",)", table, "]"));
  EXPECT_ERROR(bad, 400, "INVALID_NAME");
  EXPECT_EQ(FieldOf(bad), "tables[1].family");
  EXPECT_ERROR(Ask("POST", "/tables", "[]"), 400, "INVALID_REQUEST");
  EXPECT_ERROR(
      Ask("POST", "/tables", absl::StrCat(R"([{"family":"absent","name":"one",)", table, "]")), 404,
      "FAMILY_NOT_FOUND");
  EXPECT_EQ(Ask("GET", "/schema/table/geo/three").status, 404);
}

TEST_F(HttpApiTest, GetSchema) {
  Start();
  Prepare();
  const HttpAnswer table = Ask("GET", "/schema/table/geo/countries");
  EXPECT_EQ(table.status, 200);
  EXPECT_EQ(table.headers.at("content-type"), "application/json");
  json expected = json::parse(kCountries);
  expected["family"] = "geo";
  expected["name"] = "countries";
  EXPECT_EQ(json::parse(table.body), expected);
  EXPECT_EQ(json::parse(Ask("GET", "/schema/family/geo").body), json::array({expected}));
  EXPECT_EQ(Ask("GET", "/schema/table/GEO/Countries").status, 200);
  EXPECT_ERROR(Ask("GET", "/schema/table/geo/absent"), 404, "TABLE_NOT_FOUND");
  EXPECT_ERROR(Ask("GET", "/schema/table/absent/countries"), 404, "FAMILY_NOT_FOUND");
  EXPECT_ERROR(Ask("GET", "/schema/family/absent"), 404, "FAMILY_NOT_FOUND");
  EXPECT_ERROR(Ask("GET", "/schema/family/%20"), 400, "INVALID_NAME");
}

TEST_F(HttpApiTest, PostWriters) {
  Start();
  EXPECT_DONE(Ask("POST", "/writers/loader", "hush hush", ""));
  EXPECT_DONE(Ask("POST", "/writers/loader", "hush hush", "Content-Type: text/plain\r\n"));
  EXPECT_ERROR(Ask("POST", "/writers/loader", "another secret"), 409, "WRITER_DIFFERS");
  EXPECT_ERROR(Ask("POST", "/writers/lo", "hush hush"), 400, "INVALID_NAME");
  const HttpAnswer bad = Ask("POST", "/writers/loader", "hu");
  EXPECT_EQ(bad.status, 400);
  EXPECT_FALSE(absl::StrContains(bad.body, "\"hu\"")) << bad.body;
  // Any bytes of the name, and of the secret.
  EXPECT_DONE(Ask("POST", "/writers/a%2Fb%20%C3%A9", std::string("\0\xff\n", 3), ""));
  EXPECT_ERROR(Ask("POST", "/writers/a%2Fb%20%C3%A9", std::string("\0\xff", 2) + "!", ""), 409,
               "WRITER_DIFFERS");
}

TEST_F(HttpApiTest, Cookies) {
  Start();
  Prepare();
  HttpAnswer cookie = Ask("GET", "/cookie", "", kWriterHeaders);
  EXPECT_EQ(cookie.status, 200);
  EXPECT_EQ(cookie.body, "");
  const std::string bytes("position \0\xff\r\n", 13);
  EXPECT_DONE(Ask("POST", "/cookie", bytes, kWriterHeaders));
  cookie = Ask("GET", "/cookie", "", kWriterHeaders);
  EXPECT_EQ(cookie.body, bytes);
  EXPECT_EQ(cookie.headers.at("content-type"), "application/octet-stream");
  EXPECT_DONE(Ask("POST", "/cookie", std::string(1024, 'c'), kWriterHeaders));
  EXPECT_ERROR(Ask("POST", "/cookie", std::string(1025, 'c'), kWriterHeaders), 413, "TOO_LARGE");
  EXPECT_DONE(Ask("POST", "/cookie", "", kWriterHeaders));
  EXPECT_EQ(Ask("GET", "/cookie", "", kWriterHeaders).body, "");
  for (const char* headers : {"", "ctlstore-writer: loader\r\n", "ctlstore-secret: hush hush\r\n",
                              "ctlstore-writer: loader\r\nctlstore-secret: wrong\r\n",
                              "ctlstore-writer: nobody\r\nctlstore-secret: hush hush\r\n"}) {
    EXPECT_ERROR(Ask("GET", "/cookie", "", headers), 401, "BAD_CREDENTIALS");
  }
}

TEST_F(HttpApiTest, PostMutations) {
  Start();
  Prepare();
  const HttpAnswer answer = Upsert(R"("code":"NZ","population":9007199254740993,"area":268021.5,)"
                                   R"("anthem":"It's","flag":"AP8=")");
  EXPECT_DONE(answer);
  EXPECT_EQ(answer.headers.at("ctlstore-sequence"), "2");
  EXPECT_EQ(LastStatement(),
            "REPLACE INTO geo___countries (\"code\",\"population\",\"area\",\"anthem\",\"flag\") "
            "VALUES('NZ',9007199254740993,268021.5,'It''s',x'00ff')");
  EXPECT_DONE(Upsert(R"("code":"X","population":-9223372036854775808,"area":2)"));
  EXPECT_THAT(LastStatement(),
              ::testing::EndsWith("VALUES('X',-9223372036854775808,2.0,NULL,NULL)"));
  EXPECT_DONE(Upsert(R"("code":"X","population":true)"));
  EXPECT_THAT(LastStatement(), ::testing::EndsWith("VALUES('X',1,NULL,NULL,NULL)"));
  EXPECT_DONE(
      Mutate(R"({"mutations":[{"table":"countries","delete":true,"values":{"code":"X"}}]})"));
  EXPECT_EQ(LastStatement(), "DELETE FROM geo___countries WHERE \"code\" = 'X'");
  // A request of several is one ledger transaction.
  const HttpAnswer two = Mutate(R"({"mutations":[{"table":"countries","values":{"code":"A"}},)"
                                R"({"table":"countries","values":{"code":"B"}}]})");
  EXPECT_EQ(two.headers.at("ctlstore-sequence"), "9");
  EXPECT_EQ(LastStatement(), "--- COMMIT");
}

TEST_F(HttpApiTest, MutationsThatCannotBeHeldExactlyAreRefused) {
  Start();
  Prepare();
  const std::string last = LastStatement();
  for (const char* values :
       {R"("code":"X","population":1.5)", R"("code":"X","population":1.0)",
        R"("code":"X","population":1e3)", R"("code":"X","population":9223372036854775808)",
        R"("code":"X","population":"5")", R"("code":"X","area":9007199254740993)",
        R"("code":"X","area":"1.5")", R"("code":"X","flag":"AP8")", R"("code":"X","flag":5)",
        R"("code":"X\u0000")", R"("code":5)", R"("code":"X","anthem":[])"}) {
    EXPECT_ERROR(Upsert(values), 400, "INVALID_VALUE");
  }
  EXPECT_ERROR(Upsert(R"("code":"X","capital":"Y")"), 400, "UNKNOWN_FIELD");
  EXPECT_ERROR(Upsert(R"("population":5)"), 400, "INVALID_KEY");
  EXPECT_ERROR(Upsert(R"("code":null)"), 400, "INVALID_VALUE");
  EXPECT_EQ(FieldOf(Upsert(R"("code":"X","population":1.5)")), "mutations[0].values.population");
  EXPECT_EQ(LastStatement(), last);
}

// What the Go executive answered with 500.
TEST_F(HttpApiTest, CallersMistakesAreTheirs) {
  Start();
  Prepare();
  const std::string good = R"({"mutations":[{"table":"countries","values":{"code":"X"}}]})";
  EXPECT_ERROR(Ask("POST", "/families/geo/mutations", good,
                   "ctlstore-writer: loader\r\nctlstore-secret: wrong\r\n"),
               401, "BAD_CREDENTIALS");
  EXPECT_ERROR(Ask("POST", "/families/geo/mutations", good, ""), 401, "BAD_CREDENTIALS");
  EXPECT_ERROR(Mutate(good, "absent"), 404, "FAMILY_NOT_FOUND");
  EXPECT_ERROR(Mutate(R"({"mutations":[{"table":"absent","values":{"code":"X"}}]})"), 404,
               "TABLE_NOT_FOUND");
  EXPECT_ERROR(Mutate(R"({"mutations":[]})"), 400, "INVALID_REQUEST");
  EXPECT_ERROR(Mutate("{}"), 400, "INVALID_REQUEST");
  std::string many = R"({"mutations":[{"table":"countries","values":{"code":"X"}})";
  for (int i = 0; i < 100; ++i) many += R"(,{"table":"countries","values":{"code":"X"}})";
  EXPECT_ERROR(Mutate(many + "]}"), 413, "TOO_LARGE");
  EXPECT_ERROR(Mutate(R"({"mutations":[{"table":"countries","valuse":{"code":"X"}}]})"), 400,
               "UNKNOWN_FIELD");
  EXPECT_ERROR(Mutate(R"({"mutation":[]})"), 400, "UNKNOWN_FIELD");
  const HttpAnswer broken = Mutate("{\"mutations\": [}");
  EXPECT_ERROR(broken, 400, "INVALID_REQUEST");
  EXPECT_THAT(broken.body, ::testing::HasSubstr("at byte 16"));
  EXPECT_ERROR(Mutate(""), 400, "INVALID_REQUEST");
}

TEST_F(HttpApiTest, MutationsCheckAndSetCookies) {
  Start();
  Prepare();
  const std::string mutation = R"("mutations":[{"table":"countries","values":{"code":"X"}}]})";
  const auto b64 = [](absl::string_view text) { return absl::Base64Escape(text); };
  EXPECT_DONE(
      Mutate(absl::StrCat(R"({"check_cookie":"","cookie":")", b64("one\xff"), "\",", mutation)));
  EXPECT_EQ(Ask("GET", "/cookie", "", kWriterHeaders).body, "one\xff");
  EXPECT_ERROR(Mutate(absl::StrCat(R"({"check_cookie":")", b64("other"), R"(","cookie":")",
                                   b64("two"), "\",", mutation)),
               409, "COOKIE_MISMATCH");
  EXPECT_EQ(Ask("GET", "/cookie", "", kWriterHeaders).body, "one\xff");
  EXPECT_DONE(Mutate(absl::StrCat(R"({"check_cookie":")", b64("one\xff"), R"(","cookie":")",
                                  b64("two"), "\",", mutation)));
  EXPECT_DONE(Mutate("{" + mutation));
  EXPECT_EQ(Ask("GET", "/cookie", "", kWriterHeaders).body, "two");
  EXPECT_ERROR(Mutate(absl::StrCat(R"({"cookie":")", b64(std::string(1025, 'c')), "\",", mutation)),
               413, "TOO_LARGE");
  EXPECT_ERROR(Mutate(R"({"cookie":"not base64",)" + mutation), 400, "INVALID_REQUEST");
}

TEST_F(HttpApiTest, TableLimits) {
  Executive::Options options = TestExecutive::Unlimited();
  options.limits.default_table_limit = {50, 100};
  Start(std::move(options));
  EXPECT_EQ(json::parse(Ask("GET", "/limits/tables").body),
            json::parse(R"({"global":{"max-size":100,"warn-size":50},"tables":[]})"));
  const std::string path = "/limits/tables/geo/countries";
  EXPECT_DONE(Ask("POST", path, R"({"max-size":9007199254740993,"warn-size":7})"));
  EXPECT_EQ(json::parse(Ask("GET", "/limits/tables").body),
            json::parse(R"({"global":{"max-size":100,"warn-size":50},"tables":[
              {"max-size":9007199254740993,"warn-size":7,"family":"geo","table":"countries"}]})"));
  const HttpAnswer bad = Ask("POST", path, R"({"max-size":5,"warn-size":7})");
  EXPECT_ERROR(bad, 400, "INVALID_REQUEST");
  EXPECT_EQ(FieldOf(bad), "warn-size");
  EXPECT_ERROR(Ask("POST", "/limits/tables/g/countries", R"({"max-size":5,"warn-size":5})"), 400,
               "INVALID_NAME");
  EXPECT_DONE(Ask("DELETE", path));
  EXPECT_ERROR(Ask("DELETE", path), 404, "LIMIT_NOT_FOUND");
}

TEST_F(HttpApiTest, WriterLimits) {
  Executive::Options options = TestExecutive::Unlimited();
  options.limits.default_writer_rows = 1000;
  Start(std::move(options));
  EXPECT_EQ(json::parse(Ask("GET", "/limits/writers").body),
            json::parse(R"({"global":{"amount":1000,"period":60000000000},"writers":[]})"));
  EXPECT_DONE(Ask("POST", "/limits/writers/loader", R"({"amount":5,"period":"1m"})"));
  EXPECT_DONE(Ask("POST", "/limits/writers/other", R"({"amount":2,"period":1000000000})"));
  EXPECT_EQ(json::parse(Ask("GET", "/limits/writers").body),
            json::parse(R"({"global":{"amount":1000,"period":60000000000},"writers":[
              {"writer":"loader","rate-limit":{"amount":5,"period":60000000000}},
              {"writer":"other","rate-limit":{"amount":120,"period":60000000000}}]})"));
  EXPECT_ERROR(Ask("POST", "/limits/writers/loader", R"({"amount":5,"period":"soon"})"), 400,
               "INVALID_REQUEST");
  EXPECT_ERROR(Ask("POST", "/limits/writers/lo", R"({"amount":5,"period":"1m"})"), 400,
               "INVALID_NAME");

  Prepare();
  for (const char* code : {"A", "B", "C", "D", "E"}) {
    EXPECT_DONE(Upsert(absl::StrCat("\"code\":\"", code, "\"")));
  }
  HttpAnswer limited = Upsert(R"("code":"F")");
  // A new minute may have begun in between.
  for (int i = 0; i < 10 && limited.status == 200; ++i) limited = Upsert(R"("code":"F")");
  EXPECT_ERROR(limited, 429, "RATE_LIMITED");
  EXPECT_GE(std::stoi(limited.headers.at("retry-after")), 1);
  EXPECT_DONE(Ask("DELETE", "/limits/writers/loader"));
  EXPECT_ERROR(Ask("DELETE", "/limits/writers/loader"), 404, "LIMIT_NOT_FOUND");
  EXPECT_DONE(Upsert(R"("code":"F")"));
}

TEST_F(HttpApiTest, AFullTableIs507) {
  Start();
  Prepare();
  EXPECT_DONE(Upsert(R"("code":"A")"));
  EXPECT_DONE(Ask("POST", "/limits/tables/geo/countries", R"({"max-size":1,"warn-size":1})"));
  // Without a measurement of its size no table is full.
  ASSERT_TRUE((*executive_)->LoadLimits(absl::Now() + absl::Minutes(1)).ok());
  EXPECT_ERROR(Upsert(R"("code":"B")"), 507, "TABLE_FULL");
}

TEST_F(HttpApiTest, GetStatus) {
  Start();
  Prepare();
  const HttpAnswer answer = Ask("GET", "/status");
  EXPECT_EQ(answer.status, 200);
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["healthy"], true);
  EXPECT_EQ(body["last-sequence"], 1);
  EXPECT_EQ(body["destructive-changes"], true);
  // Where the ctldb does not answer.
  server_.reset();
  executive_ = std::make_unique<TestExecutive>(ctldb_);
  executive_->faults.statement = Unavailable;
  FaceParts face = executive_->face();
  face.max_call_duration = absl::Milliseconds(300);
  Serve(face);
  EXPECT_GE(Ask("GET", "/status").status, 503);
  EXPECT_LE(Ask("GET", "/status").status, 504);
  server_.reset();
}

TEST_F(HttpApiTest, PathsAndMethodsThatAreNotThere) {
  Start();
  for (const char* path : {"/", "/families", "/nothing", "/families/geo/tables", "/schema",
                           "/families/geo/tables/t/more", "//families/geo", "/Cookie",
                           "/limits/tables/geo", "/clear-rows/families/geo/tables"}) {
    EXPECT_EQ(Ask("GET", path).status, 404) << path;
  }
  EXPECT_EQ(Ask("GET", "/families/%zz").status, 400);
  EXPECT_EQ(Ask("POST", "/families/a%00b").status, 400);
  const std::vector<std::pair<std::string, std::string>> allowed = {
      {"/families/geo", "POST"},
      {"/families/geo/tables/t", "POST, PUT, DELETE"},
      {"/families/geo/mutations", "POST"},
      {"/tables", "POST"},
      {"/cookie", "GET, HEAD, POST"},
      {"/writers/w", "POST"},
      {"/schema/table/f/t", "GET, HEAD"},
      {"/schema/family/f", "GET, HEAD"},
      {"/limits/tables", "GET, HEAD"},
      {"/limits/tables/f/t", "POST, DELETE"},
      {"/limits/writers", "GET, HEAD"},
      {"/limits/writers/w", "POST, DELETE"},
      {"/clear-rows/families/f", "DELETE"},
      {"/clear-rows/families/f/tables/t", "DELETE"},
      {"/status", "GET, HEAD"}};
  for (const auto& [path, methods] : allowed) {
    for (const char* method : {"PATCH", "OPTIONS", "TRACE", "BREW"}) {
      const HttpAnswer answer = Ask(method, path);
      EXPECT_EQ(answer.status, 405) << method << " " << path;
      EXPECT_EQ(answer.headers.at("allow"), methods) << path;
      EXPECT_EQ(answer.headers.at("content-type"), "application/json");
    }
  }
}

TEST_F(HttpApiTest, HeadIsGetWithoutABody) {
  Start();
  Prepare();
  const HttpAnswer get = Ask("GET", "/schema/table/geo/countries");
  const HttpAnswer head = Ask("HEAD", "/schema/table/geo/countries");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), absl::StrCat(get.body.size()));
  EXPECT_EQ(Ask("HEAD", "/schema/table/geo/absent").status, 404);
}

TEST_F(HttpApiTest, BodiesOfJsonMayBeCalledFormsAsCurlDoes) {
  Start();
  Prepare();
  const std::string path = "/families/geo/tables/countries";
  for (const char* type :
       {"application/json", "application/json; charset=utf-8", "Application/JSON",
        "application/x-www-form-urlencoded", "application/vnd.ctlstore+json", ""}) {
    EXPECT_EQ(Ask("POST", path, kCountries, absl::StrCat("Content-Type: ", type, "\r\n")).status,
              200)
        << type;
  }
  EXPECT_EQ(Ask("POST", path, kCountries, "").status, 200);
  for (const char* type : {"text/xml", "application/jsonp", "multipart/form-data; boundary=x"}) {
    EXPECT_EQ(Ask("POST", path, kCountries, absl::StrCat("Content-Type: ", type, "\r\n")).status,
              415)
        << type;
  }
}

TEST_F(HttpApiTest, TooLargeBodiesAre413) {
  Start();
  Prepare();
  const HttpAnswer answer = Mutate(std::string((1 << 20) + 1, ' '));
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  const std::string value(400 << 10, 'x');
  EXPECT_DONE(Upsert(absl::StrCat(R"("code":"X","anthem":")", value, "\"")));
  EXPECT_ERROR(Upsert(absl::StrCat(R"("code":"X","anthem":")", std::string(600 << 10, 'x'), "\"")),
               413, "TOO_LARGE");
}

TEST_F(HttpApiTest, RolesAreProvenByTokens) {
  Start();
  Prepare();
  const std::string folder = ::testing::TempDir();
  const std::string admin_file = absl::StrCat(folder, "/admin_token_", getpid());
  const std::string reader_file = absl::StrCat(folder, "/reader_token_", getpid());
  std::ofstream(admin_file) << "the-administrators-token\n";
  std::ofstream(reader_file) << "the-readers-token-here\n";
  rpc::AccessOptions options;
  options.admin_token_file = admin_file;
  options.reader_token_file = reader_file;
  const auto access = rpc::AccessControl::Create(options);
  ASSERT_TRUE(access.ok()) << access.status();
  FaceParts face = executive_->face();
  face.access = access->get();
  Serve(face);

  const std::string admin = "Authorization: Bearer the-administrators-token\r\n";
  const std::string reader = "Authorization: Bearer the-readers-token-here\r\n";
  const std::string table = R"({"fields":[["a","string"]],"keyFields":["a"]})";
  const std::string sizes = R"({"max-size":5,"warn-size":5})";
  const std::string rate = R"({"amount":5,"period":"1m"})";
  const std::vector<std::vector<std::string>> for_admins = {
      {"POST", "/families/more", ""},
      {"POST", "/families/geo/tables/more", table},
      {"PUT", "/families/geo/tables/countries", R"({"fields":[["more","string"]]})"},
      {"POST", "/tables", R"([{"family":"geo","name":"most",)" + table.substr(1) + "]"},
      {"POST", "/writers/another", "hush hush"},
      {"POST", "/limits/tables/geo/more", sizes},
      {"DELETE", "/limits/tables/geo/more", ""},
      {"POST", "/limits/writers/another", rate},
      {"DELETE", "/limits/writers/another", ""},
      {"DELETE", "/clear-rows/families/geo/tables/more", ""},
      {"DELETE", "/clear-rows/families/geo", ""},
      {"DELETE", "/families/geo/tables/more", ""}};
  for (const auto& call : for_admins) {
    const HttpAnswer without = Ask(call[0], call[1], call[2], "");
    EXPECT_ERROR(without, 401, "NO_ROLE");
    EXPECT_EQ(without.headers.at("www-authenticate"), "Bearer");
    EXPECT_ERROR(Ask(call[0], call[1], call[2], "Authorization: Bearer a-wrong-token-here\r\n"),
                 401, "NO_ROLE");
    EXPECT_ERROR(Ask(call[0], call[1], call[2], "Authorization: Basic dXNlcjpwYXNz\r\n"), 401,
                 "NO_ROLE");
    EXPECT_ERROR(Ask(call[0], call[1], call[2], reader), 403, "ROLE_MISSING");
    EXPECT_EQ(Ask(call[0], call[1], call[2], admin).status, 200) << call[0] << " " << call[1];
  }
  for (const char* path :
       {"/schema/table/geo/countries", "/schema/family/geo", "/limits/tables", "/limits/writers"}) {
    EXPECT_ERROR(Ask("GET", path, "", ""), 401, "NO_ROLE");
    EXPECT_EQ(Ask("GET", path, "", reader).status, 200) << path;
    EXPECT_EQ(Ask("GET", path, "", admin).status, 200) << path;
  }
  // Writers prove who they are by their secrets; nobody proves anything to see whether it lives.
  EXPECT_DONE(Upsert(R"("code":"X")"));
  EXPECT_EQ(Ask("GET", "/cookie", "", kWriterHeaders).status, 200);
  EXPECT_ERROR(Ask("POST", "/cookie", "c", admin), 401, "BAD_CREDENTIALS");
  EXPECT_EQ(Ask("GET", "/status", "", "").body, R"({"healthy":true})");
  EXPECT_TRUE(json::parse(Ask("GET", "/status", "", reader).body).contains("last-sequence"));
  server_.reset();
}

TEST_F(HttpApiTest, MoreCallsThanTheWorkersTakeAreRefusedAtOnce) {
  Start();
  Prepare();
  WorkerPool busy(1, 0);
  FaceParts face = executive_->face();
  face.workers = &busy;
  face.metrics = nullptr;
  Serve(face);
  const HttpAnswer refused = Ask("GET", "/schema/family/geo");
  EXPECT_ERROR(refused, 503, "QUEUE_FULL");
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_DONE(Upsert(R"("code":"X")"));
  server_.reset();
}

TEST_F(HttpApiTest, AnUnreachableCtldbIs503) {
  Start();
  Prepare();
  server_.reset();
  executive_ = std::make_unique<TestExecutive>(ctldb_);
  executive_->faults.statement = Unavailable;
  FaceParts face = executive_->face();
  face.max_call_duration = absl::Milliseconds(300);
  Serve(face);
  for (const HttpAnswer& answer : {Upsert(R"("code":"X")"), Ask("GET", "/schema/family/geo")}) {
    EXPECT_TRUE(answer.status == 503 || answer.status == 504) << answer.status << answer.body;
  }
  server_.reset();
}

TEST_F(HttpApiTest, CallsAreCountedByRouteAndCode) {
  Start();
  Prepare();
  Ask("GET", "/nothing");
  Ask("GET", "/schema/table/geo/absent");
  std::set<std::string> seen;
  for (const auto& family : executive_->registry()->Collect()) {
    for (const auto& metric : family.metric) {
      std::string labels;
      for (const auto& label : metric.label) absl::StrAppend(&labels, label.value, "|");
      seen.insert(labels);
    }
  }
  const auto counted = [&seen](const std::string& part) {
    for (const std::string& labels : seen) {
      if (absl::StrContains(labels, part)) return true;
    }
    return false;
  };
  EXPECT_TRUE(counted("POST /families/{family}/tables/{table}"));
  EXPECT_TRUE(counted("GET /schema/table/{family}/{table}"));
  EXPECT_TRUE(counted("other"));
  EXPECT_FALSE(counted("geo|"));
  EXPECT_FALSE(counted("/nothing"));
}

// Whatever comes in, the answer is one that a caller can act on, and what was written is what a
// valid request wrote.
TEST_F(HttpApiTest, SurvivesAnything) {
  Start();
  Prepare();
  std::mt19937 random(31337);
  const std::vector<std::string> methods = {"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"};
  const std::vector<std::string> segments = {"families",
                                             "geo",
                                             "tables",
                                             "countries",
                                             "mutations",
                                             "cookie",
                                             "writers",
                                             "loader",
                                             "schema",
                                             "table",
                                             "family",
                                             "limits",
                                             "clear-rows",
                                             "status",
                                             "",
                                             "%41",
                                             "%",
                                             "%00",
                                             "..",
                                             "a%2fb",
                                             "\xc3\xa9",
                                             "x___y",
                                             std::string(300, 'x')};
  const std::vector<std::string> bodies = {
      "",
      kCountries,
      R"({"mutations":[{"table":"countries","values":{"code":"X","population":1}}]})",
      R"({"mutations":[{"table":"countries","delete":true,"values":{"code":"X"}}]})",
      R"([{"family":"geo","name":"more","fields":[["a","string"]],"keyFields":["a"]}])",
      R"({"max-size":5000000000,"warn-size":5})",
      R"({"amount":1000000,"period":"1m"})",
      "hush hush"};
  for (int round = 0; round < 1500; ++round) {
    std::string path;
    for (size_t i = random() % 6; i > 0; --i) {
      absl::StrAppend(&path, "/", segments[random() % segments.size()]);
    }
    if (path.empty()) path = "/";
    std::string body = bodies[random() % bodies.size()];
    for (size_t i = random() % 3; i > 0 && !body.empty(); --i) {
      body[random() % body.size()] = static_cast<char>(random());
    }
    const std::string& method = methods[random() % methods.size()];
    const HttpAnswer answer = Ask(method, path, body, random() % 4 == 0 ? "" : kWriterHeaders);
    EXPECT_TRUE(answer.status == 200 || (answer.status >= 400 && answer.status < 500))
        << method << " " << path << " " << absl::CHexEscape(body) << ": " << answer.status << " "
        << answer.body;
    if (answer.status != 200 && method != "HEAD") {
      EXPECT_FALSE(json::parse(answer.body, nullptr, false).is_discarded()) << answer.body;
    }
  }
  EXPECT_EQ(Ask("GET", "/status").status, 200);
}

}  // namespace
}  // namespace ctlstore::executive
