#include "common/object_store/http_store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/rpc/http_server.h"
#include "common/rpc/testing/certificates.h"
#include "common/rpc/testing/tcp_proxy.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;

// What a client asked.
struct Asked {
  std::string method;
  std::string path;
  // With '-' for none.
  std::string range = "-";
};

// A server of which each byte of an answer is given: the head, and as much of the body as the test
// wants, before the connection is closed. Answers one request a connection.
class RawServer {
 public:
  using Answer = std::function<std::string(const Asked&)>;

  explicit RawServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<struct sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<struct sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~RawServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  uint16_t port() const { return port_; }
  std::vector<Asked> asked() const {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }

 private:
  void Run() {
    while (true) {
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      Serve(connection);
      close(connection);
    }
  }

  void Serve(int connection) {
    std::string request;
    char buffer[4096];
    while (!absl::StrContains(request, "\r\n\r\n")) {
      const ssize_t size = recv(connection, buffer, sizeof(buffer), 0);
      if (size <= 0) return;
      request.append(buffer, size);
    }
    Asked asked;
    const std::vector<std::string> lines = absl::StrSplit(request, "\r\n");
    const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
    asked.method = words[0];
    asked.path = words[1];
    for (const std::string& line : lines) {
      absl::string_view value = line;
      if (absl::ConsumePrefix(&value, "Range: bytes=")) asked.range = std::string(value);
    }
    {
      absl::MutexLock lock(&mutex_);
      asked_.push_back(asked);
    }
    std::string answer = answer_(asked);
    // The client must not wait for another answer here.
    const size_t head = answer.find("\r\n");
    if (head != std::string::npos) answer.insert(head, "\r\nConnection: close");
    size_t sent = 0;
    while (sent < answer.size()) {
      const ssize_t size =
          send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) return;
      sent += size;
    }
    shutdown(connection, SHUT_WR);
    // What the client still sends must not become a reset that takes the answer with it.
    while (recv(connection, buffer, sizeof(buffer), 0) > 0) {
    }
  }

  const Answer answer_;
  int listener_ = -1;
  uint16_t port_ = 0;
  mutable absl::Mutex mutex_;
  std::vector<Asked> asked_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// The bounds of a range, the second one behind its end.
std::pair<int64_t, int64_t> BoundsOf(const std::string& range, int64_t size) {
  const std::pair<std::string, std::string> bounds = absl::StrSplit(range, '-');
  int64_t begin = 0, last = size - 1;
  EXPECT_TRUE(absl::SimpleAtoi(bounds.first, &begin)) << range;
  EXPECT_TRUE(bounds.second.empty() || absl::SimpleAtoi(bounds.second, &last)) << range;
  return {begin, std::min(last + 1, size)};
}

// What a server that knows ranges answers. Of the body at most `body_bytes`.
std::string RightAnswer(const Asked& asked, const std::string& object, absl::string_view headers,
                        size_t body_bytes = std::string::npos) {
  if (asked.method == "HEAD") {
    return absl::StrCat("HTTP/1.1 200 OK\r\n", headers, "Content-Length: ", object.size(),
                        "\r\n\r\n");
  }
  const int64_t size = object.size();
  if (asked.range == "-") {
    return absl::StrCat("HTTP/1.1 200 OK\r\n", headers, "Content-Length: ", size, "\r\n\r\n",
                        object.substr(0, body_bytes));
  }
  const auto [begin, end] = BoundsOf(asked.range, size);
  if (begin >= size) {
    return absl::StrCat("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */", size,
                        "\r\nContent-Length: 0\r\n\r\n");
  }
  return absl::StrCat("HTTP/1.1 206 Partial Content\r\n", headers, "Content-Range: bytes ", begin,
                      "-", end - 1, "/", size, "\r\nContent-Length: ", end - begin, "\r\n\r\n",
                      object.substr(begin, end - begin).substr(0, body_bytes));
}

constexpr char kStatus503[] = "HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nbusy";

