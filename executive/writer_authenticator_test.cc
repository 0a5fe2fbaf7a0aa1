#include "executive/writer_authenticator.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/ctldb/writers.h"
#include "common/schema/errors.h"
#include "executive/executive_metrics.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/manual_clock.h"
#include "executive/testing/slow_hash_counter.h"
#include "executive/testing/test_ctldb.h"
#include "executive/writer_secrets.h"

namespace ctlstore::executive {
namespace {

using ::ctlstore::ctldb::Connection;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHost[] = "10.0.0.1";
const Credentials kRight = {"writer", "open sesame"};
const Credentials kWrong = {"writer", "open says me"};

// The lines about writers logged while it lives.
class LogCapture : public google::LogSink {
 public:
  LogCapture() { google::AddLogSink(this); }
  ~LogCapture() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    absl::MutexLock lock(&mutex_);
    const std::string line(message, size);
    if (absl::StartsWith(line, "event=writer_")) lines_.push_back(line);
  }
  std::vector<std::string> lines() {
    absl::MutexLock lock(&mutex_);
    return lines_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> lines_;
};

class WriterAuthenticatorTest : public ::testing::TestWithParam<TestCtldb::Kind> {
 protected:
  WriterAuthenticatorTest() : ctldb_(GetParam()), connection_(ctldb_.Connect()) { Restart(); }

  // As a new process: nothing is remembered.
  void Restart() {
    authenticator_ = std::make_unique<WriterAuthenticator>(options_, &clock_, &metrics_);
  }

  absl::Status Check(const Credentials& credentials, absl::string_view peer = kHost) {
    return authenticator_->Check(credentials, peer, connection_.get());
  }
  absl::Status Register(const Credentials& credentials, bool* added) {
    return authenticator_->Register(credentials, kHost, connection_.get(), added);
  }
  void MustRegister(const Credentials& credentials) {
    bool added = false;
    const absl::Status status = Register(credentials, &added);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(added);
  }
  std::string StoredHash(absl::string_view writer = "writer") {
    return (*ctldb::ReadWriter(connection_.get(), writer))->secret_hash;
  }
  void Store(const std::string& stored_hash, absl::string_view writer = "writer") {
    const absl::StatusOr<int64_t> changed = connection_->Execute(
        "UPDATE mutators SET secret = ? WHERE writer = ?", {stored_hash, writer});
    ASSERT_TRUE(changed.ok() && *changed == 1) << changed.status();
  }
  // How often secrets were looked at.
  double Checked(const std::string& from, const std::string& result) {
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      if (family.name != "ctlstore_executive_secrets_checked_total") continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        bool from_matches = false;
        bool result_matches = false;
        for (const prometheus::ClientMetric::Label& label : metric.label) {
          from_matches |= label.name == "from" && label.value == from;
          result_matches |= label.name == "result" && label.value == result;
        }
        if (from_matches && result_matches) return metric.counter.value;
      }
    }
    return 0;
  }

  static void ExpectBadCredentials(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
    EXPECT_EQ(ErrorReason(status), reason::kBadCredentials);
    EXPECT_EQ(status.message(), "the writer is not known or the secret is not its own");
  }
  static void ExpectThrottled(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(ErrorReason(status), reason::kTooManyFailures);
    EXPECT_TRUE(RetryDelay(status).has_value());
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("open")));
  }

  TestCtldb ctldb_;
  std::unique_ptr<Connection> connection_;
  ManualClock clock_;
  prometheus::Registry registry_;
  ExecutiveMetrics metrics_{&registry_};
  WriterAuthenticator::Options options_;
  std::unique_ptr<WriterAuthenticator> authenticator_;
};

INSTANTIATE_TEST_SUITE_P(BothKinds, WriterAuthenticatorTest,
                         ::testing::Values(TestCtldb::Kind::kMariadb, TestCtldb::Kind::kSqlite),
                         [](const ::testing::TestParamInfo<TestCtldb::Kind>& info) {
                           return KindName(info.param);
                         });

