#include "common/object_store/s3_store.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/object_store/testing/s3_server.h"
#include "common/rpc/http_server.h"
#include "common/rpc/testing/certificates.h"
#include "common/rpc/testing/tcp_proxy.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::S3Server;

std::string RandomBytes(size_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

std::string WriteFile(const std::string& name, const std::string& contents) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
  std::ofstream(path, std::ios::binary) << contents;
  return path;
}

std::vector<std::string> Keys(const absl::StatusOr<std::vector<ObjectInfo>>& objects) {
  std::vector<std::string> keys;
  if (!objects.ok()) return {objects.status().ToString()};
  for (const ObjectInfo& object : *objects) keys.push_back(object.key);
  return keys;
}

// What a range of an object has, or why it cannot be read.
absl::StatusOr<std::string> ReadAll(ObjectStore* store, const std::string& key,
                                    const ObjectStore::ReadOptions& options = {}) {
  std::string contents;
  const absl::Status status = store->Read(key, options, [&contents](absl::string_view piece) {
    absl::StrAppend(&contents, piece);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return contents;
}

class S3StoreTest : public ::testing::Test {
 protected:
  // One server for all tests that need nothing special of it.
  static S3Server* SharedServer() {
    static const auto* const server =
        new absl::StatusOr<std::unique_ptr<S3Server>>(S3Server::Start());
    CHECK(server->ok()) << server->status();
    return (*server)->get();
  }

  void SetUp() override {
    server_ = SharedServer();
    server_->Reset();
    Use();
  }

  void Start(const S3Server::Options& server_options) {
    absl::StatusOr<std::unique_ptr<S3Server>> server = S3Server::Start(server_options);
    ASSERT_TRUE(server.ok()) << server.status();
    own_server_ = *std::move(server);
    server_ = own_server_.get();
    Use();
  }

  void Use() {
    environment_ = server_->environment();
    options_.min_retry_pause = absl::Milliseconds(1);
    options_.max_retry_pause = absl::Milliseconds(5);
    options_.s3_part_bytes = 100000;
    store_ = Open("backups/eu");
  }

  std::unique_ptr<ObjectStore> Open(const std::string& path) {
    StoreUrl url;
    url.kind = StoreUrl::Kind::kS3;
    url.authority = bucket_.empty() ? server_->bucket() : bucket_;
    url.path = path;
    const std::map<std::string, std::string> environment = environment_;
    absl::StatusOr<std::unique_ptr<ObjectStore>> store =
        OpenS3Store(url, options_, [environment](const char* name) {
          const auto found = environment.find(name);
          return found != environment.end() ? found->second : std::string();
        });
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  // How many requests there were with `method` and `part` in their URL, of those in `requests`.
  static int Count(const std::vector<S3Server::Request>& requests, absl::string_view method,
                   absl::string_view part) {
    int count = 0;
    for (const S3Server::Request& request : requests) {
      if (request.method == method && absl::StrContains(request.url, part)) ++count;
    }
    return count;
  }

  std::unique_ptr<S3Server> own_server_;
  S3Server* server_ = nullptr;
  std::map<std::string, std::string> environment_;
  std::string bucket_;
  StoreOptions options_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(S3StoreTest, WhatWasPutIsThere) {
  ObjectStore::PutOptions put;
  put.content_type = "application/json";
  put.metadata = {{"sequence", "12"}, {"sha-256", "ab cd  ef"}};
  ASSERT_EQ(store_->Put("a/b.json", "{}", put), absl::OkStatus());

  EXPECT_EQ(*ReadAll(store_.get(), "a/b.json"), "{}");
  const absl::StatusOr<ObjectInfo> info = store_->Stat("a/b.json");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->key, "a/b.json");
  EXPECT_EQ(info->size, 2);
  EXPECT_NE(info->version, "");
  EXPECT_EQ(info->metadata.at("sequence"), "12");
  EXPECT_THAT(info->metadata.at("sha-256"), AllOf(HasSubstr("ab cd"), HasSubstr("ef")));
  EXPECT_LT(absl::Now() - info->modified, absl::Minutes(10));
  EXPECT_LT(info->modified - absl::Now(), absl::Minutes(10));

  // It is below the URL's path, and what is beside that is not seen.
  EXPECT_EQ(*ReadAll(Open("backups").get(), "eu/a/b.json"), "{}");
  EXPECT_EQ(*ReadAll(Open("").get(), "backups/eu/a/b.json"), "{}");
  EXPECT_THAT(Keys(Open("backups/e")->List("")), ElementsAre());
}

TEST_F(S3StoreTest, AnObjectIsReplacedAsAWhole) {
  ASSERT_EQ(store_->Put("index", "old", {}), absl::OkStatus());
  const std::string version = store_->Stat("index")->version;
  ASSERT_EQ(store_->Put("index", "newer", {}), absl::OkStatus());
  EXPECT_EQ(*ReadAll(store_.get(), "index"), "newer");
  EXPECT_NE(store_->Stat("index")->version, version);
}

TEST_F(S3StoreTest, EmptyObjectsAreObjects) {
  ASSERT_EQ(store_->Put("empty", "", {}), absl::OkStatus());
  ASSERT_EQ(store_->PutFile("empty-file", WriteFile("empty", ""), {}), absl::OkStatus());
  EXPECT_EQ(*ReadAll(store_.get(), "empty"), "");
  EXPECT_EQ(store_->Stat("empty-file")->size, 0);
}

TEST_F(S3StoreTest, KeysMayHaveAnyCharacter) {
  const std::vector<std::string> keys = {
      "a b",    "a+b", "a%20b", "ä/ö ü", "!'()*", "a=b&c=d", "@:;,$", "~-._",
      "a#b?c.", "雪",  "a\"b",  "<x>",   "a\\b",  "[a]{b}|", "^`",    "a..b",
  };
  for (const std::string& key : keys) {
    ASSERT_EQ(store_->Put(key, key, {}), absl::OkStatus()) << key;
  }
  std::vector<std::string> sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(Keys(store_->List("")), sorted);
  for (const std::string& key : keys) {
    EXPECT_EQ(*ReadAll(store_.get(), key), key);
    EXPECT_EQ(store_->Stat(key)->size, static_cast<int64_t>(key.size()));
    EXPECT_THAT(Keys(store_->List(key)), ::testing::Contains(key));
    ASSERT_EQ(store_->Delete(key), absl::OkStatus()) << key;
  }
  EXPECT_THAT(Keys(store_->List("")), ElementsAre());
}

TEST_F(S3StoreTest, ListsMoreThanOnePage) {
  // s3rver's pages have up to 1,000 keys.
  constexpr int kObjects = 1100;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = t; i < kObjects; i += 4) {
        EXPECT_EQ(store_->Put(absl::StrCat("many/", 10000 + i), "x", {}), absl::OkStatus());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  server_->TakeRequests();
  const std::vector<std::string> keys = Keys(store_->List("many/"));
  ASSERT_EQ(keys.size(), static_cast<size_t>(kObjects));
  for (int i = 0; i < kObjects; ++i) EXPECT_EQ(keys[i], absl::StrCat("many/", 10000 + i));
  EXPECT_EQ(server_->TakeRequests().size(), 2u);
  EXPECT_THAT(Keys(store_->List("many/1109")), ::testing::SizeIs(10));
}

TEST_F(S3StoreTest, WhatIsNotThereIsNotFound) {
  EXPECT_THAT(Keys(store_->List("")), ElementsAre());
  EXPECT_EQ(store_->Stat("x").status().code(), absl::StatusCode::kNotFound);
  const absl::Status read = ReadAll(store_.get(), "x").status();
  EXPECT_EQ(read.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(read.message()), HasSubstr("NoSuchKey"));
  EXPECT_EQ(store_->Delete("x"), absl::OkStatus());
}

TEST_F(S3StoreTest, TheBucketHasToBeThere) {
  bucket_ = "another";
  const std::unique_ptr<ObjectStore> store = Open("a");
  for (const absl::Status& status :
       {store->List("").status(), store->Put("x", "y", {}), store->Delete("x"),
        ReadAll(store.get(), "x").status(),
        store->PutFile("x", WriteFile("big", RandomBytes(300000)), {})}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("s3://another/a"), HasSubstr("NoSuchBucket")));
  }
  EXPECT_EQ(store->Stat("x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(S3StoreTest, WrongCredentialsAreRefusedAtOnce) {
  environment_["AWS_SECRET_ACCESS_KEY"] = "not the secret";
  const std::unique_ptr<ObjectStore> store = Open("a");
  server_->TakeRequests();
  const absl::Status put = store->Put("x", "y", {});
  EXPECT_EQ(put.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(put.message()),
              AllOf(HasSubstr("SignatureDoesNotMatch"), HasSubstr("403"), HasSubstr("s3://"),
                    Not(HasSubstr("not the secret"))));
  EXPECT_EQ(server_->TakeRequests().size(), 1u);
  EXPECT_EQ(store->Stat("x").status().code(), absl::StatusCode::kPermissionDenied);

  environment_["AWS_ACCESS_KEY_ID"] = "NOBODY";
  EXPECT_THAT(std::string(Open("a")->List("").status().message()), HasSubstr("InvalidAccessKeyId"));
  environment_.erase("AWS_ACCESS_KEY_ID");
  EXPECT_THAT(std::string(Open("a")->List("").status().message()),
              HasSubstr("only one of AWS_ACCESS_KEY_ID"));
  environment_.erase("AWS_SECRET_ACCESS_KEY");
  const absl::Status none = Open("a")->List("").status();
  EXPECT_EQ(none.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(none.message()), HasSubstr("there are no AWS credentials"));
}

TEST_F(S3StoreTest, ReadsRanges) {
  const std::string contents = RandomBytes(50000);
  ASSERT_EQ(store_->Put("x", contents, {}), absl::OkStatus());
  for (const auto& [offset, length] : std::vector<std::pair<int64_t, int64_t>>{
           {0, -1}, {0, 1}, {0, 50000}, {1, -1}, {49999, -1}, {49999, 1}, {777, 30000}}) {
    ObjectStore::ReadOptions options;
    options.offset = offset;
    options.length = length;
    const absl::StatusOr<std::string> read = ReadAll(store_.get(), "x", options);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(*read == contents.substr(offset, length < 0 ? std::string::npos : length))
        << offset << " " << length;
  }
  for (const auto& [offset, length] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 50001}, {49999, 2}, {50001, -1}, {60000, 5}}) {
    ObjectStore::ReadOptions options;
    options.offset = offset;
    options.length = length;
    EXPECT_EQ(ReadAll(store_.get(), "x", options).status().code(), absl::StatusCode::kOutOfRange)
        << offset << " " << length;
  }
}

TEST_F(S3StoreTest, ReadsOnlyTheVersionThatIsAskedFor) {
  ASSERT_EQ(store_->Put("x", "old", {}), absl::OkStatus());
  ObjectStore::ReadOptions options;
  options.version = store_->Stat("x")->version;
  EXPECT_EQ(*ReadAll(store_.get(), "x", options), "old");
  ASSERT_EQ(store_->Put("x", "new", {}), absl::OkStatus());
  const absl::Status status = ReadAll(store_.get(), "x", options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(HasReason(status, reason::kObjectChanged)) << status;
}

TEST_F(S3StoreTest, TheSinksErrorIsReturned) {
  ASSERT_EQ(store_->Put("x", "contents", {}), absl::OkStatus());
  server_->TakeRequests();
  const absl::Status status = store_->Read(
      "x", {}, [](absl::string_view) { return absl::UnavailableError("the disk is away"); });
  EXPECT_EQ(status, absl::UnavailableError("the disk is away"));
  EXPECT_EQ(server_->TakeRequests().size(), 1u);
}

TEST_F(S3StoreTest, LargeFilesArePutInParts) {
  const std::string contents = RandomBytes(1234567);
  ObjectStore::PutOptions put;
  put.metadata = {{"sha", "1"}};
  ASSERT_EQ(store_->PutFile("big", WriteFile("big", contents), put), absl::OkStatus());
  EXPECT_TRUE(*ReadAll(store_.get(), "big") == contents);
  EXPECT_EQ(store_->Stat("big")->metadata["sha"], "1");
  EXPECT_THAT(store_->Stat("big")->version, HasSubstr("-13\""));
  const std::vector<S3Server::Request> requests = server_->TakeRequests();
  EXPECT_EQ(Count(requests, "PUT", "partNumber="), 13);
  EXPECT_EQ(Count(requests, "POST", ""), 2);

  // Up to one part goes in one piece.
  ASSERT_EQ(store_->PutFile("small", WriteFile("small", contents.substr(0, 100000)), {}),
            absl::OkStatus());
  EXPECT_EQ(server_->TakeRequests().size(), 1u);
  EXPECT_TRUE(*ReadAll(store_.get(), "small") == contents.substr(0, 100000));
}

TEST_F(S3StoreTest, PartsAreLargerRatherThanMoreThanTenThousand) {
  options_.s3_part_bytes = 10;
  const std::string contents = RandomBytes(100001);
  ASSERT_EQ(Open("")->PutFile("big", WriteFile("big", contents), {}), absl::OkStatus());
  EXPECT_TRUE(*ReadAll(Open("").get(), "big") == contents);
  EXPECT_EQ(Count(server_->TakeRequests(), "PUT", "partNumber="), 1);
}

TEST_F(S3StoreTest, ServerErrorsAreTriedAgain) {
  ASSERT_EQ(store_->Put("x", "contents", {}), absl::OkStatus());
  for (const char* fault :
       {R"({"times": 4, "status": 500})", R"({"times": 4, "status": 503, "code": "SlowDown"})",
        R"({"times": 4, "status": 429, "code": "TooManyRequests"})",
        R"({"times": 4, "status": 502, "body": "<html>Bad gateway"})",
        R"({"times": 4, "status": 400, "code": "RequestTimeout"})"}) {
    const std::vector<std::function<absl::Status()>> calls = {
        [&] { return ReadAll(store_.get(), "x").status(); },
        [&] { return store_->Put("y", "z", {}); },
        [&] { return store_->List("").status(); },
        [&] { return store_->Delete("z"); },
    };
    for (const auto& call : calls) {
      server_->AddFault(fault);
      server_->TakeRequests();
      EXPECT_EQ(call(), absl::OkStatus()) << fault;
      EXPECT_EQ(server_->TakeRequests().size(), 5u) << fault;
      server_->ClearFaults();
    }
  }
  server_->AddFault(R"({"times": 4, "status": 503})");
  EXPECT_EQ(store_->Stat("x").status(), absl::OkStatus());
}

TEST_F(S3StoreTest, GivesUpAfterEnoughAttempts) {
  server_->AddFault(R"({"times": 5, "status": 503, "code": "SlowDown", "message": "too fast"})");
  const absl::Status status = store_->Put("x", "y", {});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("SlowDown: too fast"), HasSubstr("put x"), HasSubstr("503")));
  EXPECT_EQ(server_->TakeRequests().size(), 5u);
  EXPECT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
}

