#include "executive/group_committer.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/connection_errors.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/limits.h"
#include "common/ctldb/writers.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_entry.h"
#include "executive/testing/committer_instance.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/ledger_comparison.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

using ::ctlstore::ctldb::Connection;
using ::ctlstore::ctldb::LedgerTransaction;
using Row = OwnedRequest::Row;
using Pending = std::shared_ptr<PendingAnswer>;

absl::Time Soon() { return absl::Now() + absl::Minutes(1); }

// Where transactions wait until the test lets them begin.
class Gate {
 public:
  void Close() { Set(true); }
  void Open() { Set(false); }
  void Pass() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](bool* closed) { return !*closed; }, &closed_));
  }

 private:
  void Set(bool closed) {
    absl::MutexLock lock(&mutex_);
    closed_ = closed;
  }
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

Row Upsert(int64_t id, absl::string_view name = "", absl::string_view table = "plain") {
  return {std::string(table),
          false,
          {{"id", Value::Integer(id)}, {"name", Value::Text(std::string(name))}}};
}

Row Delete(int64_t id, absl::string_view table = "plain") {
  return {std::string(table), true, {{"id", Value::Integer(id)}}};
}

OwnedRequest Request(std::vector<Row> rows) {
  OwnedRequest request;
  request.rows = std::move(rows);
  return request;
}

std::string ReasonOf(const Pending& pending) {
  return ErrorReason(pending->Wait().status()).value_or("");
}

absl::Status Injected(absl::string_view error_reason) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, error_reason, "put in by the test");
}

class GroupCommitterTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  void SetUp() override {
    connection_ = ctldb_.Connect();
    ASSERT_TRUE(ctldb::CreateFamily(connection_.get(), "fam").ok());
    for (const char* writer : {"writer", "other writer"}) {
      ASSERT_TRUE(ctldb::AddWriter(connection_.get(), writer, "hash").ok());
    }
    NewInstance(CommitterInstance::DefaultOptions());
    CreateTable("plain");
    CreateTable("strict");
    RefuseRows("fam___strict");
    commits_ = 0;
  }

  void TearDown() override {
    gate_.Open();
    instance_.reset();
    if (compare_at_end_) {
      const absl::Status same = CompareLedgerWithTables(connection_.get());
      EXPECT_TRUE(same.ok()) << same;
    }
  }

  bool is_mariadb() const { return GetParam() == TestCtldb::Kind::kMariadb; }

  void NewInstance(const CommitterInstance::Options& options) {
    instance_ = std::make_unique<CommitterInstance>(ctldb_, options);
    SetStatementFault(nullptr);
    instance_->faults.commit = [this](std::unique_ptr<Connection>* connection) {
      ++commits_;
      return commit_fault_ ? commit_fault_(connection) : (*connection)->Commit();
    };
  }

  // While nothing is under way.
  void SetStatementFault(std::function<absl::Status(absl::string_view)> fault) {
    instance_->faults.statement = [this, fault](absl::string_view statement) {
      if (statement == "BEGIN") gate_.Pass();
      return fault ? fault(statement) : absl::OkStatus();
    };
  }

  void CreateTable(absl::string_view table, CommitterInstance* instance = nullptr) {
    const absl::StatusOr<TableSchema> schema = TableSchema::Create(
        "fam", table, {{"id", FieldType::kInteger}, {"name", FieldType::kText}}, {"id"});
    const absl::StatusOr<int64_t> created =
        (instance != nullptr ? instance : instance_.get())->changer.CreateTables({*schema}, Soon());
    ASSERT_TRUE(created.ok()) << created.status();
  }

  void Run(absl::string_view sql) {
    const absl::Status status = connection_->Execute(sql).status();
    ASSERT_TRUE(status.ok()) << sql << ": " << status;
  }

  // Makes the database refuse rows with the name "refused", as the rules of an altered table may.
  void RefuseRows(const std::string& table) {
    Run(is_mariadb()
            ? absl::StrCat("CREATE TRIGGER refuse_", table, " BEFORE INSERT ON ", table,
                           " FOR EACH ROW BEGIN IF NEW.name = 'refused' THEN SIGNAL SQLSTATE "
                           "'22003' SET MYSQL_ERRNO = 1264; END IF; END")
            : absl::StrCat("CREATE TRIGGER refuse_", table, " BEFORE INSERT ON ", table,
                           " WHEN NEW.name = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END"));
  }

  Pending Submit(OwnedRequest request) { return instance_->Submit(std::move(request)); }

  // Keeps the committer waiting, with its hands full, so that what is submitted meanwhile waits.
  Pending Plug() {
    gate_.Close();
    Pending plug = Submit(Request({Delete(404)}));
    while (instance_->committer->queue_length() > 0) absl::SleepFor(absl::Milliseconds(1));
    return plug;
  }

  // All in one group, in this order, and answered when it returns.
  std::vector<Pending> SubmitTogether(const std::vector<OwnedRequest>& requests) {
    const Pending plug = Plug();
    std::vector<Pending> answers;
    for (const OwnedRequest& request : requests) answers.push_back(Submit(request));
    EXPECT_EQ(instance_->committer->queue_length(), requests.size());
    gate_.Open();
    EXPECT_TRUE(plug->Wait().ok()) << plug->Wait().status();
    for (const Pending& answer : answers) answer->Wait();
    return answers;
  }

  std::string Cookie(absl::string_view writer = "writer") {
    return (*ctldb::ReadWriter(connection_.get(), writer))->cookie;
  }

  std::vector<LedgerEntry> Ledger() { return *ReadLedger(connection_.get()); }
  int64_t LastSequence() { return static_cast<int64_t>(Ledger().size()); }

  std::vector<int64_t> Ids(absl::string_view table = "plain") {
    std::vector<int64_t> ids;
    const absl::Status status =
        connection_->Query(absl::StrCat("SELECT \"id\" FROM fam___", table, " ORDER BY \"id\""), {},
                           [&ids](absl::Span<const ValueView> row) {
                             ids.push_back(row[0].integer());
                             return absl::OkStatus();
                           });
    EXPECT_TRUE(status.ok()) << status;
    return ids;
  }

  // A counter or gauge, or how many values a histogram has seen; -1 where there is none.
  double Metric(const std::string& name, const std::string& label = "") {
    for (const prometheus::MetricFamily& family : instance_->registry.Collect()) {
      if (family.name != name) continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (!label.empty() && (metric.label.empty() || metric.label[0].value != label)) continue;
        if (family.type == prometheus::MetricType::Counter) return metric.counter.value;
        if (family.type == prometheus::MetricType::Gauge) return metric.gauge.value;
        return static_cast<double>(metric.histogram.sample_count);
      }
    }
    return -1;
  }

  TestCtldb ctldb_{GetParam()};
  std::unique_ptr<Connection> connection_;
  Gate gate_;
  std::atomic<int> commits_{0};
  // To be set while nothing is under way.
  std::function<absl::Status(std::unique_ptr<Connection>*)> commit_fault_;
  std::unique_ptr<CommitterInstance> instance_;
  bool compare_at_end_ = true;
};