std::string RandomText(size_t size) {
  std::mt19937_64 random(size);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class HttpStoreTest : public ::testing::Test {
 protected:
  static StoreOptions FastOptions() {
    StoreOptions options;
    options.min_retry_pause = absl::Milliseconds(1);
    options.max_retry_pause = absl::Milliseconds(2);
    options.max_attempts = 3;
    return options;
  }

  void OpenUrl(const std::string& url, const StoreOptions& options = FastOptions()) {
    const auto parsed = ParseStoreUrl(url);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    store_ = std::make_unique<HttpStore>(*parsed, options);
  }

  // Opens a store over a server that answers so.
  void Serve(RawServer::Answer answer, absl::string_view path = "") {
    server_ = std::make_unique<RawServer>(std::move(answer));
    OpenUrl(absl::StrCat("http://127.0.0.1:", server_->port(), path));
  }

  absl::Status Read(ObjectStore::ReadOptions options, std::string* read,
                    absl::string_view key = "key") {
    read->clear();
    return store_->Read(key, options, [&](absl::string_view piece) {
      read->append(piece.data(), piece.size());
      return absl::OkStatus();
    });
  }

  // Every kind of range gives what it should.
  void ExpectRanges(const std::string& object, absl::string_view key = "key") {
    const int64_t size = object.size();
    std::string read;
    const std::vector<std::pair<int64_t, int64_t>> ranges = {
        {0, -1}, {0, size}, {0, 1},        {1, -1},    {1, size - 1}, {1000, 70000},
        {0, 0},  {size, 0}, {size - 1, 1}, {size, -1}, {size - 1, -1}};
    for (const auto& [offset, length] : ranges) {
      EXPECT_EQ(Read({offset, length, ""}, &read, key), absl::OkStatus())
          << offset << " " << length;
      EXPECT_TRUE(read == object.substr(offset, length < 0 ? std::string::npos : length))
          << offset << " " << length << " gave " << read.size();
    }
    const std::vector<std::pair<int64_t, int64_t>> beyond = {
        {0, size + 1}, {size, 1}, {size + 1, -1}, {size + 1, 0}, {size - 1, 2}, {size + 5, 5}};
    for (const auto& [offset, length] : beyond) {
      EXPECT_EQ(Read({offset, length, ""}, &read, key).code(), absl::StatusCode::kOutOfRange)
          << offset << " " << length;
    }
    EXPECT_EQ(Read({-1, 1, ""}, &read, key).code(), absl::StatusCode::kInvalidArgument);
  }

  const std::string object_ = RandomText(600000);
  std::unique_ptr<RawServer> server_;
  std::unique_ptr<HttpStore> store_;
};

TEST_F(HttpStoreTest, ReadsRanges) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, "ETag: \"1\"\r\n"); });
  ExpectRanges(object_);
}

TEST_F(HttpStoreTest, ReadsRangesOfAServerThatDoesNotKnowThem) {
  Serve([&](const Asked& asked) {
    Asked whole = asked;
    whole.range = "-";
    return RightAnswer(whole, object_, "");
  });
  ExpectRanges(object_);
}

TEST_F(HttpStoreTest, ReadsRangesOfAServerThatDoesNotSayHowLargeItIs) {
  Serve([&](const Asked& asked) -> std::string {
    if (asked.method == "HEAD") return RightAnswer(asked, object_, "");
    return absl::StrCat("HTTP/1.1 200 OK\r\n\r\n", object_);
  });
  ExpectRanges(object_);
}

TEST_F(HttpStoreTest, ReadsRangesOfAServerThatGivesLessThanItIsAskedFor) {
  Serve([&](const Asked& asked) {
    Asked less = asked;
    if (asked.range != "-") {
      const auto [begin, end] = BoundsOf(asked.range, object_.size());
      less.range = absl::StrCat(begin, "-", std::min(end, begin + 100000) - 1);
    }
    return RightAnswer(less, object_, "");
  });
  ExpectRanges(object_);
}

