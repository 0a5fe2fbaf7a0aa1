#include "common/rpc/http_server.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/testing/certificates.h"
#include "common/rpc/testing/http_client.h"

namespace ctlstore::rpc {
namespace {

using ::ctlstore::rpc::testing::Certificate;
using ::ctlstore::rpc::testing::CertificateAuthority;
using ::ctlstore::rpc::testing::HttpAnswer;
using ::ctlstore::rpc::testing::HttpClient;
using ::ctlstore::rpc::testing::ReplaceFile;

constexpr absl::Duration kLong = absl::Seconds(60);

// Looks again and again until it holds.
template <typename Condition>
bool Eventually(Condition condition) {
  const absl::Time end = absl::Now() + kLong;
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

// What was asked for on /later, to be answered by the test.
struct Pending {
  const HttpRequest* request;
  HttpServer::Respond respond;
};

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() { options_.listen = "127.0.0.1:0"; }
  ~HttpServerTest() override {
    done_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  void Start() {
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(
        options_, [this](const HttpRequest& request, HttpServer::Respond respond) {
          Handle(request, std::move(respond));
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void Handle(const HttpRequest& request, HttpServer::Respond respond) {
    if (absl::StartsWith(request.path(), "/later")) {
      absl::MutexLock lock(&mutex_);
      pending_.push_back({&request, std::move(respond)});
      return;
    }
    HttpResponse response;
    response.headers.emplace_back("X-Seen", absl::StrCat(request.method(), " ", request.path()));
    if (request.path() == "/whoami") {
      response.body =
          absl::StrCat(request.peer(), "|", absl::StrJoin(request.client_identities(), ","));
    } else if (request.path() == "/header") {
      response.body = std::string(request.header("x-ONE").value_or("none"));
    } else if (request.path() == "/query") {
      for (const auto& [name, value] : request.query()) {
        absl::StrAppend(&response.body, name, "=", value, ";");
      }
    } else if (request.path() == "/large") {
      response.body = std::string(1 << 20, 'l');
    } else {
      response.body = std::string(request.body());
    }
    respond(std::move(response));
  }

  // Waits for so many requests on /later.
  std::vector<Pending> TakePending(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [this, count]()
                           ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return pending_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kLong));
    return std::move(pending_);
  }

  const std::string& address() const { return server_->address(); }

  // What a client that does nothing wrong sees, with a connection of its own.
  int GoodStatus() { return HttpClient(address()).Get("/good").status; }

  HttpServer::Options options_;
  absl::Mutex mutex_;
  std::vector<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> server_;
  // Run until done_.
  std::vector<std::thread> threads_;
  std::atomic<bool> done_{false};
};

TEST(PathSegmentsTest, AreWhatStandsBetweenSlashes) {
  using Segments = std::vector<std::string>;
  EXPECT_EQ(PathSegments("/"), Segments());
  EXPECT_EQ(PathSegments(""), Segments());
  EXPECT_EQ(PathSegments("/a/b%20c"), (Segments{"a", "b c"}));
  EXPECT_EQ(PathSegments("/a/b/"), (Segments{"a", "b"}));
  EXPECT_EQ(PathSegments("/a%2Fb/%c3%A9+"), (Segments{"a/b", "\xc3\xa9+"}));
  EXPECT_EQ(PathSegments("//a"), (Segments{"", "a"}));
  EXPECT_EQ(PathSegments("/a//"), (Segments{"a", ""}));
}

TEST(PathSegmentsTest, RefuseMalformedEncodingAndNul) {
  for (const char* path : {"/%", "/%4", "/%zz", "/a%4g", "/%00", "/a/%2"}) {
    EXPECT_EQ(PathSegments(path), absl::nullopt) << path;
  }
}

TEST_F(HttpServerTest, AnswersRequestsOnAKeptConnection) {
  Start();
  HttpClient client(address());
  for (int i = 0; i < 3; ++i) {
    const HttpAnswer answer = client.Ask("GET", "/a%20b?query=1", "");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("x-seen"), "GET /a%20b");
  }
  EXPECT_EQ(server_->connections(), 1u);
  EXPECT_EQ(client.Ask("GET", "/header", "", "X-One: 1\r\nx-one: 2\r\n").body, "1");
  EXPECT_EQ(client.Get("/header").body, "none");
  EXPECT_EQ(client.Get("/whoami").body, "127.0.0.1|");
  EXPECT_EQ(client.Get("/large").body.size(), size_t{1} << 20);
  EXPECT_EQ(client.Get("http://other.example/there?x").headers.at("x-seen"), "GET /there");
  client.Close();
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, GivesEveryMethodToTheHandler) {
  Start();
  HttpClient client(address());
  for (const char* method : {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"}) {
    const HttpAnswer answer = client.Ask(method, "/x", method == std::string("GET") ? "" : "body");
    EXPECT_EQ(answer.status, 200) << method;
    EXPECT_EQ(answer.headers.at("x-seen"), absl::StrCat(method, " /x"));
    EXPECT_EQ(answer.body, method == std::string("GET") ? "" : "body") << method;
  }
  const HttpAnswer head = client.Ask("HEAD", "/large", "");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), absl::StrCat(1 << 20));
  EXPECT_EQ(client.Get("/after").status, 200);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  HttpClient client(address());
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    absl::StrAppend(&requests, "POST /", i, " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
                    100 + i);
  }
  ASSERT_TRUE(client.Send(requests));
  for (int i = 0; i < 50; ++i) {
    const HttpAnswer answer = client.Read();
    EXPECT_EQ(answer.headers.at("x-seen"), absl::StrCat("POST /", i));
    EXPECT_EQ(answer.body, absl::StrCat(100 + i));
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsThatAreAnsweredLater) {
  Start();
  HttpClient client(address());
  ASSERT_TRUE(
      client.Send("GET /later/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /later/2 HTTP/1.1\r\nHost: "
                  "h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n"));
  for (const char* path : {"/later/1", "/later/2"}) {
    const std::vector<Pending> pending = TakePending(1);
    ASSERT_EQ(pending.size(), 1u);
    EXPECT_EQ(pending[0].request->path(), path);
    HttpResponse response;
    response.body = path;
    pending[0].respond(std::move(response));
    EXPECT_EQ(client.Read().body, path);
  }
  EXPECT_EQ(client.Read().headers.at("x-seen"), "GET /3");
}

TEST_F(HttpServerTest, TakesChunkedBodies) {
  Start();
  HttpClient client(address());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        client.Send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "4\r\nabcd\r\nA;extension=1\r\n0123456789\r\n"));
    ASSERT_TRUE(client.Send("0\r\n\r\n"));
    EXPECT_EQ(client.Read().body, "abcd0123456789");
  }
}

