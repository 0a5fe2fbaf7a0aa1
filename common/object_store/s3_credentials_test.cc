#include "common/object_store/s3_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <map>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/rpc/http_server.h"

namespace ctlstore::object_store {
namespace {

using rpc::HttpRequest;
using rpc::HttpResponse;
using rpc::HttpServer;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now.load(); }
  bool SleepOrStop(absl::Duration, absl::Notification*) override { return false; }
  std::atomic<absl::Time> now{absl::FromUnixSeconds(1800000000)};
};

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
  std::ofstream(path) << text;
  return path;
}

// The machine's services, as far as they are asked for keys.
class S3CredentialsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(
        ServerOptions(), [this](const HttpRequest& request, HttpServer::Respond respond) {
          respond(Answer(request));
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    endpoint_ = "http://" + server_->address();
    environment_ = {{"AWS_CONFIG_FILE", "/dev/null"},
                    {"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"},
                    {"AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint_ + "/"}};
  }
  void TearDown() override { server_->Shutdown(absl::Seconds(10)); }

  static HttpServer::Options ServerOptions() {
    HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    return options;
  }

  HttpResponse Answer(const HttpRequest& request) {
    absl::MutexLock lock(&mutex_);
    asked_.push_back(absl::StrCat(request.method(), " ", request.path()));
    for (const char* name :
         {"authorization", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"}) {
      if (request.header(name).has_value()) {
        absl::StrAppend(&asked_.back(), " ", *request.header(name));
      }
    }
    if (!request.body().empty()) absl::StrAppend(&asked_.back(), " ", request.body());
    HttpResponse response;
    const auto found = answers_.find(std::string(request.path()));
    if (found == answers_.end()) {
      response.status = 404;
      response.body = "the secret";
    } else {
      response = found->second;
    }
    return response;
  }

  void SetAnswer(const std::string& path, const std::string& body, int status = 200) {
    absl::MutexLock lock(&mutex_);
    answers_[path].body = body;
    answers_[path].status = status;
  }
  // As the services write it, with keys that last `lifetime` from the clock's time on.
  void SetKeys(const std::string& path, const std::string& id, absl::Duration lifetime) {
    SetAnswer(path, absl::StrCat(R"({"Code":"Success","AccessKeyId":")", id,
                                 R"(","SecretAccessKey":"the secret","Token":"token of )", id,
                                 R"(","Expiration":")",
                                 absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", clock_.Now() + lifetime,
                                                  absl::UTCTimeZone()),
                                 R"("})"));
  }
  void SetInstance(const std::string& id, absl::Duration lifetime) {
    SetAnswer("/latest/api/token", "session");
    SetAnswer("/latest/meta-data/iam/security-credentials/", "role\n");
    SetKeys("/latest/meta-data/iam/security-credentials/role", id, lifetime);
  }
  std::vector<std::string> Asked() {
    absl::MutexLock lock(&mutex_);
    return std::move(asked_);
  }

  std::unique_ptr<S3Credentials> New() {
    const std::map<std::string, std::string>* environment = &environment_;
    return std::make_unique<S3Credentials>(
        [environment](const char* name) {
          const auto found = environment->find(name);
          return found != environment->end() ? found->second : std::string();
        },
        "eu-west-1", "", &clock_);
  }
  // "id secret token", or the error.
  std::string Get() { return Show(New()->Get()); }
  static std::string Show(const absl::StatusOr<AwsCredentials>& credentials) {
    if (!credentials.ok()) return credentials.status().ToString();
    return absl::StrJoin(
        {credentials->access_key_id, credentials->secret_access_key, credentials->session_token},
        "|");
  }

  SetClock clock_;
  std::string endpoint_;
  std::map<std::string, std::string> environment_;
  absl::Mutex mutex_;
  std::map<std::string, HttpResponse> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> server_;
};

TEST_F(S3CredentialsTest, TheEnvironmentComesFirst) {
  environment_["AWS_SHARED_CREDENTIALS_FILE"] =
      WriteFile("credentials", "[default]\naws_access_key_id = file\naws_secret_access_key = fs\n");
  environment_["AWS_ACCESS_KEY_ID"] = "env";
  EXPECT_THAT(Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("only one of")));
  environment_["AWS_SECRET_ACCESS_KEY"] = "es";
  EXPECT_EQ(Get(), "env|es|");
  environment_["AWS_SESSION_TOKEN"] = "et";
  EXPECT_EQ(Get(), "env|es|et");
  EXPECT_THAT(Asked(), ElementsAre());
}