// Order and size -----------------------------------------------------------------------------

TEST_P(GroupCommitterTest, ARequestIsAnsweredWithItsLedgerSequence) {
  const int64_t before = LastSequence();
  EXPECT_EQ(*Submit(Request({Upsert(1)}))->Wait(), before + 1);
  EXPECT_EQ(LastSequence(), before + 1);
  EXPECT_EQ(*Submit(Request({Upsert(2), Delete(1)}))->Wait(), before + 5);
  EXPECT_EQ(LastSequence(), before + 5);
  EXPECT_EQ(Ids(), std::vector<int64_t>{2});
}

TEST_P(GroupCommitterTest, RequestsThatWaitShareACommitInTheirOrder) {
  const int64_t before = LastSequence();
  std::vector<OwnedRequest> requests;
  for (int i = 0; i < 50; ++i) {
    // The last one of each row wins.
    requests.push_back(i % 10 == 9 ? Request({Delete(i / 10), Delete(1000 + i)})
                                   : Request({Upsert(i / 10, absl::StrCat("try ", i))}));
  }
  requests.push_back(Request({Upsert(4, "the last")}));
  const std::vector<Pending> answers = SubmitTogether(requests);
  EXPECT_EQ(commits_, 2);
  int64_t expected = before + 1;
  for (size_t i = 0; i < answers.size(); ++i) {
    expected += requests[i].rows.size() == 1 ? 1 : 4;
    ASSERT_TRUE(answers[i]->Wait().ok()) << answers[i]->Wait().status();
    EXPECT_EQ(*answers[i]->Wait(), expected);
  }
  EXPECT_EQ(LastSequence(), expected);
  EXPECT_EQ(Ids(), std::vector<int64_t>{4});
  EXPECT_EQ(Metric("ctlstore_executive_group_requests"), 2);
  EXPECT_EQ(Metric("ctlstore_executive_last_sequence"), expected);
  EXPECT_EQ(Metric("ctlstore_executive_groups_split_total"), 0);
}

TEST_P(GroupCommitterTest, AGroupHasItsBounds) {
  const auto commits_of = [this](const std::function<void(GroupCommitter::Options*)>& change,
                                 const std::vector<OwnedRequest>& requests) {
    CommitterInstance::Options options = CommitterInstance::DefaultOptions();
    change(&options.committer);
    NewInstance(options);
    commits_ = 0;
    for (const Pending& answer : SubmitTogether(requests)) {
      EXPECT_TRUE(answer->Wait().ok()) << answer->Wait().status();
    }
    return commits_ - 1;
  };
  const std::vector<OwnedRequest> six(6, Request({Upsert(1), Upsert(2)}));
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_requests = 6; }, six), 1);
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_requests = 4; }, six), 2);
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_rows = 12; }, six), 1);
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_rows = 5; }, six), 3);
  // At least one request, however large.
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_rows = 1; }, six), 6);
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_bytes = 1; }, six), 6);
  const std::vector<OwnedRequest> large(4, Request({Upsert(1, std::string(100000, 'x'))}));
  EXPECT_EQ(commits_of([](auto* options) { options->max_group_bytes = 250000; }, large), 2);
}

TEST_P(GroupCommitterTest, AFullQueueRefusesAtOnce) {
  CommitterInstance::Options options = CommitterInstance::DefaultOptions();
  options.committer.max_queue_requests = 3;
  options.committer.max_queue_bytes = 1000000;
  NewInstance(options);
  EXPECT_EQ(Metric("ctlstore_executive_queue_requests_max"), 3);
  const Pending plug = Plug();
  std::vector<Pending> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Submit(Request({Upsert(i)})));
  const Pending refused = Submit(Request({Upsert(3)}));
  ASSERT_TRUE(refused->answered());
  EXPECT_EQ(refused->Wait().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), reason::kQueueFull);
  EXPECT_TRUE(RetryDelay(refused->Wait().status()).has_value());
  EXPECT_EQ(Metric("ctlstore_executive_refused_total", reason::kQueueFull), 1);
  EXPECT_EQ(Metric("ctlstore_executive_queue_requests"), 3);
  gate_.Open();
  for (const Pending& answer : waiting) EXPECT_TRUE(answer->Wait().ok());
  EXPECT_TRUE(plug->Wait().ok());
  EXPECT_EQ(Metric("ctlstore_executive_queue_bytes"), 0);

  const Pending again = Plug();
  const std::string half(450000, 'x');
  const std::vector<Pending> large = {Submit(Request({Upsert(10, half)})),
                                      Submit(Request({Upsert(11, half)})),
                                      Submit(Request({Upsert(12, half)}))};
  ASSERT_TRUE(large[2]->answered());
  EXPECT_EQ(ReasonOf(large[2]), reason::kQueueFull);
  EXPECT_FALSE(Submit(Request({Upsert(13)}))->answered());
  gate_.Open();
  EXPECT_TRUE(large[0]->Wait().ok());
  EXPECT_TRUE(large[1]->Wait().ok());
  EXPECT_TRUE(again->Wait().ok());
}