TEST_F(S3StoreTest, ErrorsHaveCodesOfTheirOwn) {
  const std::vector<std::pair<std::string, absl::StatusCode>> errors = {
      {R"({"status": 403, "code": "AccessDenied"})", absl::StatusCode::kPermissionDenied},
      {R"({"status": 400, "code": "ExpiredToken"})", absl::StatusCode::kPermissionDenied},
      {R"({"status": 507, "code": "XMinioStorageFull"})", absl::StatusCode::kResourceExhausted},
      {R"({"status": 501, "code": "NotImplemented"})", absl::StatusCode::kUnimplemented},
      {R"({"status": 400, "code": "InvalidRequest"})", absl::StatusCode::kUnavailable},
      {R"({"status": 404, "code": "NoSuchBucket"})", absl::StatusCode::kNotFound},
  };
  for (const auto& [fault, code] : errors) {
    server_->AddFault(fault);
    server_->TakeRequests();
    EXPECT_EQ(store_->Put("x", "y", {}).code(), code) << fault;
    EXPECT_EQ(server_->TakeRequests().size(), 1u) << fault;
  }
}

TEST_F(S3StoreTest, BytesThatArrivedWrongArePutAgain) {
  const std::string wrong = R"("status": 200, "body": "",
                               "headers": {"etag": "\"5d41402abc4b2a76b9719d911017c592\""})";
  server_->AddFault(absl::StrCat(R"({"method": "PUT", )", wrong, "}"));
  EXPECT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
  EXPECT_EQ(server_->TakeRequests().size(), 2u);
  server_->AddFault(absl::StrCat(R"({"method": "PUT", "times": 5, )", wrong, "}"));
  const absl::Status status = store_->Put("x", "y", {});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("other bytes than were sent"));

  const std::string contents = RandomBytes(300000);
  server_->AddFault(absl::StrCat(R"({"method": "PUT", "contains": "partNumber=2&", )", wrong, "}"));
  EXPECT_EQ(store_->PutFile("big", WriteFile("big", contents), {}), absl::OkStatus());
  EXPECT_TRUE(*ReadAll(store_.get(), "big") == contents);
}