TEST_F(S3CredentialsTest, FilesAreReadAgain) {
  const std::string path = WriteFile(
      "credentials", "[a]\naws_access_key_id=1\naws_secret_access_key=2\naws_session_token=3\n");
  environment_["AWS_SHARED_CREDENTIALS_FILE"] = path;
  environment_["AWS_PROFILE"] = "a";
  const std::unique_ptr<S3Credentials> credentials = New();
  EXPECT_EQ(Show(credentials->Get()), "1|2|3");
  WriteFile("credentials", "[a]\naws_access_key_id=4\naws_secret_access_key=5\n");
  EXPECT_EQ(Show(credentials->Get()), "4|5|");
  WriteFile("credentials", "[b]\n");
  EXPECT_THAT(Show(credentials->Get()), HasSubstr("AWS_PROFILE names the profile \"a\""));
}

TEST_F(S3CredentialsTest, WhatIsNotSupportedSaysSo) {
  environment_["AWS_CONFIG_FILE"] =
      WriteFile("config", "[default]\ncredential_process = /bin/echo the secret\n");
  EXPECT_THAT(Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("credential_process"),
                           Not(HasSubstr("the secret"))));
}

TEST_F(S3CredentialsTest, ContainersAndPodsAreAsked) {
  SetKeys("/keys", "pod", absl::Hours(1));
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = endpoint_ + "/keys";
  EXPECT_EQ(Get(), "pod|the secret|token of pod");
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "plain";
  EXPECT_EQ(Get(), "pod|the secret|token of pod");
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = WriteFile("token", "from-file\n");
  EXPECT_EQ(Get(), "pod|the secret|token of pod");
  EXPECT_THAT(Asked(), ElementsAre("GET /keys", "GET /keys plain", "GET /keys from-file"));
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/nowhere/token";
  EXPECT_THAT(Get(), HasSubstr("/nowhere/token"));
}

TEST_F(S3CredentialsTest, TokensGoToNoOtherMachine) {
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "plain";
  for (const char* url : {"http://10.0.0.1/keys", "http://127.0.0.1.example.com/keys",
                          "ftp://127.0.0.1/", "http://localhost@10.0.0.1/"}) {
    environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_THAT(Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("neither https"))) << url;
  }
}

TEST_F(S3CredentialsTest, AnInstanceHasARole) {
  SetInstance("instance", absl::Hours(6));
  EXPECT_EQ(Get(), "instance|the secret|token of instance");
  EXPECT_THAT(Asked(), ElementsAre("PUT /latest/api/token 300",
                                   "GET /latest/meta-data/iam/security-credentials/ session",
                                   "GET /latest/meta-data/iam/security-credentials/role session"));
  environment_["AWS_EC2_METADATA_DISABLED"] = "TRUE";
  EXPECT_THAT(Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("AWS_EC2_METADATA_DISABLED")));
  EXPECT_THAT(Asked(), ElementsAre());
}

TEST_F(S3CredentialsTest, WithoutAnyTheErrorSaysWhereWasLooked) {
  SetAnswer("/latest/api/token", "session");
  EXPECT_THAT(Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("the instance has no role"),
                           Not(HasSubstr("the secret"))));
  environment_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1";
  EXPECT_THAT(Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("none in the environment"),
                           HasSubstr("does not answer")));
}

TEST_F(S3CredentialsTest, ServicesInTroubleAreUnavailable) {
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = endpoint_ + "/keys";
  EXPECT_THAT(
      Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("404"), Not(HasSubstr("the secret"))));
  for (const char* body : {"", "{}", "[]", "the secret", R"({"AccessKeyId":1})",
                           R"({"AccessKeyId":"a","SecretAccessKey":""})"}) {
    SetAnswer("/keys", body);
    EXPECT_THAT(Get(), AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("without an access key")));
  }
  SetAnswer("/keys", "the secret", 503);
  EXPECT_THAT(Get(),
              AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("503"), Not(HasSubstr("the secret"))));
}