TEST_F(HttpServerTest, TakesBodiesUpToTheLimit) {
  options_.max_body_bytes = 100000;
  Start();
  HttpClient client(address());
  const std::string largest(100000, 'b');
  EXPECT_EQ(client.Ask("POST", "/x", largest).body, largest);
  ASSERT_TRUE(client.Send(
      absl::StrCat("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186A0\r\n",
                   largest, "\r\n0\r\n\r\n")));
  EXPECT_EQ(client.Read().body, largest);
}

TEST_F(HttpServerTest, RefusesLargerBodiesAtOnceWhereTheirLengthIsAnnounced) {
  options_.max_body_bytes = 1000;
  options_.error_response = [](int status, absl::string_view message) {
    HttpResponse response;
    response.status = status;
    response.body = absl::StrCat("mine: ", message);
    return response;
  };
  Start();
  for (const char* method : {"POST", "PUT", "DELETE", "GET"}) {
    HttpClient client(address());
    ASSERT_TRUE(client.Send(
        absl::StrCat(method, " /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")));
    const HttpAnswer answer = client.Read();
    EXPECT_EQ(answer.status, 413);
    EXPECT_EQ(answer.body, "mine: the body has more than 1000 bytes");
    EXPECT_TRUE(client.WaitForEnd());
  }
  HttpClient huge(address());
  ASSERT_TRUE(
      huge.Send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n"));
  EXPECT_EQ(huge.Read().status, 413);
}

TEST_F(HttpServerTest, TellsAClientThatSendsAllOfATooLargeBodyFirst) {
  options_.max_body_bytes = 1000;
  Start();
  for (int i = 0; i < 5; ++i) {
    HttpClient client(address());
    const std::string body(8 << 20, 'x');
    ASSERT_TRUE(client.Send(
        absl::StrCat("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: ", body.size(), "\r\n\r\n")));
    // Not reset while it sends.
    EXPECT_TRUE(client.Send(body));
    EXPECT_EQ(client.Read().status, 413);
  }
}

TEST_F(HttpServerTest, RefusesChunkedBodiesThatGetTooLarge) {
  options_.max_body_bytes = 1000;
  Start();
  HttpClient client(address());
  std::string request = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 101; ++i) absl::StrAppend(&request, "A\r\n0123456789\r\n");
  ASSERT_TRUE(client.Send(absl::StrCat(request, "0\r\n\r\n")));
  EXPECT_EQ(client.Read().status, 413);

  // One without an end is ended.
  HttpClient endless(address());
  ASSERT_TRUE(endless.Send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
  while (endless.Send("400\r\n" + std::string(1024, 'x') + "\r\n")) {
  }
  EXPECT_EQ(GoodStatus(), 200);
}

TEST_F(HttpServerTest, RefusesTooLargeHeaders) {
  options_.max_header_bytes = 4096;
  Start();
  for (const size_t bytes : {5000, 30000, 300000}) {
    HttpClient many(address());
    many.Send(absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\nX-Large: ", std::string(bytes, 'h'),
                           "\r\n\r\n"));
    EXPECT_EQ(many.Read().status, 431) << bytes;
  }
  HttpClient long_path(address());
  long_path.Send(absl::StrCat("GET /", std::string(30000, 'p'), " HTTP/1.1\r\n"));
  EXPECT_EQ(long_path.Read().status, 414);
  EXPECT_EQ(HttpClient(address())
                .Ask("GET", "/header", "", absl::StrCat("x-one: ", std::string(3900, 'h'), "\r\n"))
                .body,
            std::string(3900, 'h'));
}