TEST_F(S3StoreTest, CredentialsThatExpiredAreFetchedAgain) {
  std::atomic<int> asked{0};
  rpc::HttpServer::Options options;
  options.listen = "127.0.0.1:0";
  absl::StatusOr<std::unique_ptr<rpc::HttpServer>> role = rpc::HttpServer::Start(
      options, [&](const rpc::HttpRequest&, rpc::HttpServer::Respond respond) {
        ++asked;
        rpc::HttpResponse response;
        response.body = absl::StrCat(R"({"AccessKeyId": ")", server_->access_key_id(),
                                     R"(", "SecretAccessKey": ")", server_->secret_access_key(),
                                     R"(", "Expiration": "2999-01-01T00:00:00Z"})");
        respond(response);
      });
  ASSERT_TRUE(role.ok()) << role.status();
  environment_.erase("AWS_ACCESS_KEY_ID");
  environment_.erase("AWS_SECRET_ACCESS_KEY");
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://" + (*role)->address();
  store_ = Open("");
  ASSERT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
  ASSERT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
  EXPECT_EQ(asked.load(), 1);
  server_->AddFault(R"({"status": 400, "code": "ExpiredToken"})");
  EXPECT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
  EXPECT_EQ(asked.load(), 2);
  (*role)->Shutdown(absl::Seconds(10));
}