TEST_F(S3CredentialsTest, KeysAreKeptUntilTheyAreAboutToExpire) {
  SetInstance("first", absl::Hours(6));
  const std::unique_ptr<S3Credentials> credentials = New();
  EXPECT_EQ(credentials->Get()->access_key_id, "first");
  clock_.now = clock_.Now() + absl::Hours(5);
  SetInstance("second", absl::Hours(6));
  Asked();
  EXPECT_EQ(credentials->Get()->access_key_id, "first");
  EXPECT_THAT(Asked(), ElementsAre());
  clock_.now = clock_.Now() + absl::Minutes(56);
  EXPECT_EQ(credentials->Get()->access_key_id, "second");
}

TEST_F(S3CredentialsTest, KeysThatCannotBeRenewedAreUsedToTheirEnd) {
  SetInstance("first", absl::Hours(1));
  const std::unique_ptr<S3Credentials> credentials = New();
  EXPECT_EQ(credentials->Get()->access_key_id, "first");
  SetAnswer("/latest/api/token", "", 500);
  clock_.now = clock_.Now() + absl::Minutes(58);
  EXPECT_EQ(credentials->Get()->access_key_id, "first");
  clock_.now = clock_.Now() + absl::Minutes(3);
  EXPECT_EQ(credentials->Get().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(S3CredentialsTest, KeysThatWereRefusedAreFetchedAgain) {
  SetInstance("first", absl::Hours(6));
  const std::unique_ptr<S3Credentials> credentials = New();
  const AwsCredentials first = *credentials->Get();
  SetInstance("second", absl::Hours(6));
  credentials->Invalidate(first);
  EXPECT_EQ(credentials->Get()->access_key_id, "second");
  // Somebody else was told the same, later.
  SetInstance("third", absl::Hours(6));
  credentials->Invalidate(first);
  EXPECT_EQ(credentials->Get()->access_key_id, "second");
}

TEST_F(S3CredentialsTest, AWebIdentityIsExchanged) {
  SetAnswer("/", absl::StrCat(R"(<AssumeRoleWithWebIdentityResponse
      xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
      <Credentials><AccessKeyId>web</AccessKeyId><SecretAccessKey>the secret</SecretAccessKey>
      <SessionToken>st</SessionToken><Expiration>)",
                              absl::FormatTime(absl::RFC3339_sec, clock_.Now() + absl::Hours(1),
                                               absl::UTCTimeZone()),
                              R"(</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
      </AssumeRoleWithWebIdentityResponse>)"));
  environment_["AWS_ENDPOINT_URL_STS"] = endpoint_;
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = WriteFile("web", "a.b/c\n");
  environment_["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/r";
  EXPECT_EQ(Get(), "web|the secret|st");
  EXPECT_THAT(Asked(), ElementsAre("POST / Action=AssumeRoleWithWebIdentity&Version=2011-06-15&"
                                   "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
                                   "RoleSessionName=ctlstore&WebIdentityToken=a.b%2Fc"));
  SetAnswer("/", "<ErrorResponse>the secret</ErrorResponse>", 403);
  EXPECT_THAT(
      Get(), AllOf(HasSubstr("PERMISSION_DENIED"), HasSubstr("403"), Not(HasSubstr("the secret"))));
  SetAnswer("/", "<a/>");
  EXPECT_THAT(Get(), HasSubstr("UNAVAILABLE"));
}

TEST_F(S3CredentialsTest, ManyMayAskAtOnce) {
  SetInstance("instance", absl::Hours(6));
  const std::unique_ptr<S3Credentials> credentials = New();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&credentials] {
      for (int round = 0; round < 20; ++round) {
        const absl::StatusOr<AwsCredentials> got = credentials->Get();
        EXPECT_TRUE(got.ok()) << got.status();
        if (round % 10 == 0) credentials->Invalidate(*got);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  credentials->Cancel();
  credentials->Invalidate(*credentials->Get());
}

}  // namespace
}  // namespace ctlstore::object_store
