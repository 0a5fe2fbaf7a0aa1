#include "common/object_store/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/rpc/http_server.h"
#include "common/rpc/testing/certificates.h"

namespace ctlstore::object_store {
namespace {

using rpc::HttpServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kEmptyDigest[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// A server that answers what a test says, and remembers what it was asked.
class HttpClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    options.max_body_bytes = size_t{64} << 20;
    options.max_total_body_bytes = size_t{256} << 20;
    Start(options);
  }
  void TearDown() override {
    client_.reset();
    {
      absl::MutexLock lock(&mutex_);
      for (const HttpServer::Respond& respond : waiting_) respond(rpc::HttpResponse());
    }
    server_->Shutdown(absl::Seconds(10));
  }

  void Start(const HttpServer::Options& options) {
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(
        options, [this](const rpc::HttpRequest& request, HttpServer::Respond respond) {
          absl::MutexLock lock(&mutex_);
          std::string asked = absl::StrCat(request.method(), " ", request.path());
          if (!request.body().empty()) {
            absl::StrAppend(&asked, " ", request.body().substr(0, 20), ":", request.body().size());
          }
          asked_.push_back(std::move(asked));
          for (const char* name : {"authorization", "content-type", "host", "x-empty"}) {
            last_headers_[name] =
                std::string(request.header(name).value_or(absl::string_view("none")));
          }
          const auto found = answers_.find(std::string(request.path()));
          if (found == answers_.end()) {
            rpc::HttpResponse missing;
            missing.status = 404;
            missing.body = "not here";
            respond(missing);
          } else if (found->second.status == 0) {
            waiting_.push_back(respond);
          } else {
            respond(found->second);
          }
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    url_ = "http://" + server_->address();
    client_ = NewHttpClient(HttpClientOptions());
  }

  void SetAnswer(const std::string& path, int status, const std::string& body,
                 std::vector<std::pair<std::string, std::string>> headers = {}) {
    absl::MutexLock lock(&mutex_);
    answers_[path].status = status;
    answers_[path].body = body;
    answers_[path].headers = std::move(headers);
  }
  std::vector<std::string> Asked() {
    absl::MutexLock lock(&mutex_);
    return std::move(asked_);
  }
  std::string LastHeader(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    return last_headers_[name];
  }

  static HttpRequest Request(const std::string& method, const std::string& url,
                             absl::string_view body = "") {
    HttpRequest request;
    request.method = method;
    request.url = url;
    request.body = body;
    return request;
  }

  absl::Mutex mutex_;
  std::map<std::string, rpc::HttpResponse> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> last_headers_ ABSL_GUARDED_BY(mutex_);
  std::vector<HttpServer::Respond> waiting_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<HttpClient> client_;
  std::string url_;
};

TEST_F(HttpClientTest, MakesRequestsOfEveryKind) {
  SetAnswer("/a", 200, "answer", {{"X-Name", " value "}});
  const std::string body(3000000, 'b');
  for (const char* method : {"GET", "PUT", "POST", "DELETE", "HEAD"}) {
    const absl::StatusOr<HttpResponse> response =
        client_->Send(Request(method, url_ + "/a?b=c", absl::StartsWith(method, "P") ? body : ""));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->header("x-name"), "value");
    EXPECT_EQ(response->header("content-length"), "6");
    EXPECT_EQ(response->body, absl::string_view(method) == "HEAD" ? "" : "answer");
    EXPECT_EQ(LastHeader("content-type"), "none");
  }
  EXPECT_THAT(Asked(), ElementsAre("GET /a", "PUT /a bbbbbbbbbbbbbbbbbbbb:3000000",
                                   "POST /a bbbbbbbbbbbbbbbbbbbb:3000000", "DELETE /a", "HEAD /a"));
  ASSERT_TRUE(client_->Send(Request("PUT", url_ + "/a")).ok());
  ASSERT_TRUE(client_->Send(Request("POST", url_ + "/a")).ok());
  HttpRequest empty = Request("GET", url_ + "/a");
  empty.headers = {{"x-empty", ""}, {"content-type", "a/b"}};
  ASSERT_TRUE(client_->Send(empty).ok());
  EXPECT_EQ(LastHeader("x-empty"), "");
  EXPECT_EQ(LastHeader("content-type"), "a/b");
  // One connection for all of them.
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(HttpClientTest, OnlySuccessesGoToTheSink) {
  const std::string body(1000000, 'x');
  SetAnswer("/ok", 200, body);
  SetAnswer("/bad", 500, "trouble");
  std::string taken;
  const HttpClient::Sink sink = [&taken](const HttpResponse& head, absl::string_view piece) {
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.header("content-length"), "1000000");
    absl::StrAppend(&taken, piece);
    return absl::OkStatus();
  };
  const absl::StatusOr<HttpResponse> ok = client_->Send(Request("GET", url_ + "/ok"), sink);
  ASSERT_TRUE(ok.ok()) << ok.status();
  EXPECT_EQ(ok->body, "");
  EXPECT_EQ(taken, body);
  const absl::StatusOr<HttpResponse> bad = client_->Send(Request("GET", url_ + "/bad"), sink);
  ASSERT_TRUE(bad.ok()) << bad.status();
  EXPECT_EQ(bad->body, "trouble");
  EXPECT_EQ(taken.size(), body.size());
  EXPECT_EQ(
      client_
          ->Send(Request("GET", url_ + "/ok"),
                 [](const HttpResponse&, absl::string_view) { return absl::DataLossError("full"); })
          .status(),
      absl::DataLossError("full"));
}

TEST_F(HttpClientTest, AnswersWithoutASinkAreBounded) {
  SetAnswer("/ok", 200, std::string(kMaxHttpBody + 1, 'x'));
  SetAnswer("/bad", 500, std::string(kMaxHttpBody + 1, 'x'));
  EXPECT_EQ(client_->Send(Request("GET", url_ + "/ok")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client_->Send(Request("GET", url_ + "/bad"))->body.size(), kMaxHttpBody);
}

TEST_F(HttpClientTest, RedirectsAreFollowedWhereAskedFor) {
  SetAnswer("/1", 302, "", {{"Location", "/2"}, {"X-First", "1"}});
  SetAnswer("/2", 307, "", {{"Location", url_ + "/3"}});
  SetAnswer("/3", 200, "there");
  HttpRequest request = Request("GET", url_ + "/1");
  EXPECT_EQ(client_->Send(request)->status, 302);
  request.max_redirects = 1;
  EXPECT_EQ(client_->Send(request)->status, 307);
  request.max_redirects = 2;
  const absl::StatusOr<HttpResponse> response = client_->Send(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body, "there");
  EXPECT_EQ(response->header("x-first"), "");
  request.headers = {{"x-amz-content-sha256", kEmptyDigest}};
  request.signing = AwsSigning{"us-east-1", "id", "secret"};
  EXPECT_EQ(client_->Send(request)->status, 302);
  SetAnswer("/1", 302, "", {{"Location", "file:///etc/passwd"}});
  request = Request("GET", url_ + "/1");
  request.max_redirects = 5;
  EXPECT_EQ(client_->Send(request).status().code(), absl::StatusCode::kFailedPrecondition);
}

// The examples in Amazon's description of Signature Version 4 for S3.
TEST_F(HttpClientTest, SignaturesAreThoseThatAmazonPublishes) {
  // The server is the proxy, so that it can be asked for what is another's. Only this process's
  // requests are meant by it.
  ASSERT_EQ(setenv("http_proxy", url_.c_str(), 1), 0);
  struct Example {
    std::string method;
    std::string path;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string digest;
    std::string signature;
  };
  const std::vector<Example> examples = {
      {"GET",
       "/test.txt",
       {{"range", "bytes=0-9"}},
       kEmptyDigest,
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"PUT",
       "/test%24file.text",
       {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
       "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"GET",
       "/?lifecycle=",
       {},
       kEmptyDigest,
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"GET",
       "/?max-keys=2&prefix=J",
       {},
       kEmptyDigest,
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
  for (const Example& example : examples) {
    HttpRequest request =
        Request(example.method, "http://examplebucket.s3.amazonaws.com" + example.path,
                example.method == "PUT" ? "Welcome to Amazon S3." : "");
    request.headers = example.headers;
    request.headers.emplace_back("x-amz-content-sha256", example.digest);
    request.headers.emplace_back("x-amz-date", "20130524T000000Z");
    request.signing =
        AwsSigning{"us-east-1", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
    const absl::StatusOr<HttpResponse> response = client_->Send(request);
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(LastHeader("host"), "examplebucket.s3.amazonaws.com");
    EXPECT_THAT(LastHeader("authorization"), HasSubstr(example.signature)) << example.path;
  }
  // Services of the machine are not asked through it.
  Asked();
  HttpRequest direct = Request("GET", "http://127.0.0.1:1/");
  direct.direct = true;
  EXPECT_FALSE(client_->Send(direct).ok());
  EXPECT_THAT(Asked(), ElementsAre());
  ASSERT_EQ(unsetenv("http_proxy"), 0);
}

TEST_F(HttpClientTest, WhatCannotBeSentIsRefused) {
  const auto code = [this](const HttpRequest& request) {
    return client_->Send(request).status().code();
  };
  constexpr absl::StatusCode kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(Request("GET", "ftp://127.0.0.1/")), kBad);
  EXPECT_EQ(code(Request("GET", "http:///a")), kBad);
  EXPECT_EQ(code(Request("GET", "http://user:word@127.0.0.1/")), kBad);
  EXPECT_EQ(code(Request("GET", url_ + "/a b")), kBad);
  EXPECT_EQ(code(Request("GET", url_ + "/\r\nx: y")), kBad);
  EXPECT_EQ(code(Request("TRACE", url_ + "/")), kBad);
  HttpRequest request = Request("GET", url_ + "/");
  request.headers = {{"x", "a\r\nb: c"}};
  EXPECT_EQ(code(request), kBad);
  request.headers = {{"x y", "a"}};
  EXPECT_EQ(code(request), kBad);
  request.headers = {};
  request.signing = AwsSigning{"us-east-1", "id", "secret"};
  EXPECT_EQ(code(request), kBad);
  request.headers = {{"x-amz-content-sha256", kEmptyDigest}};
  request.signing->region = "a:b";
  EXPECT_EQ(code(request), kBad);
  EXPECT_THAT(Asked(), ElementsAre());
}

TEST_F(HttpClientTest, MessagesNameTheServerAndNoMore) {
  const absl::Status status =
      client_->Send(Request("GET", "http://127.0.0.1:1/path?token=hidden")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("http://127.0.0.1:1"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hidden")));
  EXPECT_THAT(std::string(client_->Send(Request("GET", "http://u:hidden@h/")).status().message()),
              Not(HasSubstr("hidden")));
}

TEST_F(HttpClientTest, AServerThatDoesNotAnswerHasStalled) {
  SetAnswer("/never", 0, "");
  SetAnswer("/a", 200, "a");
  HttpRequest request = Request("GET", url_ + "/never");
  request.stall_timeout = absl::Milliseconds(100);
  const absl::Status status = client_->Send(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("stalled"));
  EXPECT_EQ(client_->Send(Request("GET", url_ + "/a"))->body, "a");
}

TEST_F(HttpClientTest, CancelEndsAllRequestsAndLaterOnes) {
  SetAnswer("/never", 0, "");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      EXPECT_EQ(client_->Send(Request("GET", url_ + "/never")).status().code(),
                absl::StatusCode::kCancelled);
    });
  }
  while (true) {
    absl::MutexLock lock(&mutex_);
    if (waiting_.size() == 4) break;
  }
  client_->Cancel();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(client_->Send(Request("GET", url_ + "/a")).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(HttpClientTest, ServersAreVerified) {
  const rpc::testing::CertificateAuthority ca;
  const std::string folder = ::testing::TempDir();
  for (const bool expired : {false, true}) {
    const rpc::testing::Certificate own = expired ? ca.IssueExpiredServer() : ca.IssueServer();
    rpc::testing::ReplaceFile(folder + "/ca.pem", ca.cert());
    rpc::testing::ReplaceFile(folder + "/server.pem", own.cert);
    rpc::testing::ReplaceFile(folder + "/server.key", own.key);
    server_->Shutdown(absl::ZeroDuration());
    HttpServer::Options server;
    server.listen = "127.0.0.1:0";
    server.tls.cert_file = folder + "/server.pem";
    server.tls.key_file = folder + "/server.key";
    Start(server);
    SetAnswer("/a", 200, "a");
    HttpClientOptions options;
    EXPECT_EQ(client_->Send(Request("GET", absl::StrCat("https://", server_->address(), "/a")))
                  .status()
                  .code(),
              absl::StatusCode::kFailedPrecondition);
    options.ca_file = folder + "/ca.pem";
    client_ = NewHttpClient(options);
    const absl::StatusOr<HttpResponse> response =
        client_->Send(Request("GET", absl::StrCat("https://", server_->address(), "/a")));
    EXPECT_EQ(response.status().code(),
              expired ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kOk)
        << response.status();
  }
}

}  // namespace
}  // namespace ctlstore::object_store
