#include "sidecar/http_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/rpc/testing/http_client.h"

namespace ctlstore::sidecar {
namespace {

using ::ctlstore::rpc::testing::HttpAnswer;
using ::ctlstore::rpc::testing::HttpClient;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1715000000);
constexpr char kCountry[] = "/get-row-by-key/geo/countries";
constexpr char kCountries[] = "/get-rows-by-key-prefix/geo/countries";
constexpr char kReaderToken[] = "a-token-for-all-readers";

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

class FixedClock : public Clock {
 public:
  absl::Time Now() override { return kNow; }
  bool SleepOrStop(absl::Duration, absl::Notification* stop) override {
    return stop->HasBeenNotified();
  }
};

// The HTTP API in front of a local database that the test writes.
class HttpApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "/sidecar_http_XXXXXX");
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    path_ = folder_ + "/ldb.db";
  }

  void TearDown() override {
    client_.reset();
    server_.reset();
    waiter_.reset();
    workers_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Serve(const HttpApi::Options& options = {}) {
    client_.reset();
    server_.reset();
    waiter_.reset();
    reader_ = std::make_unique<ldb::Reader>(path_);
    workers_ = std::make_unique<WorkerPool>(2, max_waiting_lists_);
    waiter_ = std::make_unique<SequenceWaiter>(reader_.get(), 2);
    api_ = std::make_unique<HttpApi>(HttpApi::Parts{reader_.get(), waiter_.get(), workers_.get(),
                                                    &clock_, access_.get(), &metrics_},
                                     options);
    rpc::HttpServer::Options server_options;
    server_options.listen = "127.0.0.1:0";
    server_options.error_response = HttpApi::ServerError;
    auto server = rpc::HttpServer::Start(
        server_options, [this](const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) {
          api_->Handle(request, std::move(respond));
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<HttpClient>(server_->address());
  }

  void Apply(const std::vector<std::string>& statements) {
    if (writer_ == nullptr) {
      auto writer = ldb::LdbWriter::Open(path_, {});
      ASSERT_TRUE(writer.ok()) << writer.status();
      writer_ = *std::move(writer);
    }
    std::vector<LedgerEntry> entries;
    int64_t sequence = writer_->received_sequence();
    for (const std::string& statement : statements) {
      entries.push_back({++sequence, "2024-05-06 12:53:15.25", statement});
    }
    const absl::Status status = writer_->Apply(entries);
    ASSERT_TRUE(status.ok()) << status;
  }

  void CreateCountries() {
    Apply(
        {"CREATE TABLE geo___countries (\"code\" VARCHAR(191), \"population\" INTEGER, "
         "\"area\" REAL, \"anthem\" TEXT, \"flag\" BLOB, PRIMARY KEY(\"code\"));",
         "REPLACE INTO geo___countries (\"code\",\"population\",\"area\",\"anthem\",\"flag\") "
         "VALUES('NZ',9007199254740993,268021.5,'God \"Defend\"\n',x'00ff')",
         "REPLACE INTO geo___countries (\"code\",\"population\",\"area\",\"anthem\",\"flag\") "
         "VALUES('CH',-9223372036854775808,2,NULL,NULL)"});
  }

  // (1, x'00'), (1, x'01'), (2, x'00') with 3 columns.
  void CreateSigns() {
    Apply(
        {"CREATE TABLE geo___signs (\"id\" INTEGER, \"sign\" BLOB(255), \"note\" "
         "VARCHAR(191), PRIMARY KEY(\"id\",\"sign\"));",
         "REPLACE INTO geo___signs (\"id\",\"sign\",\"note\") VALUES(1,x'00','a')",
         "REPLACE INTO geo___signs (\"id\",\"sign\",\"note\") VALUES(1,x'01','b')",
         "REPLACE INTO geo___signs (\"id\",\"sign\",\"note\") VALUES(2,x'00','c')"});
  }

  // `count` rows with a text of `size` bytes.
  void CreateMany(int count, size_t size) {
    std::vector<std::string> statements = {
        "CREATE TABLE geo___many (\"id\" INTEGER, \"text\" TEXT, PRIMARY KEY(\"id\"));"};
    for (int i = 0; i < count; ++i) {
      statements.push_back(absl::StrCat("REPLACE INTO geo___many (\"id\",\"text\") VALUES(", i,
                                        ",'", std::string(size, 't'), "')"));
    }
    Apply(statements);
  }

  HttpAnswer Ask(const std::string& method, const std::string& path, const std::string& body = "",
                 const std::string& headers = "") {
    const HttpAnswer answer = client_->Ask(method, path, body, headers);
    if (answer.status == 0 || answer.headers.count("connection") > 0) {
      client_ = std::make_unique<HttpClient>(server_->address());
    }
    return answer;
  }

  // Asks with a key of one value, as JSON.
  HttpAnswer Get(const std::string& path, const std::string& value) {
    return Ask("POST", path, absl::StrCat(R"({"Key":[{"Value":)", value, "}]}"));
  }

  static json Body(const HttpAnswer& answer) {
    EXPECT_EQ(answer.headers.at("content-type"), "application/json") << answer.body;
    return json::parse(answer.body, nullptr, false);
  }
  static std::string Reason(const HttpAnswer& answer) {
    const json body = Body(answer);
    return body.is_object() && body.contains("error") ? body["error"].value("reason", "") : "none";
  }

  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  std::string folder_;
  std::string path_;
  FixedClock clock_;
  prometheus::Registry registry_;
  rpc::CallMetrics metrics_{"http", &registry_};
  std::unique_ptr<rpc::AccessControl> access_;
  size_t max_waiting_lists_ = 10;
  std::unique_ptr<ldb::LdbWriter> writer_;
  std::unique_ptr<ldb::Reader> reader_;
  // What the workers wait for where a test keeps them busy.
  absl::Notification go_;
  std::atomic<int> busy_workers_{0};
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<SequenceWaiter> waiter_;
  std::unique_ptr<HttpApi> api_;
  std::unique_ptr<rpc::HttpServer> server_;
  std::unique_ptr<HttpClient> client_;
};

#define EXPECT_ERROR(answer, http_status, error_reason) \
  do {                                                  \
    const HttpAnswer error = (answer);                  \
    EXPECT_EQ(error.status, http_status) << error.body; \
    EXPECT_EQ(Reason(error), error_reason);             \
  } while (false)

TEST_F(HttpApiTest, ARowIsAnObject) {
  CreateCountries();
  Serve();
  const HttpAnswer answer = Get(kCountry, "\"NZ\"");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.body, R"({"code":"NZ","population":9007199254740993,"area":268021.5,)"
                         R"("anthem":"God \"Defend\"\n","flag":"AP8="})");
  EXPECT_EQ(Get(kCountry, "\"CH\"").body,
            R"({"code":"CH","population":-9223372036854775808,"area":2.0,"anthem":null,)"
            R"("flag":null})");
  // Names in any case, members in any case.
  EXPECT_EQ(Ask("POST", "/get-row-by-key/GEO/Countries/", R"({"key":[{"value":"NZ"}]})").body,
            answer.body);
}