TEST_F(S3StoreTest, RedirectsNameTheRegion) {
  server_->AddFault(R"({"status": 301, "code": "PermanentRedirect",
                        "headers": {"x-amz-bucket-region": "eu-west-1"}})");
  const absl::Status redirected = store_->List("").status();
  EXPECT_EQ(redirected.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(redirected.message()),
              AllOf(HasSubstr("the bucket is in the region eu-west-1, not in us-east-1"),
                    HasSubstr("--s3_region")));

  options_.s3_region = "ap-south-1";
  EXPECT_THAT(std::string(Open("")->List("").status().message()),
              HasSubstr("the bucket is in the region us-east-1, not in ap-south-1"));
}

TEST_F(S3StoreTest, ConnectionsCutInTheMiddleOfReadingAreGoneOnWith) {
  const std::string contents = RandomBytes(3000000);
  options_.s3_part_bytes = 10000000;
  store_ = Open("");
  ASSERT_EQ(store_->Put("x", contents, {}), absl::OkStatus());
  // More often than there are attempts without progress.
  server_->AddFault(R"({"method": "GET", "times": 8, "cutResponseAfter": 300000})");
  server_->TakeRequests();
  EXPECT_TRUE(*ReadAll(store_.get(), "x") == contents);
  const std::vector<S3Server::Request> requests = server_->TakeRequests();
  EXPECT_EQ(requests.size(), 9u);
  EXPECT_EQ(requests[1].headers.at("range"), "bytes=300000-");
  EXPECT_EQ(requests[1].headers.at("if-match"), store_->Stat("x")->version);

  server_->AddFault(R"({"method": "GET", "times": 3, "cutResponseAfter": 100000})");
  ObjectStore::ReadOptions options;
  options.offset = 1000000;
  options.length = 999999;
  EXPECT_TRUE(*ReadAll(store_.get(), "x", options) == contents.substr(1000000, 999999));
}