// Cookies and limits -------------------------------------------------------------------------

TEST_P(GroupCommitterTest, CookiesAreCheckedAgainstThoseOfTheRequestsBefore) {
  const auto request = [](int64_t id, absl::optional<std::string> check,
                          absl::optional<std::string> cookie, const char* writer = "writer") {
    OwnedRequest request = Request({Upsert(id)});
    request.writer = writer;
    request.check_cookie = std::move(check);
    request.cookie = std::move(cookie);
    return request;
  };
  const std::vector<Pending> answers = SubmitTogether({
      request(0, "", "first"),
      request(1, "", "never"),
      request(2, "first", "second"),
      request(3, "", absl::nullopt, "other writer"),
      request(4, "second", absl::nullopt),
      request(5, absl::nullopt, "third"),
      request(6, "second", "never"),
      request(7, "third", std::string("\0\xFF'", 3)),
      request(8, absl::nullopt, "other's", "other writer"),
  });
  EXPECT_EQ(commits_, 2);
  for (size_t i = 0; i < answers.size(); ++i) {
    if (i == 1 || i == 6) {
      EXPECT_TRUE(absl::IsAborted(answers[i]->Wait().status())) << i;
      EXPECT_EQ(ReasonOf(answers[i]), reason::kCookieMismatch) << i;
    } else {
      EXPECT_TRUE(answers[i]->Wait().ok()) << i << ": " << answers[i]->Wait().status();
    }
  }
  EXPECT_EQ(Ids(), (std::vector<int64_t>{0, 2, 3, 4, 5, 7, 8}));
  EXPECT_EQ(Cookie(), std::string("\0\xFF'", 3));
  EXPECT_EQ(Cookie("other writer"), "other's");
}

TEST_P(GroupCommitterTest, WhereAllAreRefusedNothingIsCommitted) {
  OwnedRequest request = Request({Upsert(1)});
  request.check_cookie = "not this";
  EXPECT_EQ(ReasonOf(Submit(request)), reason::kCookieMismatch);
  EXPECT_EQ(commits_, 0);
  EXPECT_EQ(Metric("ctlstore_executive_group_requests"), 0);
}

TEST_P(GroupCommitterTest, AWriterThatIsGoneIsRefused) {
  OwnedRequest gone = Request({Upsert(1)});
  gone.writer = "gone";
  gone.cookie = "x";
  OwnedRequest checks = Request({Upsert(2)});
  checks.writer = "Writer";
  checks.check_cookie = "";
  const std::vector<Pending> answers = SubmitTogether({gone, checks, Request({Upsert(3)})});
  for (int i : {0, 1}) {
    EXPECT_TRUE(absl::IsUnauthenticated(answers[i]->Wait().status()));
    EXPECT_EQ(ReasonOf(answers[i]), reason::kBadCredentials);
  }
  EXPECT_TRUE(answers[2]->Wait().ok());
  EXPECT_EQ(Ids(), std::vector<int64_t>{3});
}

TEST_P(GroupCommitterTest, RatesAreCountedThroughAGroupAndGivenBackByWhatIsRefused) {
  CommitterInstance::Options options = CommitterInstance::DefaultOptions();
  options.limits.default_writer_rows = 5;
  options.limits.writer_period = absl::Hours(24 * 365);
  NewInstance(options);
  const auto as = [](const char* writer, std::vector<Row> rows) {
    OwnedRequest request = Request(std::move(rows));
    request.writer = writer;
    return request;
  };
  OwnedRequest mismatch = as("other writer", {Upsert(1), Upsert(2)});
  mismatch.check_cookie = "not this";
  const std::vector<Pending> answers = SubmitTogether({
      as("other writer", {Upsert(10), Upsert(11)}),
      mismatch,
      // Refused by the database, so that the whole group is written request by request.
      as("other writer", {Upsert(3), Upsert(4, "refused", "strict")}),
      as("other writer", {Upsert(12), Upsert(13), Upsert(14)}),
      as("other writer", {Upsert(5)}),
      as("writer", {Upsert(15), Upsert(16), Upsert(17), Upsert(18)}),  // the plug was one
      as("writer", {Upsert(6)}),
  });
  for (int i : {0, 3, 5}) EXPECT_TRUE(answers[i]->Wait().ok()) << answers[i]->Wait().status();
  EXPECT_EQ(ReasonOf(answers[1]), reason::kCookieMismatch);
  EXPECT_EQ(ReasonOf(answers[2]), reason::kInvalidValue);
  for (int i : {4, 6}) {
    EXPECT_EQ(ReasonOf(answers[i]), reason::kRateLimited);
    EXPECT_TRUE(RetryDelay(answers[i]->Wait().status()).has_value());
  }
  EXPECT_EQ(Ids(), (std::vector<int64_t>{10, 11, 12, 13, 14, 15, 16, 17, 18}));
  // What was used is known to other executives too.
  CommitterInstance other(ctldb_, options);
  const Pending elsewhere = other.Submit(Request({Upsert(7)}));
  EXPECT_EQ(ReasonOf(elsewhere), reason::kRateLimited);
}