TEST_F(HttpApiTest, ARowThatIsNotThereIs404WithAHeader) {
  CreateCountries();
  Serve();
  const HttpAnswer answer = Get(kCountry, "\"XX\"");
  EXPECT_EQ(answer.headers.at("x-ctlstore"), "Not Found");
  EXPECT_ERROR(answer, 404, "ROW_NOT_FOUND");
  // Of what else is not there, the header says nothing.
  for (const char* path : {"/get-row-by-key/geo/rivers", "/get-rows-by-key-prefix/geo/rivers"}) {
    const HttpAnswer table = Get(path, "\"NZ\"");
    EXPECT_ERROR(table, 404, "TABLE_NOT_FOUND");
    EXPECT_EQ(table.headers.count("x-ctlstore"), 0u);
  }
  EXPECT_EQ(Ask("GET", "/nothing").headers.count("x-ctlstore"), 0u);
}

TEST_F(HttpApiTest, KeysOfEveryKind) {
  CreateSigns();
  Serve();
  const std::string path = "/get-row-by-key/geo/signs";
  EXPECT_EQ(Ask("POST", path, R"({"Key":[{"Value":1},{"Binary":"AQ=="}]})").body,
            R"({"id":1,"sign":"AQ==","note":"b"})");
  EXPECT_EQ(Ask("POST", path, R"({"Key":[{"Value":1},{"Binary":"Ag=="}]})").status, 404);
  // Text is never bytes, and 1.0 is no integer.
  EXPECT_ERROR(Ask("POST", path, R"({"Key":[{"Value":1},{"Value":"AQ=="}]})"), 400, "INVALID_KEY");
  EXPECT_ERROR(Ask("POST", path, R"({"Key":[{"Value":1.0},{"Binary":"AQ=="}]})"), 400,
               "INVALID_KEY");
  EXPECT_ERROR(Ask("POST", path, R"({"Key":[{"Value":1}]})"), 400, "INVALID_KEY");
  EXPECT_ERROR(Ask("POST", path, "{}"), 400, "INVALID_KEY");
}