TEST_F(HttpStoreTest, ReadsEmptyObjects) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, "", ""); });
  std::string read;
  EXPECT_EQ(Read({}, &read), absl::OkStatus());
  EXPECT_EQ(read, "");
  EXPECT_EQ(Read({0, 1, ""}, &read).code(), absl::StatusCode::kOutOfRange);
}

TEST_F(HttpStoreTest, SaysWhatItKnowsOfAnObject) {
  Serve([&](const Asked& asked) {
    return RightAnswer(asked, object_,
                       "ETag: \"abc\"\r\nLast-Modified: Tue, 03 Mar 2026 00:00:00 GMT\r\n"
                       "X-Amz-Meta-Checksum: c2hh\r\n");
  });
  auto info = store_->Stat("key");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->key, "key");
  EXPECT_EQ(info->size, 600000);
  EXPECT_EQ(info->modified, absl::FromUnixSeconds(1772496000));
  EXPECT_EQ(info->version, "\"abc\"");
  EXPECT_THAT(info->metadata, ElementsAre(Pair("checksum", "c2hh")));
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, ""); });
  info = store_->Stat("key");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->modified, absl::InfinitePast());
  EXPECT_EQ(info->version, "");
}

TEST_F(HttpStoreTest, AsksBelowTheStoresUrlAndPercentEncoded) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, "x", ""); }, "/a b/c%25");
  EXPECT_TRUE(store_->Stat("d/e f+g?h#\xc3\xb6~").ok());
  std::string read;
  EXPECT_EQ(Read({}, &read, "x.json"), absl::OkStatus());
  const std::vector<Asked> asked = server_->asked();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].path, "/a%20b/c%25/d/e%20f%2Bg%3Fh%23%C3%B6~");
  EXPECT_EQ(asked[1].path, "/a%20b/c%25/x.json");
  EXPECT_EQ(store_->Stat("../x").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HttpStoreTest, StatusesMeanWhatTheContractSays) {
  int status = 0;
  Serve([&](const Asked&) {
    return absl::StrCat("HTTP/1.1 ", status, " Reason\r\nContent-Length: 0\r\n\r\n");
  });
  const std::vector<std::pair<int, absl::StatusCode>> cases = {
      {404, absl::StatusCode::kNotFound},         {410, absl::StatusCode::kNotFound},
      {401, absl::StatusCode::kPermissionDenied}, {403, absl::StatusCode::kPermissionDenied},
      {400, absl::StatusCode::kUnavailable},      {500, absl::StatusCode::kUnavailable},
      {503, absl::StatusCode::kUnavailable},      {429, absl::StatusCode::kUnavailable},
      {304, absl::StatusCode::kUnavailable}};
  std::string read;
  for (const auto& [answer, code] : cases) {
    status = answer;
    const size_t before = server_->asked().size();
    EXPECT_EQ(store_->Stat("key").status().code(), code) << answer;
    EXPECT_EQ(Read({5, 5, ""}, &read).code(), code) << answer;
    const absl::Status whole = Read({}, &read);
    EXPECT_EQ(whole.code(), code) << answer;
    EXPECT_THAT(std::string(whole.message()),
                AllOf(HasSubstr(absl::StrCat(answer)), HasSubstr("key"), HasSubstr("127.0.0.1")));
    // What may pass is tried again.
    const bool again = answer >= 500 || answer == 429;
    EXPECT_EQ(server_->asked().size() - before, again ? 9u : 3u) << answer;
  }
}

TEST_F(HttpStoreTest, ErrorsThatPassAreNotSeen) {
  int calls = 0;
  Serve([&](const Asked& asked) {
    ++calls;
    if (calls % 3 == 1) return std::string(kStatus503);
    if (calls % 3 == 2) return std::string();
    return RightAnswer(asked, object_, "");
  });
  std::string read;
  EXPECT_TRUE(store_->Stat("key").ok());
  EXPECT_EQ(Read({}, &read), absl::OkStatus());
  EXPECT_TRUE(read == object_);
  EXPECT_EQ(Read({10, 20, ""}, &read), absl::OkStatus());
  EXPECT_EQ(read, object_.substr(10, 20));
}