TEST_P(GroupCommitterTest, ATableThatIsFullTakesDeletesOnly) {
  ASSERT_TRUE(Submit(Request({Upsert(1, std::string(100000, 'x'), "strict")}))->Wait().ok());
  if (is_mariadb()) Run("ANALYZE TABLE fam___strict");
  ctldb::TableLimit limit;
  limit.table = {"fam", "strict"};
  limit.limit = {1, 1};
  ASSERT_TRUE(ctldb::SetTableLimit(connection_.get(), limit).ok());
  ASSERT_TRUE(instance_->limits.Refresh(Soon()).ok());
  const std::vector<Pending> answers =
      SubmitTogether({Request({Upsert(2)}), Request({Upsert(3), Upsert(3, "", "strict")}),
                      Request({Upsert(4), Delete(1, "strict")})});
  EXPECT_TRUE(answers[0]->Wait().ok()) << answers[0]->Wait().status();
  EXPECT_EQ(ReasonOf(answers[1]), reason::kTableFull);
  EXPECT_TRUE(answers[2]->Wait().ok()) << answers[2]->Wait().status();
  EXPECT_EQ(Ids(), (std::vector<int64_t>{2, 4}));
  EXPECT_TRUE(Ids("strict").empty());
}

// Bad rows -----------------------------------------------------------------------------------

TEST_P(GroupCommitterTest, ARowThatTheDatabaseRefusesHarmsNoNeighbour) {
  std::vector<OwnedRequest> requests;
  for (int i = 0; i < 20; ++i) {
    requests.push_back(Request({Upsert(i, "good", "strict"), Upsert(i)}));
    requests.back().cookie = absl::StrCat("cookie ", i);
  }
  for (int bad : {3, 4, 19}) requests[bad].rows.push_back(Upsert(100 + bad, "refused", "strict"));
  // What was refused has left no cookie.
  requests[5].check_cookie = "cookie 2";
  requests[6].check_cookie = "cookie 3";
  const int64_t before = LastSequence();
  const std::vector<Pending> answers = SubmitTogether(requests);
  std::vector<int64_t> expected;
  int64_t sequence = before + 1;
  for (int i = 0; i < 20; ++i) {
    const absl::StatusOr<int64_t>& answer = answers[i]->Wait();
    if (i == 3 || i == 4 || i == 19) {
      EXPECT_TRUE(absl::IsInvalidArgument(answer.status())) << answer.status();
      EXPECT_EQ(ErrorField(answer.status()).value_or(""), "mutations[2]");
      EXPECT_EQ(ReasonOf(answers[i]), reason::kInvalidValue);
    } else if (i == 6) {
      EXPECT_EQ(ReasonOf(answers[i]), reason::kCookieMismatch);
    } else {
      ASSERT_TRUE(answer.ok()) << i << ": " << answer.status();
      sequence += 4;
      EXPECT_EQ(*answer, sequence);
      expected.push_back(i);
    }
  }
  EXPECT_EQ(LastSequence(), sequence);
  EXPECT_EQ(Ids(), expected);
  EXPECT_EQ(Ids("strict"), expected);
  EXPECT_EQ(Cookie(), "cookie 18");
  EXPECT_EQ(commits_, 2);
  EXPECT_EQ(Metric("ctlstore_executive_groups_split_total"), 1);
}

TEST_P(GroupCommitterTest, ARequestThatIsAlwaysInTheWayHarmsNoNeighbour) {
  // As when somebody keeps rows of this table locked.
  SetStatementFault([](absl::string_view statement) {
    return absl::StartsWith(statement, "REPLACE") && absl::StrContains(statement, "strict")
               ? Injected(reason::kCtldbBusy)
               : absl::OkStatus();
  });
  const std::vector<Pending> answers = SubmitTogether(
      {Request({Upsert(1)}), Request({Upsert(2), Upsert(2, "", "strict")}), Request({Upsert(3)})});
  EXPECT_TRUE(answers[0]->Wait().ok()) << answers[0]->Wait().status();
  EXPECT_EQ(ReasonOf(answers[1]), reason::kCtldbBusy);
  EXPECT_TRUE(RetryDelay(answers[1]->Wait().status()).has_value());
  EXPECT_TRUE(answers[2]->Wait().ok()) << answers[2]->Wait().status();
  EXPECT_EQ(Ids(), (std::vector<int64_t>{1, 3}));
}

TEST_P(GroupCommitterTest, ARowLargerThanTheServersPacketHarmsNoNeighbour) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has no packets";
  int64_t packet = 0;
  ASSERT_TRUE(connection_
                  ->Query("SELECT @@GLOBAL.max_allowed_packet", {},
                          [&packet](absl::Span<const ValueView> row) {
                            packet = row[0].integer();
                            return absl::OkStatus();
                          })
                  .ok());
  Run("SET GLOBAL max_allowed_packet = 131072");
  // Connections have the limit that was there when they were opened.
  NewInstance(CommitterInstance::DefaultOptions());
  const std::vector<Pending> answers = SubmitTogether(
      {Request({Upsert(1)}), Request({Upsert(2, std::string(300000, 'x'))}), Request({Upsert(3)})});
  EXPECT_TRUE(answers[0]->Wait().ok()) << answers[0]->Wait().status();
  EXPECT_FALSE(answers[1]->Wait().ok());
  EXPECT_TRUE(answers[2]->Wait().ok()) << answers[2]->Wait().status();
  EXPECT_EQ(Ids(), (std::vector<int64_t>{1, 3}));
  Run(absl::StrCat("SET GLOBAL max_allowed_packet = ", packet));
}