TEST_P(WriterAuthenticatorTest, RegistersAWriterOnceWithASaltedSlowHash) {
  bool added = false;
  ASSERT_TRUE(Register(kRight, &added).ok());
  EXPECT_TRUE(added);
  EXPECT_THAT(StoredHash(), ::testing::StartsWith("$scrypt$"));
  EXPECT_TRUE(*SecretMatches(kRight.secret, StoredHash()));
  EXPECT_TRUE(authenticator_->IsRemembered(kRight));

  const std::string stored_hash = StoredHash();
  ASSERT_TRUE(Register(kRight, &added).ok());
  EXPECT_FALSE(added);
  Restart();
  ASSERT_TRUE(Register(kRight, &added).ok());
  EXPECT_FALSE(added);
  EXPECT_EQ(StoredHash(), stored_hash);

  const absl::Status status = Register(kWrong, &added);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_EQ(ErrorReason(status), reason::kWriterDiffers);
  EXPECT_FALSE(added);
  EXPECT_EQ(StoredHash(), stored_hash);
}

TEST_P(WriterAuthenticatorTest, TakesTheRightSecretOnly) {
  MustRegister(kRight);
  Restart();
  EXPECT_TRUE(Check(kRight).ok());
  for (const Credentials& wrong :
       std::vector<Credentials>{kWrong, {"writer", StoredHash()}, {"writer", "open sesame "}}) {
    ExpectBadCredentials(Check(wrong));
    EXPECT_FALSE(authenticator_->IsRemembered(wrong));
  }
}

TEST_P(WriterAuthenticatorTest, AnUnknownWriterGetsTheSameAnswerAfterTheSameWork) {
  MustRegister(kRight);
  for (const Credentials& wrong : std::vector<Credentials>{kWrong,
                                                           {"nobody", "open sesame"},
                                                           {"Writer", "open sesame"},
                                                           {"writer ", "open sesame"}}) {
    const SlowHashCounter slow;
    ExpectBadCredentials(Check(wrong));
    EXPECT_EQ(slow.count(), 1) << wrong.writer;
  }
}

TEST_P(WriterAuthenticatorTest, NoSecretMatchesAStoredHashThatIsNone) {
  MustRegister(kRight);
  for (const char* stored_hash : {"", "open sesame", "$scrypt$ln=14,r=8,p=1$$"}) {
    Restart();
    Store(stored_hash);
    const SlowHashCounter slow;
    ExpectBadCredentials(Check(kRight));
    EXPECT_EQ(slow.count(), 1) << stored_hash;
    bool added = false;
    EXPECT_EQ(ErrorReason(Register(kRight, &added)), reason::kWriterDiffers) << stored_hash;
    EXPECT_EQ(StoredHash(), stored_hash);
  }
}

TEST_P(WriterAuthenticatorTest, RefusesWhatNoWriterCanHaveWithoutAskingTheCtldb) {
  const Faults faults = {nullptr, [](absl::string_view) { return absl::InternalError("asked"); },
                         nullptr};
  std::unique_ptr<Connection> connection = WithFaults(ctldb_.Connect(), &faults);
  for (const Credentials& credentials :
       std::vector<Credentials>{{"", ""},
                                {"ab", "secret"},
                                {std::string(51, 'w'), "secret"},
                                {std::string("wri\0ter", 7), "secret"},
                                {"wri\xFFter", "secret"},
                                {"writer", ""},
                                {"writer", std::string(101, 's')}}) {
    for (int i = 0; i < 10; ++i) {
      ExpectBadCredentials(authenticator_->Check(credentials, kHost, connection.get()));
    }
  }
}