TEST_F(HttpServerTest, RefusesWhatCouldBeReadInTwoWays) {
  Start();
  const std::string post = "POST /x HTTP/1.1\r\nHost: h\r\n";
  const std::vector<std::pair<std::string, int>> requests = {
      {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {post + "Content-Length: abc\r\n\r\n", 400},
      {post + "Content-Length: -1\r\n\r\n", 400},
      {post + "Content-Length: +1\r\n\r\na", 400},
      {post + "Content-Length: 1 2\r\n\r\na", 400},
      {post + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
  };
  for (const auto& [bytes, status] : requests) {
    HttpClient client(address());
    ASSERT_TRUE(client.Send(bytes));
    EXPECT_EQ(client.Read().status, status) << bytes;
    EXPECT_TRUE(client.WaitForEnd());
  }
  EXPECT_EQ(GoodStatus(), 200);
}

TEST_F(HttpServerTest, RefusesRequestsWhenBodiesTakeTooMuchMemory) {
  options_.max_total_body_bytes = 1000000;
  Start();
  const std::string body(300000, 'b');
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<HttpClient>(address()));
    ASSERT_TRUE(clients.back()->Send(absl::StrCat(
        "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: ", body.size(), "\r\n\r\n", body)));
  }
  std::vector<Pending> pending = TakePending(3);
  HttpClient client(address());
  const HttpAnswer refused = client.Ask("POST", "/x", body);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(GoodStatus(), 200);

  for (const Pending& one : pending) one.respond(HttpResponse());
  pending.clear();
  for (const auto& one : clients) EXPECT_EQ(one->Read().status, 200);
  EXPECT_TRUE(
      Eventually([&] { return HttpClient(address()).Ask("POST", "/x", body).status == 200; }));
}

TEST_F(HttpServerTest, ShowsTheQuery) {
  Start();
  HttpClient client(address());
  EXPECT_EQ(client.Get("/query?a=1&b&c=%20x+y&a=2").body, "a=1;b=;c=%20x y;a=2;");
  EXPECT_EQ(client.Get("/query?").body, "");
  EXPECT_EQ(client.Get("/query").body, "");
  EXPECT_EQ(client.Ask("POST", "/query?d==", "body").headers.at("x-seen"), "POST /query");
}

TEST_F(HttpServerTest, RefusesWhenAnswersTakeTooMuchMemory) {
  options_.max_total_response_bytes = (2 << 20) + 100;
  options_.receive_timeout = absl::Milliseconds(200);
  Start();
  // More than the system takes on the way, and nobody reads it.
  std::vector<std::unique_ptr<HttpClient>> clients;
  std::string requests;
  for (int i = 0; i < 20; ++i) absl::StrAppend(&requests, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
  for (int i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<HttpClient>(address()));
    ASSERT_TRUE(clients.back()->Send(requests));
  }
  HttpAnswer refused;
  EXPECT_TRUE(Eventually([&] {
    refused = HttpClient(address()).Get("/large");
    return refused.status == 503;
  }));
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(GoodStatus(), 200);
  // Those who do not take theirs are ended.
  EXPECT_TRUE(Eventually([&] { return HttpClient(address()).Get("/large").status == 200; }));
}