TEST_P(GroupCommitterTest, AFailureAtAnyStatementChangesNothingOrAnswersTruly) {
  std::vector<OwnedRequest> requests;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(Request({Upsert(i, "x"), Upsert(i, i == 2 ? "refused" : "x", "strict")}));
    requests.back().cookie = absl::StrCat("cookie ", i);
  }
  bool met = true;
  int at = 0;
  for (; met; ++at) {
    ASSERT_LT(at, 200);
    Run("DELETE FROM fam___plain");
    Run("DELETE FROM fam___strict");
    // The deletes by hand are the ledger's too.
    {
      absl::StatusOr<LedgerTransaction> transaction = LedgerTransaction::Begin(connection_.get());
      transaction->Append({"DELETE FROM fam___plain WHERE \"id\" >= 0",
                           "DELETE FROM fam___strict WHERE \"id\" >= 0"});
      ASSERT_TRUE(transaction->Commit().ok());
    }
    int left = at;
    met = false;
    SetStatementFault([&](absl::string_view) {
      if (left-- != 0) return absl::OkStatus();
      met = true;
      return absl::InternalError("put in by the test");
    });
    const Pending plug = Plug();
    std::vector<Pending> answers;
    for (const OwnedRequest& request : requests) answers.push_back(Submit(request));
    gate_.Open();
    plug->Wait();
    std::vector<int64_t> expected;
    std::string cookie = Cookie();
    for (int i = 0; i < 4; ++i) {
      if (!answers[i]->Wait().ok()) continue;
      expected.push_back(i);
      cookie = absl::StrCat("cookie ", i);
    }
    SetStatementFault(nullptr);
    EXPECT_EQ(Ids(), expected) << "at statement " << at;
    EXPECT_EQ(Ids("strict"), expected) << "at statement " << at;
    EXPECT_EQ(Cookie(), cookie) << "at statement " << at;
  }
  EXPECT_GT(at, 20);
}

// Given up -----------------------------------------------------------------------------------

TEST_P(GroupCommitterTest, WhatIsGivenUpBeforeItsGroupBeganIsNotApplied) {
  const Pending plug = Plug();
  OwnedRequest expired = Request({Upsert(1)});
  expired.timeout = -absl::Seconds(1);
  const Pending past = Submit(expired);
  const Pending good = Submit(Request({Upsert(2)}));
  const Pending cancelled = Submit(Request({Upsert(3)}));
  cancelled->cancelled = true;
  plug->cancelled = true;  // waits for its transaction to begin
  gate_.Open();
  EXPECT_TRUE(absl::IsDeadlineExceeded(past->Wait().status())) << past->Wait().status();
  EXPECT_TRUE(good->Wait().ok());
  EXPECT_TRUE(absl::IsCancelled(cancelled->Wait().status())) << cancelled->Wait().status();
  EXPECT_TRUE(absl::IsCancelled(plug->Wait().status())) << plug->Wait().status();
  EXPECT_EQ(Ids(), std::vector<int64_t>{2});
  EXPECT_EQ(commits_, 1);
}

TEST_P(GroupCommitterTest, ADeadlineInTheQueueIsAnsweredWhileTheCommitterIsKeptWaiting) {
  const Pending plug = Plug();
  OwnedRequest request = Request({Upsert(1)});
  request.timeout = absl::Milliseconds(20);
  const Pending pending = Submit(request);
  EXPECT_TRUE(absl::IsDeadlineExceeded(pending->Wait().status())) << pending->Wait().status();
  EXPECT_FALSE(plug->answered());
  EXPECT_EQ(instance_->committer->queue_length(), 0);
  EXPECT_EQ(Metric("ctlstore_executive_queue_bytes"), 0);
  gate_.Open();
  EXPECT_TRUE(plug->Wait().ok());
  EXPECT_TRUE(Ids().empty());
}

TEST_P(GroupCommitterTest, ADeadlineThatPassesWhileWaitingForTheLedgerChangesNothing) {
  const int64_t before = LastSequence();
  absl::optional<LedgerTransaction> holder(*LedgerTransaction::Begin(connection_.get()));
  OwnedRequest request = Request({Upsert(1)});
  request.timeout = absl::Milliseconds(100);
  const Pending expires = Submit(request);
  const Pending waits = Submit(Request({Upsert(2)}));
  const absl::Time past = absl::Now() + absl::Milliseconds(150);
  while (absl::Now() < past) absl::SleepFor(past - absl::Now());
  holder.reset();
  EXPECT_TRUE(absl::IsDeadlineExceeded(expires->Wait().status())) << expires->Wait().status();
  EXPECT_TRUE(waits->Wait().ok()) << waits->Wait().status();
  EXPECT_EQ(LastSequence(), before + 1);
}

TEST_P(GroupCommitterTest, WhatHasBegunIsAnsweredTrulyHoweverLate) {
  OwnedRequest request = Request({Upsert(1)});
  request.timeout = absl::Seconds(2);
  Pending pending;
  absl::Mutex submitted;
  commit_fault_ = [&](std::unique_ptr<Connection>* connection) {
    absl::MutexLock lock(&submitted);
    pending->cancelled = true;
    absl::SleepFor(absl::Milliseconds(2100));
    return (*connection)->Commit();
  };
  {
    absl::MutexLock lock(&submitted);
    pending = Submit(request);
  }
  EXPECT_TRUE(pending->Wait().ok()) << pending->Wait().status();
  EXPECT_EQ(Ids(), std::vector<int64_t>{1});
}

// The ctldb's moods --------------------------------------------------------------------------