TEST_F(HttpStoreTest, ABrokenReadingIsGoneOnWithWhereItWas) {
  // Each answer is cut off after 150,000 bytes.
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, "ETag: \"1\"\r\n", 150000); });
  std::string read;
  EXPECT_EQ(Read({}, &read), absl::OkStatus());
  EXPECT_TRUE(read == object_);
  std::vector<std::string> ranges;
  for (const Asked& asked : server_->asked()) ranges.push_back(asked.range);
  EXPECT_THAT(ranges, ElementsAre("-", "150000-", "300000-", "450000-"));
  EXPECT_EQ(Read({100, 200000, ""}, &read), absl::OkStatus());
  EXPECT_TRUE(read == object_.substr(100, 200000));
}

TEST_F(HttpStoreTest, ABrokenReadingIsGoneOnWithWhereTheServerKnowsNoRanges) {
  // Each answer is cut off 150,000 bytes later than the one before.
  size_t bytes = 0;
  Serve([&](const Asked& asked) {
    Asked whole = asked;
    whole.range = "-";
    bytes += 150000;
    return RightAnswer(whole, object_, "", bytes);
  });
  std::string read;
  EXPECT_EQ(Read({}, &read), absl::OkStatus());
  EXPECT_TRUE(read == object_);
  EXPECT_EQ(server_->asked().size(), 4u);
}

TEST_F(HttpStoreTest, AReadingThatDoesNotGetOnIsGivenUp) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, "", 10); });
  std::string read;
  EXPECT_EQ(Read({}, &read).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(read, object_.substr(0, 30));
  EXPECT_EQ(server_->asked().size(), 3u);
}

TEST_F(HttpStoreTest, AServerThatSendsOtherBytesThanItIsAskedForIsNotBelieved) {
  std::string content_range;
  Serve([&](const Asked&) {
    return absl::StrCat("HTTP/1.1 206 Partial Content\r\n", content_range,
                        "Content-Length: 10\r\n\r\n0123456789");
  });
  std::string read;
  for (const char* header :
       {"", "Content-Range: bytes 0-9/100\r\n", "Content-Range: bytes */100\r\n",
        "Content-Range: bytes 10x-19/100\r\n", "Content-Range: bytes 10-19/-1\r\n",
        "Content-Range: bytes 10-19\r\n", "Content-Range: 10-19/100\r\n"}) {
    content_range = header;
    EXPECT_EQ(Read({10, 10, ""}, &read).code(), absl::StatusCode::kUnavailable) << header;
    EXPECT_EQ(read, "") << header;
  }
  content_range = "Content-Range: bytes 10-19/*\r\n";
  EXPECT_EQ(Read({10, 10, ""}, &read), absl::OkStatus());
  EXPECT_EQ(read, "0123456789");
}

TEST_F(HttpStoreTest, AnotherVersionIsNotRead) {
  std::string headers = "ETag: \"1\"\r\n";
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, headers); });
  const auto info = store_->Stat("key");
  ASSERT_TRUE(info.ok()) << info.status();
  std::string read;
  EXPECT_EQ(Read({5, 5, info->version}, &read), absl::OkStatus());
  EXPECT_EQ(Read({5, 0, info->version}, &read), absl::OkStatus());
  headers = "ETag: \"2\"\r\n";
  for (const int64_t length : {-1, 5, 0}) {
    const absl::Status status = Read({5, length, info->version}, &read);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << length;
    EXPECT_TRUE(HasReason(status, reason::kObjectChanged));
    EXPECT_EQ(read, "");
  }
}

TEST_F(HttpStoreTest, AnObjectThatChangesWhileItIsReadIsNotMixed) {
  // By its version, by its time, or by its size alone.
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"ETag: \"1\"\r\n", "ETag: \"2\"\r\n"},
      {"Last-Modified: Tue, 03 Mar 2026 00:00:00 GMT\r\n",
       "Last-Modified: Tue, 03 Mar 2026 00:00:01 GMT\r\n"},
      {"", ""}};
  for (const auto& [before, after] : changes) {
    int calls = 0;
    Serve([&, before = before, after = after](const Asked& asked) {
      if (++calls == 1) return RightAnswer(asked, object_, before, 200000);
      return RightAnswer(asked, before.empty() ? object_ + "x" : object_, after);
    });
    std::string read;
    const absl::Status status = Read({}, &read);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_TRUE(HasReason(status, reason::kObjectChanged));
    EXPECT_TRUE(read == object_.substr(0, 200000));
  }
}