TEST_F(HttpApiTest, RowsByPrefixAreAnArrayInKeyOrder) {
  CreateSigns();
  Serve();
  const std::string path = "/get-rows-by-key-prefix/geo/signs";
  EXPECT_EQ(Get(path, "1").body,
            R"([{"id":1,"sign":"AA==","note":"a"},{"id":1,"sign":"AQ==","note":"b"}])");
  EXPECT_EQ(Ask("POST", path, R"({"Key":[{"Value":1},{"Binary":"AQ=="}]})").body,
            R"([{"id":1,"sign":"AQ==","note":"b"}])");
  EXPECT_EQ(Body(Ask("POST", path, "{}")).size(), 3u);
  EXPECT_EQ(Body(Ask("POST", path, R"({"Key":[]})")).size(), 3u);
  const HttpAnswer none = Get(path, "7");
  EXPECT_EQ(none.status, 200);
  EXPECT_EQ(none.body, "[]");
  EXPECT_ERROR(Get(path, "\"1\""), 400, "INVALID_KEY");
}

TEST_F(HttpApiTest, LongListsAreWhole) {
  CreateMany(3000, 100);
  Serve();
  const json rows = Body(Ask("POST", "/get-rows-by-key-prefix/geo/many", "{}"));
  ASSERT_EQ(rows.size(), 3000u);
  for (size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i]["id"], i);
}

TEST_F(HttpApiTest, ListsOverTheRowLimitAre416) {
  CreateMany(300, 1);
  const std::string path = "/get-rows-by-key-prefix/geo/many";
  for (const int64_t limit : {1, 99, 100, 101, 299}) {
    HttpApi::Options options;
    options.max_list_rows = limit;
    Serve(options);
    const HttpAnswer answer = Ask("POST", path, "{}");
    EXPECT_THAT(answer.body, HasSubstr(absl::StrCat(limit, " rows")));
    EXPECT_ERROR(answer, 416, "LIST_TOO_LONG");
    EXPECT_EQ(Body(Get(path, "5")).size(), 1u);
  }
  HttpApi::Options options;
  options.max_list_rows = 300;
  Serve(options);
  EXPECT_EQ(Body(Ask("POST", path, "{}")).size(), 300u);
}

TEST_F(HttpApiTest, ListsOverTheByteLimitAre416) {
  CreateMany(100, 2000);
  Serve();
  const std::string path = "/get-rows-by-key-prefix/geo/many";
  const size_t size = Ask("POST", path, "{}").body.size();
  for (const size_t limit : {size_t{2}, size_t{3000}, size - 1}) {
    HttpApi::Options options;
    options.max_list_bytes = limit;
    Serve(options);
    EXPECT_ERROR(Ask("POST", path, "{}"), 416, "LIST_TOO_LONG");
    EXPECT_EQ(Body(Get(path, "200")).size(), 0u);
  }
  HttpApi::Options options;
  options.max_list_bytes = size;
  Serve(options);
  EXPECT_EQ(Ask("POST", path, "{}").body.size(), size);
}

TEST_F(HttpApiTest, ListsThatTakeTooLongAre504) {
  CreateMany(10, 1);
  HttpApi::Options options;
  options.max_list_duration = absl::ZeroDuration();
  Serve(options);
  EXPECT_EQ(Ask("POST", "/get-rows-by-key-prefix/geo/many", "{}").status, 504);
}

TEST_F(HttpApiTest, ShortReadsGoOnWhileLongListsWaitForWorkers) {
  CreateMany(300, 1);
  CreateCountries();
  max_waiting_lists_ = 1;
  Serve();
  // Both workers are busy, and one list waits.
  for (int i = 1; i <= 2; ++i) {
    EXPECT_TRUE(workers_->TrySubmit([this] {
      ++busy_workers_;
      go_.WaitForNotification();
    }));
    EXPECT_TRUE(Eventually([&] { return busy_workers_ == i; }));
  }
  HttpClient waiting(server_->address());
  EXPECT_TRUE(waiting.Send(
      "POST /get-rows-by-key-prefix/geo/many HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"));
  EXPECT_TRUE(Eventually([&] { return workers_->waiting() == 1; }));
  const HttpAnswer refused = Ask("POST", "/get-rows-by-key-prefix/geo/many", "{}");
  EXPECT_EQ(refused.headers.count("retry-after"), 1u);
  EXPECT_ERROR(refused, 503, "QUEUE_FULL");
  EXPECT_EQ(Get(kCountry, "\"NZ\"").status, 200);
  EXPECT_EQ(Body(Ask("POST", kCountries, "{}")).size(), 2u);
  go_.Notify();
  EXPECT_EQ(Body(waiting.Read()).size(), 300u);
}