TEST_P(GroupCommitterTest, WhatIsBusyOrBrokenForAMomentIsTriedAgain) {
  for (const char* error_reason : {reason::kCtldbBusy, reason::kCtldbUnavailable}) {
    for (const char* prefix : {"BEGIN", "UPDATE locks", "SELECT", "REPLACE", "INSERT", "UPDATE"}) {
      SCOPED_TRACE(absl::StrCat(error_reason, " ", prefix));
      const int64_t before = LastSequence();
      std::atomic<int> left(2);
      SetStatementFault([&left, error_reason, prefix](absl::string_view statement) {
        if (!absl::StartsWith(statement, prefix) || left-- <= 0) return absl::OkStatus();
        return Injected(error_reason);
      });
      OwnedRequest request = Request({Upsert(1)});
      request.cookie = "x";
      const Pending pending = Submit(request);
      EXPECT_TRUE(pending->Wait().ok()) << pending->Wait().status();
      EXPECT_LE(left, 0) << "the fault was not met";
      SetStatementFault(nullptr);
      EXPECT_EQ(LastSequence(), before + 1);
    }
  }
}

TEST_P(GroupCommitterTest, ACommitThatFailsForAMomentIsTriedAgain) {
  // As when Galera does not certify it.
  std::atomic<int> left(2);
  commit_fault_ = [&left](std::unique_ptr<Connection>* connection) {
    if (left-- <= 0) return (*connection)->Commit();
    (*connection)->Rollback();
    return Injected(reason::kCtldbBusy);
  };
  const int64_t before = LastSequence();
  for (const Pending& answer : SubmitTogether({Request({Upsert(1)}), Request({Upsert(2)})})) {
    EXPECT_TRUE(answer->Wait().ok()) << answer->Wait().status();
  }
  EXPECT_LE(left, 0) << "the fault was not met";
  EXPECT_EQ(LastSequence(), before + 3);
}

TEST_P(GroupCommitterTest, WhatStaysUnavailableIsToldWithARetryDelay) {
  for (const char* error_reason : {reason::kCtldbBusy, reason::kCtldbUnavailable}) {
    SetStatementFault([error_reason](absl::string_view) { return Injected(error_reason); });
    const Pending pending = Submit(Request({Upsert(1)}));
    EXPECT_TRUE(absl::IsUnavailable(pending->Wait().status())) << pending->Wait().status();
    EXPECT_EQ(ReasonOf(pending), error_reason);
    EXPECT_TRUE(RetryDelay(pending->Wait().status()).has_value());
    OwnedRequest request = Request({Upsert(1)});
    request.timeout = absl::Milliseconds(20);
    const Pending expires = Submit(request);
    EXPECT_TRUE(absl::IsDeadlineExceeded(expires->Wait().status())) << expires->Wait().status();
    SetStatementFault(nullptr);
  }
  EXPECT_TRUE(Submit(Request({Upsert(2)}))->Wait().ok());
  EXPECT_EQ(Ids(), std::vector<int64_t>{2});
}

TEST_P(GroupCommitterTest, ADeadlockWithAnotherProgramIsTriedAgain) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has one lock";
  ASSERT_TRUE(Submit(Request({Upsert(1), Upsert(2)}))->Wait().ok());
  const std::unique_ptr<Connection> other = ctldb_.Connect();
  ASSERT_TRUE(other->BeginWrite().ok());
  ASSERT_TRUE(other->Execute("UPDATE fam___plain SET name = 'x' WHERE id IN (1, 2)").ok());
  std::atomic<bool> begun(false);
  SetStatementFault([&begun](absl::string_view statement) {
    if (absl::StartsWith(statement, "REPLACE")) begun = true;
    return absl::OkStatus();
  });
  const Pending pending = Submit(Request({Upsert(1, "new"), Upsert(2, "new")}));
  while (!begun) absl::SleepFor(absl::Milliseconds(1));
  // Waits for the ledger lock, whose holder waits for the rows: one of them has to give way.
  (void)other->Execute("UPDATE locks SET clock = clock + 1 WHERE id = 'ledger'");
  other->Rollback();
  EXPECT_TRUE(pending->Wait().ok()) << pending->Wait().status();
}

// Commits whose answer is lost ---------------------------------------------------------------

TEST_P(GroupCommitterTest, ACommitThatWasMadeButNotAnsweredIsFoundInTheLedger) {
  commit_fault_ = [this](std::unique_ptr<Connection>* connection) {
    const absl::Status status = (*connection)->Commit();
    if (commits_ != 2) return status;
    connection->reset();
    return Injected(reason::kOutcomeUnknown);
  };
  const int64_t before = LastSequence();
  OwnedRequest refused = Request({Upsert(9)});
  refused.check_cookie = "not this";
  const std::vector<Pending> answers = SubmitTogether(
      {Request({Upsert(1)}), refused, Request({Upsert(2), Upsert(3)}), Request({Upsert(4)})});
  EXPECT_EQ(*answers[0]->Wait(), before + 2);
  EXPECT_EQ(ReasonOf(answers[1]), reason::kCookieMismatch);
  EXPECT_EQ(*answers[2]->Wait(), before + 6);
  EXPECT_EQ(*answers[3]->Wait(), before + 7);
  EXPECT_EQ(LastSequence(), before + 7);
  EXPECT_EQ(commits_, 2);
}

TEST_P(GroupCommitterTest, ACommitThatWasLostIsMadeAgain) {
  commit_fault_ = [this](std::unique_ptr<Connection>* connection) {
    if (commits_ != 2) return (*connection)->Commit();
    connection->reset();
    return Injected(reason::kOutcomeUnknown);
  };
  const int64_t before = LastSequence();
  const std::vector<Pending> answers =
      SubmitTogether({Request({Upsert(1)}), Request({Upsert(2), Upsert(3)})});
  EXPECT_EQ(*answers[0]->Wait(), before + 2);
  EXPECT_EQ(*answers[1]->Wait(), before + 6);
  EXPECT_EQ(LastSequence(), before + 6);
  EXPECT_EQ(commits_, 3);
}