TEST_F(HttpStoreTest, TheSinksErrorIsReturnedAsItIs) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, ""); });
  for (const absl::Status& error : {absl::UnavailableError("mine"), absl::CancelledError("mine"),
                                    absl::DataLossError("mine")}) {
    const size_t before = server_->asked().size();
    EXPECT_EQ(store_->Read("key", {}, [&](absl::string_view) { return error; }), error);
    EXPECT_EQ(server_->asked().size(), before + 1);
  }
}

TEST_F(HttpStoreTest, ItIsOnlyReadFrom) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, ""); });
  EXPECT_EQ(store_->List("").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(store_->Put("key", "", {}).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(store_->PutFile("key", "/dev/null", {}).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(store_->Delete("key").code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now()).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(server_->asked(), SizeIs(0));
}

TEST_F(HttpStoreTest, CancelEndsWhatIsUnderWay) {
  Serve([&](const Asked& asked) { return RightAnswer(asked, object_, ""); });
  EXPECT_EQ(store_
                ->Read("key", {},
                       [&](absl::string_view) {
                         store_->Cancel();
                         return absl::OkStatus();
                       })
                .code(),
            absl::StatusCode::kCancelled);
  store_->Cancel();
  EXPECT_EQ(store_->Stat("key").status().code(), absl::StatusCode::kCancelled);
}

TEST_F(HttpStoreTest, CancelEndsThePauseBetweenAttempts) {
  absl::Notification asked;
  server_ = std::make_unique<RawServer>([&](const Asked&) {
    asked.Notify();
    return std::string(kStatus503);
  });
  StoreOptions options;
  options.min_retry_pause = options.max_retry_pause = absl::Hours(1);
  OpenUrl(absl::StrCat("http://127.0.0.1:", server_->port()), options);
  absl::Status status;
  std::thread reader([&] {
    std::string read;
    status = Read({}, &read);
  });
  asked.WaitForNotification();
  store_->Cancel();
  reader.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
}

TEST_F(HttpStoreTest, AServerThatIsAwayIsUnavailableUntilItIsBack) {
  RawServer server([&](const Asked& asked) { return RightAnswer(asked, object_, ""); });
  rpc::testing::TcpProxy proxy(server.port());
  OpenUrl(absl::StrCat("http://", proxy.address()));
  proxy.Cut();
  EXPECT_EQ(store_->Stat("key").status().code(), absl::StatusCode::kUnavailable);
  std::string read;
  EXPECT_EQ(Read({}, &read).code(), absl::StatusCode::kUnavailable);
  proxy.Restore();
  EXPECT_EQ(Read({}, &read), absl::OkStatus());
  EXPECT_TRUE(read == object_);
}

TEST_F(HttpStoreTest, AServerThatHangsIsGivenUp) {
  RawServer server([&](const Asked& asked) { return RightAnswer(asked, object_, ""); });
  rpc::testing::TcpProxy proxy(server.port());
  StoreOptions options = FastOptions();
  options.stall_timeout = absl::Milliseconds(50);
  OpenUrl(absl::StrCat("http://", proxy.address()), options);
  proxy.Hang();
  std::string read;
  EXPECT_EQ(Read({}, &read).code(), absl::StatusCode::kUnavailable);
}

// A server with TLS, and one of another make.
class HttpStoreServerTest : public HttpStoreTest {
 protected:
  HttpStoreServerTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/http_store_XXXXXX");
    folder_ = mkdtemp(&pattern[0]);
  }
  ~HttpStoreServerTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

  std::string folder_;
};

TEST_F(HttpStoreServerTest, TlsIsVerified) {
  rpc::testing::CertificateAuthority authority, other;
  const rpc::testing::Certificate certificate = authority.IssueServer();
  rpc::testing::ReplaceFile(Path("ca.pem"), authority.cert());
  rpc::testing::ReplaceFile(Path("other.pem"), other.cert());
  rpc::testing::ReplaceFile(Path("server.pem"), certificate.cert);
  rpc::testing::ReplaceFile(Path("server.key"), certificate.key);
  rpc::HttpServer::Options server_options;
  server_options.listen = "127.0.0.1:0";
  server_options.tls.cert_file = Path("server.pem");
  server_options.tls.key_file = Path("server.key");
  const auto server = rpc::HttpServer::Start(server_options, [&](const rpc::HttpRequest& request,
                                                                 rpc::HttpServer::Respond respond) {
    rpc::HttpResponse response;
    response.body = object_;
    if (const auto range = request.header("range"); range.has_value()) {
      const auto [begin, end] =
          BoundsOf(std::string(absl::StripPrefix(*range, "bytes=")), object_.size());
      if (begin >= static_cast<int64_t>(object_.size())) {
        response.status = 416;
        response.body.clear();
        response.headers.emplace_back("Content-Range", absl::StrCat("bytes */", object_.size()));
      } else {
        response.status = 206;
        response.body = object_.substr(begin, end - begin);
        response.headers.emplace_back(
            "Content-Range", absl::StrCat("bytes ", begin, "-", end - 1, "/", object_.size()));
      }
    }
    respond(std::move(response));
  });
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string url = absl::StrCat("https://", (*server)->address());

  StoreOptions options = FastOptions();
  options.ca_file = Path("ca.pem");
  OpenUrl(url, options);
  ExpectRanges(object_);

  std::string read;
  for (const char* ca : {"other.pem", "none.pem"}) {
    options.ca_file = Path(ca);
    OpenUrl(url, options);
    EXPECT_EQ(store_->Stat("key").status().code(), absl::StatusCode::kUnavailable) << ca;
    const absl::Status status = Read({}, &read);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << ca;
    EXPECT_THAT(std::string(status.message()), HasSubstr("certificate")) << status;
    EXPECT_EQ(read, "");
  }
}

// Knows no ranges, and has no ETag.
TEST_F(HttpStoreServerTest, PythonsServerIsReadFrom) {
  std::filesystem::create_directory(Path("sub folder"));
  std::ofstream(Path("sub folder/key+1.db"), std::ios::binary) << object_;
  int output[2];
  ASSERT_EQ(pipe(output), 0);
  const pid_t server = fork();
  ASSERT_GE(server, 0);
  if (server == 0) {
    dup2(output[1], 1);
    // Connections that are closed early are errors to it.
    dup2(open("/dev/null", O_WRONLY), 2);
    close(output[0]);
    close(output[1]);
    execlp("python3", "python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1",
           "--directory", folder_.c_str(), nullptr);
    _exit(1);
  }
  close(output[1]);
  std::string line;
  char c = 0;
  while (read(output[0], &c, 1) == 1 && c != '\n') line.push_back(c);
  // "Serving HTTP on 127.0.0.1 port 12345 (http://127.0.0.1:12345/) ..."
  const size_t begin = line.find("http://");
  ASSERT_NE(begin, std::string::npos) << line;
  OpenUrl(absl::StrCat(line.substr(begin, line.find("/)") - begin), "/sub folder"));
  ExpectRanges(object_, "key+1.db");
  const auto info = store_->Stat("key+1.db");
  EXPECT_TRUE(info.ok()) << info.status();
  if (info.ok()) {
    EXPECT_EQ(info->size, 600000);
    EXPECT_NE(info->version, "");
    EXPECT_LT(absl::AbsDuration(info->modified - absl::Now()), absl::Hours(1));
  }
  EXPECT_EQ(store_->Stat("none").status().code(), absl::StatusCode::kNotFound);
  kill(server, SIGTERM);
  waitpid(server, nullptr, 0);
  close(output[0]);
}

}  // namespace
}  // namespace ctlstore::object_store