TEST_F(S3StoreTest, ConnectionsThatNeverGetAnywhereAreGivenUp) {
  ASSERT_EQ(store_->Put("x", RandomBytes(100000), {}), absl::OkStatus());
  server_->AddFault(R"({"method": "GET", "times": 100, "cutResponseAfter": 0})");
  server_->TakeRequests();
  EXPECT_EQ(ReadAll(store_.get(), "x").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_->TakeRequests().size(), 5u);
}

TEST_F(S3StoreTest, AnObjectThatChangesWhileItIsReadIsNotMixed) {
  ASSERT_EQ(store_->Put("x", std::string(300000, 'a'), {}), absl::OkStatus());
  server_->AddFault(R"({"method": "GET", "cutResponseAfter": 100000})");
  std::string read;
  bool replaced = false;
  const absl::Status status = store_->Read("x", {}, [&](absl::string_view piece) {
    absl::StrAppend(&read, piece);
    if (!replaced) {
      replaced = true;
      return store_->Put("x", std::string(300000, 'b'), {});
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(HasReason(status, reason::kObjectChanged)) << status;
  EXPECT_EQ(read.find('b'), std::string::npos);
}

TEST_F(S3StoreTest, ConnectionsCutInTheMiddleOfWritingAreTriedAgain) {
  const std::string contents = RandomBytes(3000000);
  options_.s3_part_bytes = 10000000;
  store_ = Open("");
  server_->AddFault(R"({"method": "PUT", "times": 2, "cutRequestAfter": 1000000})");
  ASSERT_EQ(store_->Put("x", contents, {}), absl::OkStatus());
  EXPECT_TRUE(*ReadAll(store_.get(), "x") == contents);
}

TEST_F(S3StoreTest, OnlyThePartThatFailedIsPutAgain) {
  const std::string contents = RandomBytes(600000);
  server_->AddFault(R"({"method": "PUT", "contains": "partNumber=3&", "times": 2, "status": 500})");
  server_->AddFault(
      R"({"method": "PUT", "contains": "partNumber=5&", "times": 1, "cutRequestAfter": 5000})");
  ASSERT_EQ(store_->PutFile("big", WriteFile("big", contents), {}), absl::OkStatus());
  const std::vector<S3Server::Request> requests = server_->TakeRequests();
  for (int part = 1; part <= 6; ++part) {
    EXPECT_EQ(Count(requests, "PUT", absl::StrCat("partNumber=", part, "&")), part == 3   ? 3
                                                                              : part == 5 ? 2
                                                                                          : 1)
        << part;
  }
  EXPECT_TRUE(*ReadAll(store_.get(), "big") == contents);
}

TEST_F(S3StoreTest, AnUploadThatFailsIsAbortedAndLeavesTheOldObject) {
  ASSERT_EQ(store_->Put("big", "old", {}), absl::OkStatus());
  server_->AddFault(
      R"({"method": "PUT", "contains": "partNumber=4&", "times": 99, "status": 500})");
  server_->TakeRequests();
  const absl::Status status = store_->PutFile("big", WriteFile("big", RandomBytes(600000)), {});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("part 4"));
  EXPECT_EQ(Count(server_->TakeRequests(), "DELETE", "uploadId="), 1);
  EXPECT_EQ(*ReadAll(store_.get(), "big"), "old");
}

TEST_F(S3StoreTest, ASuccessThatIsAnErrorIsAnError) {
  const std::string path = WriteFile("big", RandomBytes(300000));
  server_->AddFault(R"({"method": "POST", "contains": "uploadId=", "status": 200,
                        "body": "<Error><Code>InternalError</Code></Error>"})");
  EXPECT_EQ(store_->PutFile("retried", path, {}), absl::OkStatus());
  EXPECT_EQ(store_->Stat("retried")->size, 300000);

  server_->AddFault(R"({"method": "POST", "contains": "uploadId=", "status": 200,
                        "body": "<Error><Code>AccessDenied</Code></Error>"})");
  EXPECT_FALSE(store_->PutFile("refused", path, {}).ok());
  EXPECT_EQ(store_->Stat("refused").status().code(), absl::StatusCode::kNotFound);

  server_->AddFault(R"({"method": "POST", "contains": "uploadId=", "status": 200, "body": ""})");
  EXPECT_EQ(store_->PutFile("silent", path, {}).code(), absl::StatusCode::kUnavailable);
}