TEST_P(GroupCommitterTest, ACommitThatWasLostIsNotTakenForAnothers) {
  CommitterInstance other(ctldb_);
  commit_fault_ = [&](std::unique_ptr<Connection>* connection) {
    if (commits_ != 2) return (*connection)->Commit();
    connection->reset();
    // Takes sequences that were meant for the lost ones, and begins as they did.
    EXPECT_TRUE(other.Submit(Request({Upsert(1)}))->Wait().ok());
    EXPECT_TRUE(other.Submit(Request({Upsert(7)}))->Wait().ok());
    return Injected(reason::kOutcomeUnknown);
  };
  const int64_t before = LastSequence();
  const std::vector<Pending> answers = SubmitTogether({Request({Upsert(1)}), Request({Upsert(2)})});
  EXPECT_EQ(*answers[0]->Wait(), before + 4);
  EXPECT_EQ(*answers[1]->Wait(), before + 5);
  EXPECT_EQ(Ids(), (std::vector<int64_t>{1, 2, 7}));
}

TEST_P(GroupCommitterTest, ACommitThatIsStillGoingOnIsWaitedFor) {
  std::thread slow;
  commit_fault_ = [&](std::unique_ptr<Connection>* connection) {
    if (commits_ != 1) return (*connection)->Commit();
    slow = std::thread([lost = std::move(*connection)] {
      absl::SleepFor(absl::Milliseconds(300));
      EXPECT_TRUE(lost->Commit().ok());
    });
    return Injected(reason::kOutcomeUnknown);
  };
  const int64_t before = LastSequence();
  const Pending pending = Submit(Request({Upsert(1)}));
  EXPECT_EQ(*pending->Wait(), before + 1);
  slow.join();
  EXPECT_EQ(LastSequence(), before + 1);
  EXPECT_EQ(commits_, 1);
}

TEST_P(GroupCommitterTest, AnOutcomeThatCannotBeFoundOutIsToldAsUnknown) {
  CommitterInstance::Options options = CommitterInstance::DefaultOptions();
  options.committer.outcome_timeout = absl::Milliseconds(200);
  NewInstance(options);
  std::atomic<bool> down(false);
  instance_->faults.open = [&down] {
    return down ? Injected(reason::kCtldbUnavailable) : absl::OkStatus();
  };
  commit_fault_ = [&](std::unique_ptr<Connection>* connection) {
    if (commits_ != 2) return (*connection)->Commit();
    EXPECT_TRUE((*connection)->Commit().ok());
    connection->reset();
    down = true;
    return Injected(reason::kOutcomeUnknown);
  };
  OwnedRequest first = Request({Upsert(1)});
  first.cookie = "x";
  OwnedRequest refused = Request({Upsert(2)});
  refused.check_cookie = "";
  const std::vector<Pending> answers = SubmitTogether({first, refused});
  EXPECT_TRUE(absl::IsUnavailable(answers[0]->Wait().status()));
  EXPECT_EQ(ReasonOf(answers[0]), reason::kOutcomeUnknown);
  // Its refusal may be owed to the other one, of which nothing is known; but it was not applied.
  EXPECT_TRUE(absl::IsUnavailable(answers[1]->Wait().status()));
  EXPECT_EQ(ReasonOf(answers[1]), reason::kCtldbUnavailable);
  for (const Pending& answer : answers) {
    EXPECT_TRUE(RetryDelay(answer->Wait().status()).has_value());
  }
  down = false;
  EXPECT_TRUE(Submit(Request({Upsert(3)}))->Wait().ok());
  EXPECT_EQ(Ids(), (std::vector<int64_t>{1, 3}));
}

// Changes of tables --------------------------------------------------------------------------

TEST_P(GroupCommitterTest, ATableThatHasChangedMeanwhileIsPlannedAgain) {
  ASSERT_TRUE(Submit(Request({Upsert(1)}))->Wait().ok());
  CommitterInstance other(ctldb_);
  const Pending plug = Plug();
  const Pending before = Submit(Request({Upsert(2)}));
  ASSERT_TRUE(
      other.changer.AddFields({"fam", "plain"}, {{"extra", FieldType::kString}}, Soon()).ok());
  gate_.Open();
  ASSERT_TRUE(before->Wait().ok()) << before->Wait().status();
  EXPECT_TRUE(absl::StrContains(Ledger().back().statement, "\"extra\""))
      << Ledger().back().statement;
  OwnedRequest request = Request({Upsert(3)});
  request.rows[0].values.emplace_back("extra", Value::Text("x"));
  EXPECT_TRUE(Submit(request)->Wait().ok());
}