TEST_F(HttpServerTest, AnswersFromManyThreads) {
  options_.threads = 3;
  Start();
  constexpr int kClients = 8;
  constexpr int kRequests = 200;
  for (int i = 0; i < 2; ++i) {
    threads_.emplace_back([this] {
      while (!done_) {
        std::vector<Pending> pending;
        {
          absl::MutexLock lock(&mutex_);
          pending.swap(pending_);
        }
        if (pending.empty()) absl::SleepFor(absl::Microseconds(100));
        for (const Pending& one : pending) {
          HttpResponse response;
          response.body = std::string(one.request->body());
          one.respond(std::move(response));
        }
      }
    });
  }
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([this, i] {
      HttpClient client(address());
      for (int j = 0; j < kRequests; ++j) {
        const std::string body = absl::StrCat(i, ".", j);
        EXPECT_EQ(client.Ask("POST", j % 3 == 0 ? "/now" : "/later", body).body, body);
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(HttpServerTest, EndsRequestsThatDoNotArriveInTime) {
  options_.receive_timeout = absl::Milliseconds(200);
  Start();
  HttpClient header(address());
  HttpClient body(address());
  HttpClient chunked(address());
  ASSERT_TRUE(header.Send("GET / HTTP/1.1\r\n"));
  ASSERT_TRUE(body.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"));
  ASSERT_TRUE(chunked.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
  // They go on to send something all the while.
  EXPECT_TRUE(Eventually([&] {
    const bool one = !header.Send("a") || header.HasEnded();
    const bool two = !body.Send("b") || body.HasEnded();
    const bool three = !chunked.Send("1\r\nc\r\n") || chunked.HasEnded();
    return one && two && three;
  }));
  // One that is just silent is told why.
  HttpClient silent(address());
  ASSERT_TRUE(silent.Send("GET / HTTP/1.1\r\nHost"));
  EXPECT_EQ(silent.Read().status, 408);
  EXPECT_TRUE(silent.WaitForEnd());
  EXPECT_EQ(GoodStatus(), 200);
}

TEST_F(HttpServerTest, EndsASlowRequestOnAKeptConnection) {
  options_.receive_timeout = absl::Milliseconds(200);
  Start();
  HttpClient client(address());
  EXPECT_EQ(client.Get("/").status, 200);
  EXPECT_TRUE(Eventually([&] { return !client.Send("a") || client.HasEnded(); }));
}

TEST_F(HttpServerTest, EndsIdleConnections) {
  options_.idle_timeout = absl::Milliseconds(100);
  Start();
  HttpClient used(address());
  EXPECT_EQ(used.Get("/").status, 200);
  HttpClient unused(address());
  EXPECT_TRUE(used.WaitForEnd());
  EXPECT_TRUE(unused.WaitForEnd());
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, KeepsConnectionsThatWaitForTheirAnswer) {
  options_.idle_timeout = absl::Milliseconds(50);
  options_.receive_timeout = absl::Milliseconds(50);
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
  const std::vector<Pending> pending = TakePending(1);
  ASSERT_EQ(pending.size(), 1u);
  HttpClient idle(address());
  // Long after others have been ended.
  EXPECT_TRUE(idle.WaitForEnd());
  HttpClient slow(address());
  ASSERT_TRUE(slow.Send("GET"));
  EXPECT_TRUE(slow.WaitForEnd());
  EXPECT_FALSE(pending[0].request->cancelled());
  pending[0].respond(HttpResponse());
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(HttpServerTest, ASlowLorisDoesNotKeepAGoodClientOut) {
  options_.max_connections = 64;
  Start();
  auto rounds = std::make_shared<std::atomic<int>>(0);
  threads_.emplace_back([this, rounds] {
    std::vector<std::unique_ptr<HttpClient>> slow(300);
    while (!done_) {
      for (size_t i = 0; i < slow.size(); ++i) {
        // Half of them take their time with the headers, the others with the body.
        if (slow[i] != nullptr && slow[i]->Send(i % 2 == 0 ? "x" : "b")) continue;
        slow[i] = std::make_unique<HttpClient>(address());
        slow[i]->Send(i % 2 == 0 ? "GET / HTTP/1.1\r\nX-"
                                 : "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n");
      }
      ++*rounds;
    }
  });
  EXPECT_TRUE(Eventually([&] { return *rounds >= 2; }));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(GoodStatus(), 200) << i;
  EXPECT_LE(server_->connections(), 64u);
}

TEST_F(HttpServerTest, AFloodOfConnectionsDoesNotKeepAGoodClientOut) {
  options_.max_connections = 64;
  Start();
  auto opened = std::make_shared<std::atomic<int>>(0);
  for (int i = 0; i < 2; ++i) {
    threads_.emplace_back([this, opened] {
      std::vector<std::unique_ptr<HttpClient>> flood(100);
      for (size_t next = 0; !done_; next = (next + 1) % flood.size()) {
        flood[next] = std::make_unique<HttpClient>(address());
        ++*opened;
      }
    });
  }
  EXPECT_TRUE(Eventually([&] { return *opened > 500; }));
  auto kept = std::make_unique<HttpClient>(address());
  int lost = 0;
  for (int i = 0; i < 50; ++i) {
    if (kept->Get("/kept").status != 200) {
      ++lost;
      kept = std::make_unique<HttpClient>(address());
      EXPECT_EQ(kept->Get("/kept").status, 200) << i;
    }
    EXPECT_EQ(GoodStatus(), 200) << i;
  }
  // Connections that have been used are mostly left alone.
  EXPECT_LT(lost, 25);
}

TEST_F(HttpServerTest, IdleClientsDoNotKeepOthersOut) {
  options_.max_connections = 64;
  Start();
  std::vector<std::unique_ptr<HttpClient>> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(std::make_unique<HttpClient>(address()));
    ASSERT_EQ(idle.back()->Get("/").status, 200) << i;
  }
  EXPECT_LE(server_->connections(), 64u);
  // The longest idle ones went.
  EXPECT_TRUE(idle.front()->WaitForEnd());
  EXPECT_EQ(idle.back()->Get("/").status, 200);
}

TEST_F(HttpServerTest, RequestsUnderWayAreNotEndedForNewOnes) {
  options_.max_connections = 32;
  Start();
  std::vector<std::unique_ptr<HttpClient>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(std::make_unique<HttpClient>(address()));
    ASSERT_TRUE(waiting.back()->Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
  }
  const std::vector<Pending> pending = TakePending(20);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(GoodStatus(), 200);
  for (const Pending& one : pending) {
    EXPECT_FALSE(one.request->cancelled());
    one.respond(HttpResponse());
  }
  for (const auto& client : waiting) EXPECT_EQ(client->Read().status, 200);
}

TEST_F(HttpServerTest, KnowsWhenAClientHasGone) {
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.Send("POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"));
  const std::vector<Pending> pending = TakePending(1);
  ASSERT_EQ(pending.size(), 1u);
  EXPECT_FALSE(pending[0].request->cancelled());
  client.Close();
  EXPECT_TRUE(Eventually([&] { return pending[0].request->cancelled(); }));
  EXPECT_EQ(pending[0].request->body(), "body");
  pending[0].respond(HttpResponse());
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
  // What is held stays valid, and another answer changes nothing.
  EXPECT_TRUE(pending[0].request->cancelled());
  EXPECT_EQ(pending[0].request->path(), "/later");
  pending[0].respond(HttpResponse());
  EXPECT_EQ(GoodStatus(), 200);
}

TEST_F(HttpServerTest, ShutdownWaitsForAnswers) {
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
  const std::vector<Pending> pending = TakePending(1);
  ASSERT_EQ(pending.size(), 1u);
  HttpClient idle(address());
  EXPECT_EQ(idle.Get("/").status, 200);
  std::thread stopper([this] { server_->Shutdown(kLong); });
  // Idle ones are ended at once, and nobody is let in.
  EXPECT_TRUE(idle.WaitForEnd());
  EXPECT_TRUE(HttpClient(address()).WaitForEnd());
  HttpResponse response;
  response.body = "late but there";
  pending[0].respond(std::move(response));
  const HttpAnswer answer = client.Read();
  EXPECT_EQ(answer.body, "late but there");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  stopper.join();
  EXPECT_TRUE(client.WaitForEnd());
  EXPECT_FALSE(HttpClient(address()).connected());
}

TEST_F(HttpServerTest, ShutdownAnswersForWhoDoesNot) {
  Start();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<HttpClient>(address()));
    ASSERT_TRUE(clients.back()->Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
  }
  const std::vector<Pending> pending = TakePending(10);
  server_->Shutdown(absl::Milliseconds(1));
  for (const auto& client : clients) EXPECT_EQ(client->Read().status, 503);
  server_.reset();
  for (const Pending& one : pending) {
    EXPECT_TRUE(one.request->cancelled());
    EXPECT_EQ(one.request->path(), "/later");
    one.respond(HttpResponse());
  }
}

TEST_F(HttpServerTest, ShutdownWhileAnswersComeFromOtherThreads) {
  for (int round = 0; round < 20; ++round) {
    Start();
    std::atomic<bool> done{false};
    std::thread answering([this, &done] {
      while (!done) {
        std::vector<Pending> pending;
        {
          absl::MutexLock lock(&mutex_);
          pending.swap(pending_);
        }
        for (const Pending& one : pending) one.respond(HttpResponse());
      }
    });
    std::atomic<int> answered{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([this, &answered, &done] {
        while (!done) {
          HttpClient client(address());
          while (client.Get("/later").status == 200) ++answered;
        }
      });
    }
    EXPECT_TRUE(Eventually([&] { return answered > 20; }));
    server_->Shutdown(round % 2 == 0 ? absl::ZeroDuration() : kLong);
    done = true;
    for (std::thread& client : clients) client.join();
    answering.join();
    server_.reset();
  }
}

TEST_F(HttpServerTest, NamesAnAddressThatIsTaken) {
  Start();
  HttpServer::Options options;
  options.listen = address();
  const auto second = HttpServer::Start(options, [](const HttpRequest&, HttpServer::Respond) {});
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_TRUE(absl::StrContains(second.status().message(), address())) << second.status();
}

TEST_F(HttpServerTest, SurvivesRandomBytes) {
  options_.receive_timeout = absl::Milliseconds(300);
  options_.idle_timeout = absl::Milliseconds(300);
  options_.max_body_bytes = 5000;
  options_.max_header_bytes = 2000;
  Start();
  std::mt19937 random(20240607);
  const std::vector<std::string> pieces = {
      "GET ",
      "POST ",
      "HEAD ",
      "DELETE ",
      "/",
      "/%",
      "/a?b=c&d",
      " HTTP/1.1",
      "\r\n",
      "\n",
      "\r",
      ":",
      ": ",
      " ",
      "\t",
      "Host: h",
      "Content-Length: ",
      "Transfer-Encoding: ",
      "chunked",
      "0\r\n\r\n",
      "\r\n\r\n",
      "Expect: 100-continue\r\n",
      "Connection: close\r\n",
      "Connection: Upgrade\r\n",
      "1",
      "ffffffffffffffff",
      "-1",
      "5\r\nabcde\r\n",
      " HTTP/1.0",
      " HTTP/9.9",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "Cookie: a=b; c=\"d",
      "Trailer: x\r\n",
      "http://",
      "Content-Length: 5\r\n\r\nhello",
  };
  for (int round = 0; round < 600; ++round) {
    std::string bytes;
    const int count = static_cast<int>(random() % 40);
    for (int i = 0; i < count; ++i) {
      if (random() % 4 == 0) {
        bytes.append(random() % 50, static_cast<char>(random()));
      } else {
        bytes += pieces[random() % pieces.size()];
      }
    }
    if (random() % 2 == 0) bytes = "POST /x HTTP/1.1\r\nHost: h\r\n" + bytes;
    HttpClient client(address());
    client.Send(bytes);
    // Some wait for what comes of it, the others just go.
    if (round % 50 == 0) client.WaitForEnd();
    if (round % 10 == 0) {
      EXPECT_EQ(GoodStatus(), 200) << round;
    }
  }
  EXPECT_EQ(GoodStatus(), 200);
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

class HttpServerTlsTest : public HttpServerTest {
 protected:
  HttpServerTlsTest() {
    std::string pattern = ::testing::TempDir() + "/http_tlsXXXXXX";
    EXPECT_NE(mkdtemp(&pattern[0]), nullptr);
    folder_ = pattern;
    WriteServer(ca_.IssueServer());
    ReplaceFile(folder_ + "/clients.pem", client_ca_.cert());
    options_.tls.cert_file = folder_ + "/server.pem";
    options_.tls.key_file = folder_ + "/server.key";
  }

  void WriteServer(const Certificate& certificate) {
    ReplaceFile(folder_ + "/server.pem", certificate.cert);
    ReplaceFile(folder_ + "/server.key", certificate.key);
  }

  Certificate NamedServer(const std::string& name) {
    testing::CertificateOptions options;
    options.common_name = name;
    options.alternative_names = {"DNS:localhost"};
    return ca_.Issue(options);
  }

  // 0 where the client or the server does not want to talk.
  int StatusWith(const Certificate* own) {
    HttpClient client(address());
    if (!client.StartTls(ca_.cert(), own)) return 0;
    return client.Get("/").status;
  }

  std::string folder_;
  CertificateAuthority ca_{"Servers"};
  CertificateAuthority client_ca_{"Clients"};
};

TEST_F(HttpServerTlsTest, AnswersOverTls) {
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.StartTls(ca_.cert()));
  EXPECT_EQ(client.Get("/whoami").body, "127.0.0.1|");
  const std::string body(200000, 'b');
  EXPECT_EQ(client.Ask("POST", "/x", body).body, body);
  EXPECT_EQ(client.Get("/large").body.size(), size_t{1} << 20);
  ASSERT_TRUE(client.Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
  const std::vector<Pending> pending = TakePending(1);
  ASSERT_EQ(pending.size(), 1u);
  EXPECT_FALSE(pending[0].request->cancelled());
  pending[0].respond(HttpResponse());
  EXPECT_EQ(client.Read().status, 200);
  // Without a file of authorities nobody is asked for a certificate.
  const Certificate own = client_ca_.IssueClient("somebody");
  EXPECT_EQ(StatusWith(&own), 200);
}

TEST_F(HttpServerTlsTest, IsNotTrustedWithAnotherAuthorityOrWhenExpired) {
  Start();
  HttpClient client(address());
  EXPECT_FALSE(client.StartTls(client_ca_.cert()));
  WriteServer(ca_.IssueExpiredServer());
  Start();
  EXPECT_EQ(StatusWith(nullptr), 0);
}

TEST_F(HttpServerTlsTest, DoesNotSpeakPlainly) {
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  std::string rest;
  EXPECT_TRUE(client.WaitForEnd(&rest));
  EXPECT_FALSE(absl::StartsWith(rest, "HTTP")) << rest;
  EXPECT_EQ(StatusWith(nullptr), 200);
}

TEST_F(HttpServerTlsTest, KnowsClientsByTheirCertificates) {
  options_.tls.client_ca_file = folder_ + "/clients.pem";
  Start();
  testing::CertificateOptions named;
  named.common_name = "loader";
  named.alternative_names = {"DNS:loader.example", "URI:spiffe://test/loader", "IP:10.0.0.1"};
  const Certificate own = client_ca_.Issue(named);
  HttpClient client(address());
  ASSERT_TRUE(client.StartTls(ca_.cert(), &own));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client.Get("/whoami").body, "127.0.0.1|loader,loader.example,spiffe://test/loader");
  }
  HttpClient anonymous(address());
  ASSERT_TRUE(anonymous.StartTls(ca_.cert()));
  EXPECT_EQ(anonymous.Get("/whoami").body, "127.0.0.1|");
}

TEST_F(HttpServerTlsTest, RefusesCertificatesOfOthersAndExpiredOnes) {
  options_.tls.client_ca_file = folder_ + "/clients.pem";
  for (const bool required : {false, true}) {
    options_.tls.require_client_cert = required;
    Start();
    const Certificate foreign = ca_.IssueClient("loader");
    const Certificate expired = client_ca_.IssueExpiredClient("loader");
    const Certificate good = client_ca_.IssueClient("loader");
    EXPECT_EQ(StatusWith(&foreign), 0);
    EXPECT_EQ(StatusWith(&expired), 0);
    EXPECT_EQ(StatusWith(&good), 200);
    EXPECT_EQ(StatusWith(nullptr), required ? 0 : 200);
  }
}

TEST_F(HttpServerTlsTest, ShowsARenewedCertificateWithoutARestart) {
  options_.receive_timeout = absl::Seconds(1);
  WriteServer(NamedServer("first"));
  Start();
  const auto name = [this] {
    HttpClient client(address());
    if (!client.StartTls(ca_.cert())) return std::string("none");
    return client.Get("/").status == 200 ? client.ServerName() : "no answer";
  };
  EXPECT_EQ(name(), "first");
  // A key that is not the certificate's: the old ones stay.
  const Certificate second = NamedServer("second");
  ReplaceFile(folder_ + "/server.pem", second.cert);
  HttpClient kept(address());
  ASSERT_TRUE(kept.StartTls(ca_.cert()));
  EXPECT_TRUE(kept.WaitForEnd());  // The server has looked at the files meanwhile.
  EXPECT_EQ(name(), "first");
  HttpClient old(address());
  ASSERT_TRUE(old.StartTls(ca_.cert()));
  ReplaceFile(folder_ + "/server.key", second.key);
  EXPECT_TRUE(Eventually([&] { return name() == "second"; }));
  for (int i = 0; i < 5; ++i) {
    const std::string next = absl::StrCat("next ", i);
    WriteServer(NamedServer(next));
    EXPECT_TRUE(Eventually([&] { return name() == next; })) << next;
  }
}

TEST_F(HttpServerTlsTest, TrustsARenewedAuthorityWithoutARestart) {
  options_.tls.client_ca_file = folder_ + "/clients.pem";
  options_.tls.require_client_cert = true;
  Start();
  const CertificateAuthority renewed("Renewed");
  const Certificate before = client_ca_.IssueClient("loader");
  const Certificate after = renewed.IssueClient("loader");
  EXPECT_EQ(StatusWith(&before), 200);
  EXPECT_EQ(StatusWith(&after), 0);
  HttpClient open(address());
  ASSERT_TRUE(open.StartTls(ca_.cert(), &before));
  EXPECT_EQ(open.Get("/whoami").body, "127.0.0.1|loader");
  ReplaceFile(folder_ + "/clients.pem", renewed.cert());
  EXPECT_TRUE(Eventually([&] {
    open.Get("/");  // Goes on.
    return StatusWith(&after) == 200;
  }));
  EXPECT_EQ(open.Get("/whoami").body, "127.0.0.1|loader");
  EXPECT_EQ(StatusWith(&before), 0);
}

TEST_F(HttpServerTlsTest, EndsHandshakesThatTakeTooLong) {
  options_.receive_timeout = absl::Milliseconds(200);
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.Send("\x16\x03\x01"));
  EXPECT_TRUE(client.WaitForEnd());
  EXPECT_EQ(StatusWith(nullptr), 200);
}

TEST_F(HttpServerTlsTest, TellsAClientThatSendsAllOfATooLargeBodyFirst) {
  options_.max_body_bytes = 1000;
  Start();
  HttpClient client(address());
  ASSERT_TRUE(client.StartTls(ca_.cert()));
  EXPECT_EQ(client.Ask("POST", "/x", std::string(1 << 20, 'x')).status, 413);
}

TEST_F(HttpServerTlsTest, SurvivesRandomBytes) {
  options_.receive_timeout = absl::Milliseconds(300);
  Start();
  std::mt19937 random(77);
  for (int round = 0; round < 100; ++round) {
    HttpClient client(address());
    std::string bytes =
        round % 2 == 0 ? std::string("\x16\x03\x01\x00\x80\x01\x00\x00\x7c", 9) : "";
    for (size_t i = random() % 200; i > 0; --i) bytes.push_back(static_cast<char>(random()));
    client.Send(bytes);
  }
  EXPECT_EQ(StatusWith(nullptr), 200);
}

TEST_F(HttpServerTlsTest, NamesFilesThatCannotBeUsed) {
  const auto problem = [this](const ServerTlsOptions& tls) {
    HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    options.tls = tls;
    const auto server = HttpServer::Start(options, [](const HttpRequest&, HttpServer::Respond) {});
    EXPECT_TRUE(absl::IsInvalidArgument(server.status())) << server.status();
    return std::string(server.status().message());
  };
  ServerTlsOptions tls = options_.tls;
  tls.cert_file = folder_ + "/absent.pem";
  EXPECT_TRUE(absl::StrContains(problem(tls), "absent.pem"));
  tls = options_.tls;
  tls.key_file = folder_ + "/absent.key";
  EXPECT_TRUE(absl::StrContains(problem(tls), "absent.key"));
  tls = options_.tls;
  ReplaceFile(folder_ + "/other.key", ca_.IssueServer().key);
  tls.key_file = folder_ + "/other.key";
  EXPECT_TRUE(absl::StrContains(problem(tls), "other.key"));
  tls = options_.tls;
  ReplaceFile(folder_ + "/empty.pem", "nothing");
  tls.client_ca_file = folder_ + "/empty.pem";
  EXPECT_TRUE(absl::StrContains(problem(tls), "empty.pem"));
  tls = options_.tls;
  tls.require_client_cert = true;
  EXPECT_TRUE(absl::StrContains(problem(tls), "authorities"));
}

}  // namespace
}  // namespace ctlstore::rpc