TEST_F(S3StoreTest, AnUploadWhoseLastAnswerWasLostHasSucceeded) {
  server_->AddFault(R"({"method": "POST", "contains": "uploadId=", "cutResponseAfter": 0})");
  const std::string contents = RandomBytes(300000);
  EXPECT_EQ(store_->PutFile("big", WriteFile("big", contents), {}), absl::OkStatus());
  EXPECT_TRUE(*ReadAll(store_.get(), "big") == contents);
}

TEST_F(S3StoreTest, WhatIsLeftUnfinishedIsRemoved) {
  // An upload that cannot be aborted.
  server_->AddFault(R"({"method": "PUT", "contains": "partNumber=", "times": 99, "status": 500})");
  server_->AddFault(R"({"method": "DELETE", "times": 99, "status": 500})");
  const std::string path = WriteFile("big", RandomBytes(300000));
  EXPECT_FALSE(store_->PutFile("big", path, {}).ok());
  EXPECT_FALSE(Open("elsewhere")->PutFile("big", path, {}).ok());
  server_->ClearFaults();

  server_->TakeRequests();
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now() - absl::Hours(1)), absl::OkStatus());
  EXPECT_EQ(Count(server_->TakeRequests(), "DELETE", ""), 0);
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now() + absl::Hours(1)), absl::OkStatus());
  std::vector<S3Server::Request> requests = server_->TakeRequests();
  EXPECT_EQ(Count(requests, "DELETE", "/backups/eu/big?uploadId="), 1);
  EXPECT_EQ(Count(requests, "DELETE", ""), 1);
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now() + absl::Hours(1)), absl::OkStatus());
  EXPECT_EQ(Count(server_->TakeRequests(), "DELETE", ""), 0);

  server_->AddFault(R"({"method": "GET", "status": 501, "code": "NotImplemented"})");
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now()), absl::OkStatus());
}