TEST_P(GroupCommitterTest, ATableThatWasCreatedAgainWithOtherColumnsIsPlannedAgain) {
  compare_at_end_ = false;  // the drop is not in the ledger
  ASSERT_TRUE(Submit(Request({Upsert(1)}))->Wait().ok());
  CommitterInstance other(ctldb_);
  const Pending plug = Plug();
  const Pending uses_name = Submit(Request({Upsert(1), Upsert(2, "x", "strict")}));
  OwnedRequest key = Request({Row{"strict", false, {{"id", Value::Integer(3)}}}});
  const Pending uses_key = Submit(key);
  const Pending neighbour = Submit(Request({Upsert(4)}));
  Run("DROP TABLE fam___strict");
  const absl::StatusOr<TableSchema> schema = TableSchema::Create(
      "fam", "strict", {{"id", FieldType::kInteger}, {"fresh", FieldType::kText}}, {"id"});
  ASSERT_TRUE(other.changer.CreateTables({*schema}, Soon()).ok());
  gate_.Open();
  EXPECT_EQ(ReasonOf(uses_name), reason::kUnknownField);
  EXPECT_EQ(ErrorField(uses_name->Wait().status()).value_or(""), "mutations[1].values.name");
  EXPECT_TRUE(uses_key->Wait().ok()) << uses_key->Wait().status();
  EXPECT_TRUE(neighbour->Wait().ok()) << neighbour->Wait().status();
  EXPECT_EQ(Ids(), (std::vector<int64_t>{1, 4}));
  EXPECT_EQ(Ids("strict"), std::vector<int64_t>{3});
  // Known from now on.
  EXPECT_EQ(ReasonOf(Submit(Request({Upsert(5, "x", "strict")}))), reason::kUnknownField);
}

// As a Go executive does, which does not count the schema version up.
TEST_P(GroupCommitterTest, ATableThatWasChangedUncountedIsReadAgain) {
  compare_at_end_ = false;  // the changes are not in the ledger
  CreateTable("dropped");
  ASSERT_TRUE(
      Submit(Request({Upsert(1), Upsert(1, "", "strict"), Upsert(1, "", "dropped")}))->Wait().ok());
  Run("DROP TABLE fam___dropped");
  Run("DROP TABLE fam___strict");
  const std::string type = is_mariadb() ? "BIGINT" : "INTEGER";
  Run(absl::StrCat("CREATE TABLE fam___strict (id ", type, " NOT NULL PRIMARY KEY, fresh ", type,
                   ")"));
  OwnedRequest key = Request({Row{"strict", false, {{"id", Value::Integer(3)}}}});
  const std::vector<Pending> answers =
      SubmitTogether({Request({Upsert(2)}), Request({Upsert(2, "", "dropped")}),
                      Request({Upsert(2, "", "strict")}), key, Request({Upsert(3)})});
  EXPECT_TRUE(answers[0]->Wait().ok()) << answers[0]->Wait().status();
  EXPECT_TRUE(absl::IsNotFound(answers[1]->Wait().status())) << answers[1]->Wait().status();
  EXPECT_EQ(ReasonOf(answers[1]), reason::kTableNotFound);
  EXPECT_EQ(ReasonOf(answers[2]), reason::kUnknownField);
  EXPECT_TRUE(answers[3]->Wait().ok()) << answers[3]->Wait().status();
  EXPECT_TRUE(answers[4]->Wait().ok()) << answers[4]->Wait().status();
  EXPECT_EQ(Ids(), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(Ids("strict"), std::vector<int64_t>{3});
}

TEST_P(GroupCommitterTest, AChangeThatWasLeftUnfinishedIsCompletedFirst) {
  if (!is_mariadb()) GTEST_SKIP() << "changes of tables are transactions on SQLite";
  CommitterInstance dies(ctldb_);
  dies.schema_fault = [](absl::string_view point) {
    return point == "after_ddl" ? absl::InternalError("dies here") : absl::OkStatus();
  };
  EXPECT_FALSE(
      dies.changer.AddFields({"fam", "plain"}, {{"extra", FieldType::kString}}, Soon()).ok());
  const int64_t before = LastSequence();
  // With as few connections as a change needs.
  CommitterInstance::Options options = CommitterInstance::DefaultOptions();
  options.max_connections = 2;
  NewInstance(options);
  const std::vector<Pending> answers = SubmitTogether({Request({Upsert(1)}), Request({Upsert(2)})});
  EXPECT_EQ(*answers[1]->Wait(), before + 4);
  EXPECT_TRUE(absl::StrContains(Ledger()[before].statement, "ALTER TABLE"));
}

// The end ------------------------------------------------------------------------------------

TEST_P(GroupCommitterTest, ShutdownAnswersAllThatWaitAndRefusesMore) {
  CommitterInstance::Options options = CommitterInstance::DefaultOptions();
  options.committer.max_group_requests = 2;
  NewInstance(options);
  const Pending plug = Plug();
  std::vector<Pending> waiting;
  for (int i = 0; i < 7; ++i) waiting.push_back(Submit(Request({Upsert(i)})));
  std::thread first([this] { instance_->committer->Shutdown(); });
  std::thread second([this] { instance_->committer->Shutdown(); });
  gate_.Open();
  first.join();
  second.join();
  EXPECT_TRUE(plug->answered());
  for (const Pending& pending : waiting) {
    ASSERT_TRUE(pending->answered());
    EXPECT_TRUE(pending->Wait().ok()) << pending->Wait().status();
  }
  const Pending late = Submit(Request({Upsert(8)}));
  ASSERT_TRUE(late->answered());
  EXPECT_TRUE(absl::IsUnavailable(late->Wait().status())) << late->Wait().status();
  EXPECT_TRUE(RetryDelay(late->Wait().status()).has_value());
}

TEST_P(GroupCommitterTest, RequestsOfManyThreadsAreAllAnswered) {
  constexpr int kThreads = 8;
  constexpr int kRequests = 25;
  const int64_t before = LastSequence();
  std::atomic<int> good(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      int64_t last = 0;
      for (int i = 0; i < kRequests; ++i) {
        const Pending pending = Submit(Request({Upsert(t * kRequests + i)}));
        if (!pending->Wait().ok()) continue;
        EXPECT_GT(*pending->Wait(), last);
        last = *pending->Wait();
        ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kThreads * kRequests);
  EXPECT_EQ(LastSequence(), before + kThreads * kRequests);
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, GroupCommitterTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

}  // namespace
}  // namespace ctlstore::executive