TEST_P(WriterAuthenticatorTest, ARightSecretCostsOneSlowHash) {
  MustRegister(kRight);
  Restart();
  const SlowHashCounter slow;
  EXPECT_FALSE(authenticator_->IsRemembered(kRight));
  EXPECT_TRUE(Check(kRight).ok());
  EXPECT_TRUE(authenticator_->IsRemembered(kRight));
  EXPECT_FALSE(authenticator_->IsRemembered(kWrong));
  // Also when the ctldb is asked again, as long as nothing has changed there.
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(options_.remember);
    EXPECT_FALSE(authenticator_->IsRemembered(kRight));
    EXPECT_TRUE(Check(kRight).ok());
    EXPECT_TRUE(authenticator_->IsRemembered(kRight));
    bool added = false;
    EXPECT_TRUE(Register(kRight, &added).ok());
  }
  EXPECT_EQ(slow.count(), 1);
}

TEST_P(WriterAuthenticatorTest, ARememberedSecretIsTakenWithoutTheCtldb) {
  MustRegister(kRight);
  const Faults faults = {nullptr, [](absl::string_view) { return absl::InternalError("asked"); },
                         nullptr};
  std::unique_ptr<Connection> connection = WithFaults(ctldb_.Connect(), &faults);
  EXPECT_TRUE(authenticator_->Check(kRight, kHost, connection.get()).ok());
  // A ctldb that cannot be asked is no wrong secret.
  clock_.Advance(options_.remember);
  EXPECT_EQ(authenticator_->Check(kRight, kHost, connection.get()).code(),
            absl::StatusCode::kInternal);
  EXPECT_FALSE(authenticator_->IsRemembered(kRight));
}

TEST_P(WriterAuthenticatorTest, AChangeInTheCtldbIsSeenAfterAWhile) {
  MustRegister(kRight);
  Store(*HashSecret(kWrong.secret));
  EXPECT_TRUE(Check(kRight).ok());
  clock_.Advance(options_.remember);
  ExpectBadCredentials(Check(kRight));
  EXPECT_TRUE(Check(kWrong).ok());
  EXPECT_FALSE(authenticator_->IsRemembered(kRight));
  ASSERT_TRUE(connection_->Execute("DELETE FROM mutators").ok());
  EXPECT_TRUE(Check(kWrong).ok());
  clock_.Advance(options_.remember);
  ExpectBadCredentials(Check(kWrong));
  // It may be registered again at once, although it is remembered.
  MustRegister(kWrong);
}

TEST_P(WriterAuthenticatorTest, AGoExecutivesHashIsTakenAndReplaced) {
  MustRegister(kRight);
  ASSERT_TRUE(ctldb::WriteCookie(connection_.get(), "writer", "cookie").ok());
  const std::string go_hash = GoSecretHash(kRight.secret);
  for (const bool by_registering : {false, true}) {
    Store(go_hash);
    Restart();
    LogCapture log;
    ExpectBadCredentials(Check(kWrong));
    EXPECT_EQ(StoredHash(), go_hash);
    const SlowHashCounter slow;
    bool added = false;
    ASSERT_TRUE((by_registering ? Register(kRight, &added) : Check(kRight)).ok());
    EXPECT_THAT(StoredHash(), ::testing::StartsWith("$scrypt$"));
    EXPECT_TRUE(*SecretMatches(kRight.secret, StoredHash()));
    // What it was replaced by is known to be right.
    clock_.Advance(options_.remember);
    EXPECT_TRUE(Check(kRight).ok());
    EXPECT_EQ(slow.count(), 2) << "one to replace it and one by this test";
    EXPECT_THAT(log.lines(), ElementsAre("event=writer_hash_upgraded writer=\"writer\""));
  }
  EXPECT_EQ((*ctldb::ReadWriter(connection_.get(), "writer"))->cookie, "cookie");
}