TEST_F(S3StoreTest, StalledTransfersAreBrokenOffAndTriedAgain) {
  options_.stall_timeout = absl::Milliseconds(200);
  options_.s3_part_bytes = 10000000;
  store_ = Open("");
  const std::string contents = RandomBytes(1000000);
  server_->AddFault(R"({"method": "PUT", "stallRequest": true})");
  ASSERT_EQ(store_->Put("x", contents, {}), absl::OkStatus());
  server_->AddFault(R"({"method": "GET", "times": 2, "stallResponseAfter": 400000})");
  EXPECT_TRUE(*ReadAll(store_.get(), "x") == contents);
  server_->AddFault(R"({"method": "GET", "times": 5, "stallResponseAfter": 0})");
  const absl::Status status = ReadAll(store_.get(), "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("stalled"));
}

TEST_F(S3StoreTest, ASlowSinkIsNoStall) {
  options_.stall_timeout = absl::Milliseconds(50);
  store_ = Open("");
  ASSERT_EQ(store_->Put("x", RandomBytes(100000), {}), absl::OkStatus());
  server_->TakeRequests();
  std::string read;
  ASSERT_EQ(store_->Read("x", {},
                         [&read](absl::string_view piece) {
                           absl::SleepFor(absl::Milliseconds(120));
                           absl::StrAppend(&read, piece);
                           return absl::OkStatus();
                         }),
            absl::OkStatus());
  EXPECT_EQ(read.size(), 100000u);
  EXPECT_EQ(server_->TakeRequests().size(), 1u);
}

TEST_F(S3StoreTest, AServerThatIsAwayIsUnavailable) {
  rpc::testing::TcpProxy proxy(static_cast<uint16_t>(server_->port()));
  options_.s3_endpoint = "http://" + proxy.address();
  store_ = Open("");
  ASSERT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
  proxy.Cut();
  const absl::Status status = store_->Put("x", "z", {});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(proxy.address()));
  proxy.Restore();
  EXPECT_EQ(*ReadAll(store_.get(), "x"), "y");
}

TEST_F(S3StoreTest, CancelEndsWhatIsUnderWay) {
  server_->AddFault(R"({"times": 99, "stallRequest": true})");
  absl::Status put;
  absl::Status read;
  absl::Status file;
  const std::string path = WriteFile("big", RandomBytes(300000));
  std::thread putting([&] { put = store_->Put("x", "z", {}); });
  std::thread reading([&] { read = ReadAll(store_.get(), "x").status(); });
  std::thread uploading([&] { file = store_->PutFile("f", path, {}); });
  for (size_t seen = 0; seen < 3; seen += server_->TakeRequests().size()) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  store_->Cancel();
  putting.join();
  reading.join();
  uploading.join();
  for (const absl::Status& status : {put, read, file, store_->List("").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  }
  store_->Cancel();
}

TEST_F(S3StoreTest, CancelEndsAPause) {
  options_.min_retry_pause = absl::Hours(1);
  options_.max_retry_pause = absl::Hours(1);
  store_ = Open("");
  server_->AddFault(R"({"status": 503})");
  std::thread cancelling([&] {
    while (server_->TakeRequests().empty()) absl::SleepFor(absl::Milliseconds(1));
    store_->Cancel();
  });
  EXPECT_EQ(store_->Put("x", "y", {}).code(), absl::StatusCode::kCancelled);
  cancelling.join();
}

TEST_F(S3StoreTest, SessionTokensAreSent) {
  S3Server::Options server;
  server.session_token = "a token/of+the session==";
  Start(server);
  EXPECT_EQ(store_->Put("x", "y", {}), absl::OkStatus());
  environment_["AWS_SESSION_TOKEN"] = "another";
  const absl::Status status = Open("")->Put("x", "y", {});
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("InvalidToken"));
}