TEST_F(HttpApiTest, LedgerLatencyIsTheLag) {
  CreateCountries();
  Serve();
  // Applied was an entry of 2024-05-06 12:53:15.25; now it is 12:53:20.
  const HttpAnswer answer = Ask("GET", "/get-ledger-latency");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.body, R"({"value":4.75,"unit":"seconds"})");
}

TEST_F(HttpApiTest, WithoutALocalDatabaseItIsUnavailableButAlive) {
  Serve();
  EXPECT_ERROR(Get(kCountry, "\"NZ\""), 503, "LDB_UNAVAILABLE");
  EXPECT_ERROR(Ask("POST", kCountries, "{}"), 503, "LDB_UNAVAILABLE");
  EXPECT_ERROR(Ask("GET", "/get-ledger-latency"), 503, "LDB_UNAVAILABLE");
  EXPECT_ERROR(Ask("GET", "/healthcheck"), 503, "LDB_UNAVAILABLE");
  EXPECT_EQ(Ask("GET", "/ping").status, 200);
  Apply({});
  EXPECT_ERROR(Ask("GET", "/get-ledger-latency"), 503, "LDB_UNAVAILABLE");
  CreateCountries();
  EXPECT_EQ(Get(kCountry, "\"NZ\"").status, 200);
  const HttpAnswer health = Ask("GET", "/healthcheck");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(health.body, "");
  EXPECT_EQ(Ask("GET", "/ping").body, "");
}

TEST_F(HttpApiTest, CallersMistakesAreTheirs) {
  CreateCountries();
  Serve();
  for (const char* path : {kCountry, kCountries}) {
    EXPECT_ERROR(Ask("POST", path, ""), 400, "INVALID_REQUEST");
    EXPECT_ERROR(Ask("POST", path, "{"), 400, "INVALID_REQUEST");
    EXPECT_ERROR(Ask("POST", path, R"({"Keys":[]})"), 400, "UNKNOWN_FIELD");
    EXPECT_EQ(Ask("POST", path, "{}", "Content-Type: image/png\r\n").status, 415);
    const HttpAnswer method = Ask("GET", path);
    EXPECT_EQ(method.status, 405);
    EXPECT_EQ(method.headers.at("allow"), "POST");
  }
  EXPECT_ERROR(Get("/get-row-by-key/g/countries", "1"), 400, "INVALID_NAME");
  const HttpAnswer named = Get("/get-row-by-key/geo/x", "1");
  EXPECT_EQ(Body(named)["error"]["field"], "table");
  EXPECT_EQ(Get("/get-row-by-key/geo", "1").status, 404);
  EXPECT_EQ(Get("/get-row-by-key/geo/%zz", "1").status, 400);
  EXPECT_EQ(Ask("POST", "/ping").status, 405);
  EXPECT_EQ(Ask("POST", "/ping").headers.at("allow"), "GET, HEAD");
}

TEST_F(HttpApiTest, MinSequenceWaitsUntilItIsApplied) {
  CreateCountries();
  Serve();
  EXPECT_EQ(Get(absl::StrCat(kCountry, "?min_sequence=3"), "\"NZ\"").status, 200);
  EXPECT_EQ(Get(absl::StrCat(kCountry, "?min_sequence=0"), "\"NZ\"").status, 200);
  for (const std::string path : {kCountry, kCountries}) {
    const int64_t next = writer_->received_sequence() + 1;
    const std::string body = absl::StrCat(R"({"Key":[{"Value":"N)", next, "\"}]}");
    ASSERT_TRUE(client_->Send(absl::StrCat("POST ", path, "?min_sequence=", next,
                                           " HTTP/1.1\r\nHost: h\r\nContent-Length: ", body.size(),
                                           "\r\n\r\n", body)));
    ASSERT_TRUE(Eventually([&] { return waiter_->waiting() == 1; }));
    Apply(
        {absl::StrCat("REPLACE INTO geo___countries "
                      "(\"code\",\"population\",\"area\",\"anthem\",\"flag\") VALUES('N",
                      next, "',1,1,NULL,NULL)")});
    const HttpAnswer answer = client_->Read();
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr(absl::StrCat("\"N", next, "\"")));
  }
}