TEST_P(WriterAuthenticatorTest, AGoExecutivesHashStaysWhereThatIsWanted) {
  options_.upgrade_hashes = false;
  Restart();
  MustRegister(kRight);
  const std::string go_hash = GoSecretHash(kRight.secret);
  Store(go_hash);
  clock_.Advance(options_.remember);
  EXPECT_TRUE(Check(kRight).ok());
  EXPECT_TRUE(authenticator_->IsRemembered(kRight));
  EXPECT_EQ(StoredHash(), go_hash);
}

TEST_P(WriterAuthenticatorTest, AHashThatCannotBeReplacedNowIsReplacedLater) {
  MustRegister(kRight);
  const std::string go_hash = GoSecretHash(kRight.secret);
  Store(go_hash);
  Restart();
  const Faults faults = {nullptr,
                         [](absl::string_view statement) {
                           return absl::StartsWith(statement, "UPDATE")
                                      ? absl::UnavailableError("busy")
                                      : absl::OkStatus();
                         },
                         nullptr};
  std::unique_ptr<Connection> connection = WithFaults(ctldb_.Connect(), &faults);
  EXPECT_TRUE(authenticator_->Check(kRight, kHost, connection.get()).ok());
  EXPECT_TRUE(authenticator_->IsRemembered(kRight));
  EXPECT_EQ(StoredHash(), go_hash);
  clock_.Advance(options_.remember);
  EXPECT_TRUE(Check(kRight).ok());
  EXPECT_THAT(StoredHash(), ::testing::StartsWith("$scrypt$"));
}

TEST_P(WriterAuthenticatorTest, ASecretChangedWhileItsHashIsReplacedStays) {
  MustRegister(kRight);
  Store(GoSecretHash(kRight.secret));
  Restart();
  const Faults faults = {nullptr,
                         [this](absl::string_view statement) {
                           if (absl::StartsWith(statement, "UPDATE")) {
                             Store(GoSecretHash("another secret"));
                           }
                           return absl::OkStatus();
                         },
                         nullptr};
  std::unique_ptr<Connection> connection = WithFaults(ctldb_.Connect(), &faults);
  EXPECT_TRUE(authenticator_->Check(kRight, kHost, connection.get()).ok());
  EXPECT_EQ(StoredHash(), GoSecretHash("another secret"));
  clock_.Advance(options_.remember);
  ExpectBadCredentials(Check(kRight));
}

TEST_P(WriterAuthenticatorTest, RepeatedWrongSecretsAreRefusedUnseen) {
  MustRegister(kRight);
  Restart();
  LogCapture log;
  for (int i = 0; i < options_.free_failures + 1; ++i) ExpectBadCredentials(Check(kWrong));
  {
    const SlowHashCounter slow;
    for (int i = 0; i < 100; ++i) ExpectThrottled(Check(kWrong));
    EXPECT_EQ(RetryDelay(Check(kWrong)), options_.first_penalty);
    // Nor is a right one looked at, or guessing would go on in the meantime.
    ExpectThrottled(Check(kRight));
    bool added = false;
    ExpectThrottled(Register(kRight, &added));
    EXPECT_EQ(slow.count(), 0);
  }
  // Others are not touched.
  ExpectBadCredentials(Check(kWrong, "10.0.0.2"));
  ExpectBadCredentials(Check({"nobody", "secret"}));

  clock_.Advance(options_.first_penalty);
  ExpectBadCredentials(Check(kWrong));
  EXPECT_EQ(RetryDelay(Check(kWrong)), 2 * options_.first_penalty);
  EXPECT_THAT(
      log.lines(),
      ElementsAre(AllOf(HasSubstr("event=writer_refused writer=\"writer\" peer=\"10.0.0.1\" "
                                  "failures=6"),
                        Not(HasSubstr("open"))),
                  HasSubstr("failures=7")));

  clock_.Advance(2 * options_.first_penalty);
  EXPECT_TRUE(Check(kRight).ok());
  ExpectBadCredentials(Check(kWrong));
  ExpectBadCredentials(Check(kWrong));
}