TEST_F(S3StoreTest, ServersAreVerified) {
  const rpc::testing::CertificateAuthority ca;
  const rpc::testing::CertificateAuthority other("Another CA");
  const rpc::testing::Certificate certificate = ca.IssueServer();
  S3Server::Options server;
  server.certificate_file = WriteFile("server.pem", certificate.cert);
  server.key_file = WriteFile("server.key", certificate.key);
  Start(server);
  options_.ca_file = WriteFile("ca.pem", ca.cert());
  EXPECT_EQ(Open("")->Put("x", "y", {}), absl::OkStatus());
  EXPECT_EQ(*ReadAll(Open("").get(), "x"), "y");

  // The system's authorities do not know this one.
  for (const std::string& file :
       {WriteFile("other.pem", other.cert()), std::string(), std::string("/nowhere/ca.pem")}) {
    options_.ca_file = file;
    server_->TakeRequests();
    const absl::Status status = Open("")->Put("x", "y", {});
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("certificate")) << file;
    EXPECT_EQ(server_->TakeRequests().size(), 0u);
  }
  EXPECT_FALSE(store_->Put("x", "y", {}).ok());
}

TEST_F(S3StoreTest, KeysAndMetadataThatCannotBeSentAreRefused) {
  EXPECT_EQ(store_->Put("", "x", {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Stat("a/../b").status().code(), absl::StatusCode::kInvalidArgument);
  for (const std::map<std::string, std::string>& metadata :
       std::vector<std::map<std::string, std::string>>{{{"a", "1"}, {"a-b", "2"}},
                                                       {{"a", "1"}, {"a2", "2"}},
                                                       {{"a", ""}},
                                                       {{"a", "line\nbreak"}},
                                                       {{"a b", "x"}}}) {
    ObjectStore::PutOptions put;
    put.metadata = metadata;
    EXPECT_EQ(store_->Put("x", "y", put).code(), absl::StatusCode::kInvalidArgument)
        << metadata.begin()->first;
  }
}

TEST(OpenS3StoreTest, OptionsHaveToMakeSense) {
  const AwsEnvironment nothing = [](const char*) { return std::string(); };
  StoreUrl url;
  url.kind = StoreUrl::Kind::kS3;
  url.authority = "bucket";
  const auto code = [&](const std::function<void(StoreOptions*)>& change) {
    StoreOptions options;
    change(&options);
    return OpenS3Store(url, options, nothing).status().code();
  };
  EXPECT_EQ(code([](StoreOptions*) {}), absl::StatusCode::kOk);
  constexpr absl::StatusCode kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code([](StoreOptions* o) { o->s3_part_bytes = 0; }), kBad);
  EXPECT_EQ(code([](StoreOptions* o) { o->s3_parallel_parts = 0; }), kBad);
  EXPECT_EQ(code([](StoreOptions* o) { o->max_attempts = 0; }), kBad);
  EXPECT_EQ(code([](StoreOptions* o) { o->s3_endpoint = "localhost:9000"; }), kBad);
  EXPECT_EQ(code([](StoreOptions* o) { o->s3_endpoint = "http://u:p@localhost"; }), kBad);
  EXPECT_EQ(code([](StoreOptions* o) { o->s3_region = "eu west"; }), kBad);
  url.authority = "a/b";
  EXPECT_EQ(code([](StoreOptions*) {}), kBad);
}

}  // namespace
}  // namespace ctlstore::object_store