TEST_F(HttpApiTest, MinSequenceThatDoesNotComeIs504) {
  CreateCountries();
  HttpApi::Options options;
  options.max_wait = absl::Milliseconds(20);
  Serve(options);
  EXPECT_EQ(Get(absl::StrCat(kCountry, "?min_sequence=4"), "\"NZ\"").status, 504);
}

TEST_F(HttpApiTest, WaitsAreBounded) {
  CreateCountries();
  Serve();
  std::vector<std::unique_ptr<HttpClient>> clients;
  const std::string request = absl::StrCat("POST ", kCountry,
                                           "?min_sequence=4 HTTP/1.1\r\nHost: h\r\n"
                                           "Content-Length: 26\r\n\r\n",
                                           R"({"Key":[{"Value":"NZ"}]}  )");
  for (size_t i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server_->address()));
    ASSERT_TRUE(clients.back()->Send(request));
  }
  ASSERT_TRUE(Eventually([&] { return waiter_->waiting() == 2; }));
  EXPECT_ERROR(Get(absl::StrCat(kCountry, "?min_sequence=4"), "\"NZ\""), 503, "QUEUE_FULL");
  CreateSigns();
  for (const auto& client : clients) EXPECT_EQ(client->Read().status, 200);
}

TEST_F(HttpApiTest, QueriesThatAreNotUnderstoodAreRefused) {
  CreateCountries();
  Serve();
  for (const char* query :
       {"min_sequence=", "min_sequence=-1", "min_sequence=x", "min_sequence=1.0",
        "min_sequence=9223372036854775808", "min_sequence", "min_sequence=1&min_sequence=1"}) {
    const HttpAnswer answer = Get(absl::StrCat(kCountry, "?", query), "\"NZ\"");
    EXPECT_EQ(Body(answer)["error"]["field"], "min_sequence") << query;
    EXPECT_ERROR(answer, 400, "INVALID_REQUEST");
  }
  EXPECT_ERROR(Get(absl::StrCat(kCountry, "?min_sequnce=1"), "\"NZ\""), 400, "UNKNOWN_FIELD");
}

TEST_F(HttpApiTest, ReadsTakeTheRoleReader) {
  CreateCountries();
  rpc::AccessOptions access;
  access.reader_token_file = folder_ + "/tokens";
  std::ofstream(access.reader_token_file) << kReaderToken << "\n";
  auto created = rpc::AccessControl::Create(access);
  ASSERT_TRUE(created.ok()) << created.status();
  access_ = *std::move(created);
  Serve();
  const std::string good = absl::StrCat("Authorization: Bearer ", kReaderToken, "\r\n");
  const std::string body = R"({"Key":[{"Value":"NZ"}]})";
  const struct {
    const char *method, *path;
  } calls[] = {{"POST", kCountry}, {"POST", kCountries}, {"GET", "/get-ledger-latency"}};
  for (const auto& call : calls) {
    const std::string sent = std::string(call.method) == "GET" ? "" : body;
    EXPECT_EQ(Ask(call.method, call.path, sent, good).status, 200) << call.path;
    EXPECT_ERROR(Ask(call.method, call.path, sent), 401, "NO_ROLE");
    EXPECT_ERROR(Ask(call.method, call.path, sent, "Authorization: Bearer something-else\r\n"), 401,
                 "NO_ROLE");
  }
  EXPECT_EQ(Ask("GET", "/ping").status, 200);
  EXPECT_EQ(Ask("GET", "/healthcheck").status, 200);
}

TEST_F(HttpApiTest, CountsCallsByRoute) {
  CreateCountries();
  Serve();
  Get(kCountry, "\"NZ\"");
  Get(kCountry, "\"XX\"");
  Get("/get-row-by-key/geo/rivers", "1");
  Ask("GET", "/nothing");
  const std::string metrics = Metrics();
  EXPECT_THAT(metrics, HasSubstr("ctlstore_calls_total{api=\"http\",code=\"OK\",method=\"POST "
                                 "/get-row-by-key/{family}/{table}\"} 2"));
  EXPECT_THAT(metrics,
              HasSubstr("ctlstore_calls_total{api=\"http\",code=\"NOT_FOUND\",method=\"POST "
                        "/get-row-by-key/{family}/{table}\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("code=\"NOT_FOUND\",method=\"other\"} 1"));
}

}  // namespace
}  // namespace ctlstore::sidecar