TEST_P(WriterAuthenticatorTest, AnUnknownWriterIsThrottledAsAKnownOne) {
  const Credentials nobody = {"nobody", "secret"};
  for (int i = 0; i < options_.free_failures + 1; ++i) ExpectBadCredentials(Check(nobody));
  ExpectThrottled(Check(nobody));
}

TEST_P(WriterAuthenticatorTest, ARememberedSecretIsTakenWhileOthersAreRefused) {
  MustRegister(kRight);
  for (int i = 0; i < options_.free_failures + 1; ++i) ExpectBadCredentials(Check(kWrong));
  ExpectThrottled(Check(kWrong));
  EXPECT_TRUE(authenticator_->IsRemembered(kRight));
  EXPECT_TRUE(Check(kRight).ok());
  ExpectThrottled(Check(kWrong));
}

TEST_P(WriterAuthenticatorTest, ASecretRememberedFromBeforeIsLookedAtWhileOthersAreRefused) {
  MustRegister(kRight);
  clock_.Advance(options_.remember);
  for (int i = 0; i < options_.free_failures + 1; ++i) ExpectBadCredentials(Check(kWrong));
  ExpectThrottled(Check(kWrong));
  EXPECT_TRUE(Check(kRight).ok());
}

TEST_P(WriterAuthenticatorTest, AnOldSecretOfAWriterIsNoWayAroundThePenalty) {
  MustRegister(kRight);
  Store(*HashSecret("another secret"));
  clock_.Advance(options_.remember);
  for (int i = 0; i < options_.free_failures + 1; ++i) ExpectBadCredentials(Check(kRight));
  const SlowHashCounter slow;
  ExpectThrottled(Check(kRight));
  EXPECT_EQ(slow.count(), 0);
}

TEST_P(WriterAuthenticatorTest, RegisteringIsNoWayToGuess) {
  MustRegister(kRight);
  Restart();
  bool added = false;
  for (int i = 0; i < options_.free_failures + 1; ++i) {
    EXPECT_EQ(ErrorReason(Register(kWrong, &added)), reason::kWriterDiffers);
  }
  ExpectThrottled(Register(kWrong, &added));
  ExpectThrottled(Check(kWrong));
  ExpectThrottled(Check(kRight));
}

TEST_P(WriterAuthenticatorTest, AWriterThatCameTooEarlyIsTakenOnceItIsRegistered) {
  for (int i = 0; i < options_.free_failures; ++i) ExpectBadCredentials(Check(kRight));
  MustRegister(kRight);
  Restart();
  for (int i = 0; i < options_.free_failures; ++i) ExpectBadCredentials(Check(kWrong));
  EXPECT_TRUE(Check(kRight).ok());
}

TEST_P(WriterAuthenticatorTest, CountsWhatItLookedAt) {
  MustRegister(kRight);
  Restart();
  ExpectBadCredentials(Check(kWrong));
  ASSERT_TRUE(Check(kRight).ok());
  EXPECT_EQ(Checked("ctldb", "wrong"), 1);
  EXPECT_EQ(Checked("ctldb", "right"), 1);
  EXPECT_EQ(Checked("memory", "right"), 0);
  ASSERT_TRUE(authenticator_->IsRemembered(kRight));
  ASSERT_TRUE(Check(kRight).ok());
  clock_.Advance(options_.remember);
  ASSERT_TRUE(Check(kRight).ok());
  EXPECT_EQ(Checked("memory", "right"), 3);
  EXPECT_EQ(Checked("ctldb", "right"), 1);
}

// Many callers at once, each with a connection of its own.
void Crowd(const TestCtldb& ctldb, int size, const std::function<void(int, Connection*)>& act) {
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < size; ++i) connections.push_back(ctldb.Connect());
  std::vector<std::thread> threads;
  for (int i = 0; i < size; ++i) threads.emplace_back([&, i] { act(i, connections[i].get()); });
  for (std::thread& thread : threads) thread.join();
}

TEST_P(WriterAuthenticatorTest, ACrowdOfOneWriterCostsFewSlowHashesAtATime) {
  MustRegister(kRight);
  Store(GoSecretHash(kRight.secret));
  Restart();
  const SlowHashCounter slow;
  Crowd(ctldb_, 16, [this](int, Connection* connection) {
    EXPECT_TRUE(authenticator_->Check(kRight, kHost, connection).ok());
  });
  // A Go executive's hash is quick to check, so that all of them are for replacing it.
  EXPECT_LE(slow.count(), 2);
  Restart();
  const SlowHashCounter slow_again;
  Crowd(ctldb_, 16, [this](int, Connection* connection) {
    EXPECT_TRUE(authenticator_->Check(kRight, kHost, connection).ok());
  });
  EXPECT_LE(slow_again.count(), options_.max_concurrent_hashes);
  EXPECT_LE(slow_again.most_at_once(), options_.max_concurrent_hashes);
}

TEST_P(WriterAuthenticatorTest, ACrowdOfGuessersGetsFewGuessesMoreThanOne) {
  MustRegister(kRight);
  Restart();
  const SlowHashCounter slow;
  std::atomic<int> seen = 0;
  Crowd(ctldb_, 24, [&](int i, Connection* connection) {
    const absl::Status status =
        authenticator_->Check({"writer", absl::StrCat("guess ", i)}, kHost, connection);
    if (absl::IsUnauthenticated(status)) {
      ++seen;
    } else {
      ExpectThrottled(status);
    }
  });
  EXPECT_GE(seen, options_.free_failures + 1);
  EXPECT_LE(seen, options_.free_failures + options_.max_concurrent_hashes);
  EXPECT_EQ(slow.count(), seen);
  EXPECT_LE(slow.most_at_once(), options_.max_concurrent_hashes);
}

TEST_P(WriterAuthenticatorTest, ACrowdThatRegistersAddsTheWriterOnce) {
  std::atomic<int> added_count = 0;
  std::atomic<int> refused = 0;
  Crowd(ctldb_, 8, [&](int i, Connection* connection) {
    bool added = false;
    const absl::Status status = authenticator_->Register({"writer", absl::StrCat("secret ", i % 2)},
                                                         kHost, connection, &added);
    if (added) ++added_count;
    if (status.ok()) return;
    EXPECT_EQ(ErrorReason(status), reason::kWriterDiffers) << status;
    ++refused;
  });
  EXPECT_EQ(added_count, 1);
  EXPECT_EQ(refused, 4);
}

TEST_P(WriterAuthenticatorTest, CallersOfEveryKindMayComeAtTheSameTime) {
  options_.remember = absl::ZeroDuration();
  Restart();
  for (int i = 0; i < 3; ++i) {
    const Credentials credentials = {absl::StrCat("writer", i), "secret"};
    MustRegister(credentials);
    if (i == 1) Store(GoSecretHash("secret"), credentials.writer);
  }
  Crowd(ctldb_, 8, [this](int i, Connection* connection) {
    for (int j = 0; j < 20; ++j) {
      const Credentials credentials = {absl::StrCat("writer", (i + j) % 3), "secret"};
      authenticator_->IsRemembered(credentials);
      absl::Status status;
      bool added = false;
      switch (i % 3) {
        case 0:
          status = authenticator_->Check(credentials, kHost, connection);
          EXPECT_TRUE(status.ok()) << status;
          break;
        case 1:
          status = authenticator_->Register(credentials, kHost, connection, &added);
          EXPECT_TRUE(status.ok()) << status;
          EXPECT_FALSE(added);
          break;
        default:
          status = authenticator_->Check({credentials.writer, "wrong"}, "10.0.0.2", connection);
          EXPECT_FALSE(status.ok());
      }
      clock_.Advance(absl::Milliseconds(1));
    }
  });
}

}  // namespace
}  // namespace ctlstore::executive
