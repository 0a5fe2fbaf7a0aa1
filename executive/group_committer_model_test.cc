// Random requests under random faults, and a model that says what must have become of them.
//
// CTLSTORE_MODEL_REQUESTS sets how many requests are made on each kind of ctldb, and
// CTLSTORE_MODEL_SEED which.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/writers.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_entry.h"
#include "executive/group_committer.h"
#include "executive/testing/committer_instance.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/ledger_comparison.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

using ::ctlstore::ctldb::Connection;
using Pending = std::shared_ptr<PendingAnswer>;
using Random = std::mt19937_64;

constexpr int kThreads = 6;
constexpr size_t kOutstanding = 16;  // of a thread
constexpr size_t kQueue = 60;
constexpr int kRows = 40;  // of a table
constexpr int64_t kFirstTag = 1000000;
const char* const kTables[] = {"plain", "other", "strict", "grown"};
const char* const kWriters[] = {"writer one", "writer two", "writer three", "writer four"};
constexpr char kUnknownWriter[] = "nobody";
// The database has a rule against rows of the table `strict` with this name.
constexpr char kRefused[] = "refused";

int64_t Setting(const char* name, int64_t otherwise) {
  const char* text = getenv(name);
  int64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

bool OneIn(Random* random, int n) { return (*random)() % n == 0; }
int Below(Random* random, int n) { return static_cast<int>((*random)() % n); }

absl::Status Unavailable(absl::string_view error_reason) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, error_reason, "put in by the test");
}

// What goes wrong: statements that fail, commits whose answer is lost before, at and after they
// are made, and times in which nothing answers. Thread-safe.
class Trouble {
 public:
  explicit Trouble(int64_t seed) : random_(seed) {}

  Faults Make() {
    Faults faults;
    faults.open = [this] { return Open(); };
    faults.statement = [this](absl::string_view statement) { return Statement(statement); };
    faults.commit = [this](std::unique_ptr<Connection>* connection) { return Commit(connection); };
    return faults;
  }

  void End() {
    absl::MutexLock lock(&mutex_);
    over_ = true;
    outage_end_ = absl::InfinitePast();
  }

  // Lets transactions end in the database whose connections were lost while they committed.
  void EndLostTransactions() {
    std::vector<std::unique_ptr<Connection>> lost;
    bool commit = false;
    {
      absl::MutexLock lock(&mutex_);
      lost.swap(lost_);
      commit = OneIn(&random_, 2);
    }
    for (std::unique_ptr<Connection>& connection : lost) {
      if (commit) (void)connection->Commit();
    }
  }

 private:
  absl::Status Open() {
    absl::MutexLock lock(&mutex_);
    return absl::Now() < outage_end_ ? Unavailable(reason::kCtldbUnavailable) : absl::OkStatus();
  }

  absl::Status Statement(absl::string_view) {
    absl::MutexLock lock(&mutex_);
    if (over_) return absl::OkStatus();
    if (absl::Now() < outage_end_) return Unavailable(reason::kCtldbUnavailable);
    if (OneIn(&random_, 300)) return Unavailable(reason::kCtldbBusy);
    if (OneIn(&random_, 1000)) return Unavailable(reason::kCtldbUnavailable);
    if (OneIn(&random_, 700)) return absl::InternalError("put in by the test");
    return absl::OkStatus();
  }

  absl::Status Commit(std::unique_ptr<Connection>* connection) {
    int what = 0;
    {
      absl::MutexLock lock(&mutex_);
      what = over_ ? 99 : Below(&random_, 100);
      // Often enough to be met in each run, however few commits it takes.
      if (what < 5 && ++losses_ % 8 == 2) {
        outage_end_ = absl::Now() + absl::Milliseconds(600);
      }
      if (what == 4) lost_.push_back(std::move(*connection));
    }
    switch (what) {
      case 0:
      case 1:  // before
        connection->reset();
        return Unavailable(reason::kOutcomeUnknown);
      case 2:
      case 3: {  // after
        const absl::Status status = (*connection)->Commit();
        connection->reset();
        return Unavailable(reason::kOutcomeUnknown);
      }
      case 4:  // at
        return Unavailable(reason::kOutcomeUnknown);
      case 5:
      case 6:
        (*connection)->Rollback();
        return Unavailable(reason::kCtldbBusy);
      case 7:
        connection->reset();
        return Unavailable(reason::kCtldbUnavailable);
      default:
        return (*connection)->Commit();
    }
  }

  absl::Mutex mutex_;
  Random random_ ABSL_GUARDED_BY(mutex_);
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time outage_end_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  // Commits whose answer was lost.
  int losses_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Connection>> lost_ ABSL_GUARDED_BY(mutex_);
};

// The cookies that writers probably have, so that some checks succeed.
class CookieGuesses {
 public:
  void Set(const std::string& writer, const std::string& cookie) {
    absl::MutexLock lock(&mutex_);
    guesses_[writer] = cookie;
  }
  std::string Get(const std::string& writer) {
    absl::MutexLock lock(&mutex_);
    return guesses_[writer];
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::string> guesses_ ABSL_GUARDED_BY(mutex_);
};

// Each has one row that is its own: the deletion of a row that is never there.
int64_t TagOf(int number) { return kFirstTag + number; }

OwnedRequest NewRequest(int number, Random* random, CookieGuesses* cookies) {
  OwnedRequest request;
  request.writer = kWriters[Below(random, 4)];
  const int rows = OneIn(random, 30) ? 30 : Below(random, 4);
  for (int i = 0; i < rows; ++i) {
    OwnedRequest::Row row;
    row.table = kTables[Below(random, 4)];
    row.remove = OneIn(random, 4);
    row.values.emplace_back("id", Value::Integer(Below(random, kRows)));
    if (!row.remove) row.values.emplace_back("name", Value::Text(absl::StrCat(number, ".", i)));
    request.rows.push_back(std::move(row));
  }
  const OwnedRequest::Row tag{"other", true, {{"id", Value::Integer(TagOf(number))}}};
  request.rows.insert(request.rows.begin() + Below(random, rows + 1), tag);
  if (OneIn(random, 40)) {
    const OwnedRequest::Row refused{
        "strict", false, {{"id", Value::Integer(1)}, {"name", Value::Text(kRefused)}}};
    request.rows.insert(request.rows.begin() + Below(random, rows + 2), refused);
  }
  if (OneIn(random, 100)) {
    request.rows.push_back(
        {"plain", false, {{"id", Value::Integer(1)}, {"no_such_field", Value::Integer(1)}}});
  }
  if (OneIn(random, 3)) request.cookie = absl::StrCat("cookie of ", number);
  if (OneIn(random, 4)) request.check_cookie = cookies->Get(request.writer);
  if (OneIn(random, 100)) {
    request.writer = kUnknownWriter;
    request.cookie = "x";
  }
  if (OneIn(random, 12)) request.timeout = absl::Milliseconds(Below(random, 40) - 1);
  return request;
}

bool HasField(const OwnedRequest& request, absl::string_view name) {
  return std::any_of(request.rows.begin(), request.rows.end(), [name](const auto& row) {
    return std::any_of(row.values.begin(), row.values.end(),
                       [name](const auto& value) { return value.first == name; });
  });
}

bool HasRefusedRow(const OwnedRequest& request) {
  return std::any_of(request.rows.begin(), request.rows.end(), [](const auto& row) {
    return row.values.size() > 1 && row.values[1].second == Value::Text(kRefused);
  });
}

// One request that is in the ledger.
struct Applied {
  int64_t first = 0;
  int64_t last = 0;
  const PendingAnswer* pending = nullptr;
};

// What the requests in the ledger must have left, and whether they may be there.
class Model {
 public:
  explicit Model(std::vector<LedgerEntry> ledger) : ledger_(std::move(ledger)) {
    for (const LedgerEntry& entry : ledger_) ++times_[entry.statement];
  }

  // How often the ledger has the request.
  int Times(int number) const {
    const auto found = times_.find(TagStatement(number));
    return found == times_.end() ? 0 : found->second;
  }

  // Takes up a request that was answered with this sequence.
  void Add(const PendingAnswer& pending, int64_t sequence) {
    const std::vector<std::string>& statements = pending.statements();
    std::vector<std::string> entries = statements;
    if (entries.size() > 1) {
      entries.insert(entries.begin(), kBeginMarker);
      entries.emplace_back(kCommitMarker);
    }
    Applied applied;
    applied.last = sequence;
    applied.first = sequence - static_cast<int64_t>(entries.size()) + 1;
    applied.pending = &pending;
    ASSERT_GE(applied.first, 1);
    ASSERT_LE(sequence, static_cast<int64_t>(ledger_.size()));
    for (size_t i = 0; i < entries.size(); ++i) {
      ASSERT_EQ(ledger_[applied.first - 1 + i].statement, entries[i]) << "before " << sequence;
    }
    ASSERT_TRUE(applied_.emplace(sequence, applied).second) << sequence << " was answered twice";
  }

  // The same for one whose answer was OUTCOME_UNKNOWN and that the ledger has.
  void AddFound(const PendingAnswer& pending, int number) {
    const auto entry = std::find_if(
        ledger_.begin(), ledger_.end(),
        [number](const LedgerEntry& entry) { return entry.statement == TagStatement(number); });
    const std::vector<std::string>& statements = pending.statements();
    const auto place = std::find(statements.begin(), statements.end(), TagStatement(number));
    const int64_t rest = statements.end() - place - 1;
    Add(pending, entry->sequence + rest + (statements.size() > 1 ? 1 : 0));
  }

  void Replay() {
    int64_t last = 0;
    for (const auto& [sequence, applied] : applied_) {
      ASSERT_FALSE(testing::Test::HasFailure());
      ASSERT_GT(applied.first, last) << "two requests share a sequence";
      ExpectNoRequest(last + 1, applied.first);
      last = sequence;
      const OwnedRequest& request = applied.pending->request;
      std::string& cookie = cookies_[request.writer];
      if (request.check_cookie.has_value()) {
        EXPECT_EQ(cookie, *request.check_cookie) << "at " << sequence;
      }
      if (request.cookie.has_value()) cookie = *request.cookie;
      cookie_changes_[request.writer].emplace_back(sequence, cookie);
      for (const OwnedRequest::Row& row : request.rows) {
        const int64_t id = row.values[0].second.view().integer();
        if (row.remove) {
          tables[row.table].erase(id);
        } else {
          tables[row.table][id] = row.values[1].second.data();
        }
      }
      EXPECT_FALSE(HasRefusedRow(request)) << "at " << sequence;
      EXPECT_FALSE(HasField(request, "no_such_field")) << "at " << sequence;
      EXPECT_NE(request.writer, kUnknownWriter) << "at " << sequence;
    }
    ExpectNoRequest(last + 1, static_cast<int64_t>(ledger_.size()) + 1);

    // Who was answered before another one was submitted, comes before it.
    int64_t first_answer_after = std::numeric_limits<int64_t>::max();
    for (auto applied = applied_.rbegin(); applied != applied_.rend(); ++applied) {
      EXPECT_GT(first_answer_after, applied->second.pending->submitted_at())
          << "at " << applied->first;
      first_answer_after = std::min(first_answer_after, applied->second.pending->answered_at());
    }
  }

  // Whether the writer may have had another cookie than the checked one when the request was
  // refused for that.
  bool MayMismatch(const PendingAnswer& refused) const {
    int64_t from = 0;
    int64_t to = std::numeric_limits<int64_t>::max();
    for (const auto& [sequence, applied] : applied_) {
      if (applied.pending->answered_at() < refused.submitted_at()) from = sequence;
      if (applied.pending->submitted_at() > refused.answered_at()) to = std::min(to, sequence);
    }
    std::string cookie;
    const auto changes = cookie_changes_.find(refused.request.writer);
    if (changes == cookie_changes_.end()) return *refused.request.check_cookie != cookie;
    for (const auto& [sequence, changed] : changes->second) {
      if (sequence > from && *refused.request.check_cookie != cookie) return true;
      if (sequence >= to) return false;
      cookie = changed;
    }
    return *refused.request.check_cookie != cookie;
  }

  const std::map<std::string, std::string>& cookies() const { return cookies_; }
  size_t size() const { return applied_.size(); }

  std::map<std::string, std::map<int64_t, std::string>> tables;

 private:
  static std::string TagStatement(int number) {
    return absl::StrCat("DELETE FROM fam___other WHERE \"id\" = ", TagOf(number));
  }

  // From `first` to before `end` there are changes of tables only.
  void ExpectNoRequest(int64_t first, int64_t end) const {
    for (int64_t sequence = first; sequence < end; ++sequence) {
      const std::string& statement = ledger_[sequence - 1].statement;
      EXPECT_FALSE(absl::StartsWith(statement, "REPLACE") || absl::StartsWith(statement, "DELETE"))
          << "nobody was answered with what stands at " << sequence << ": " << statement;
    }
  }

  const std::vector<LedgerEntry> ledger_;
  std::map<std::string, int> times_;
  std::map<int64_t, Applied> applied_;
  std::map<std::string, std::string> cookies_;
  std::map<std::string, std::vector<std::pair<int64_t, std::string>>> cookie_changes_;
};

class GroupCommitterModelTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  bool is_mariadb() const { return GetParam() == TestCtldb::Kind::kMariadb; }

  void SetUp() override {
    connection_ = ctldb_.Connect();
    ASSERT_TRUE(ctldb::CreateFamily(connection_.get(), "fam").ok());
    for (const char* writer : kWriters) {
      ASSERT_TRUE(ctldb::AddWriter(connection_.get(), writer, "hash").ok());
    }
    std::vector<TableSchema> tables;
    for (const char* table : kTables) {
      tables.push_back(*TableSchema::Create(
          "fam", table, {{"id", FieldType::kInteger}, {"name", FieldType::kText}}, {"id"}));
    }
    CommitterInstance instance(ctldb_);
    const absl::StatusOr<int64_t> created =
        instance.changer.CreateTables(tables, absl::Now() + absl::Minutes(1));
    ASSERT_TRUE(created.ok()) << created.status();
    const std::string refuse =
        is_mariadb() ? "FOR EACH ROW BEGIN IF NEW.name = 'refused' THEN SIGNAL SQLSTATE '22003' "
                       "SET MYSQL_ERRNO = 1264; END IF; END"
                     : "WHEN NEW.name = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END";
    ASSERT_TRUE(
        connection_
            ->Execute(absl::StrCat("CREATE TRIGGER refuse BEFORE INSERT ON fam___strict ", refuse))
            .ok());
  }

  TestCtldb ctldb_{GetParam()};
  std::unique_ptr<Connection> connection_;
};

TEST_P(GroupCommitterModelTest, EveryAnswerIsTrue) {
  const int count = static_cast<int>(Setting("CTLSTORE_MODEL_REQUESTS", 10000));
  const int64_t seed = Setting("CTLSTORE_MODEL_SEED", 1);
  Trouble trouble(seed);
  CookieGuesses guesses;
  std::vector<Pending> all(count);
  {
    CommitterInstance::Options options = CommitterInstance::DefaultOptions();
    options.committer.max_queue_requests = kQueue;
    options.committer.max_group_requests = 16;
    options.committer.max_group_rows = 100;
    options.committer.outcome_timeout = absl::Milliseconds(300);
    CommitterInstance instance(ctldb_, options);
    instance.faults = trouble.Make();

    // Other programs, and other executives: they lock rows, also so that there are deadlocks, and
    // change a table now and then.
    std::atomic<bool> stop(false);
    std::atomic<int> started(0);
    std::thread disturber([&] {
      CommitterInstance other(ctldb_);
      Random random(seed + 1);
      const std::unique_ptr<Connection> connection = ctldb_.Connect();
      int fields = 0;
      while (!stop) {
        trouble.EndLostTransactions();
        if (started > (fields + 1) * count / 5) {
          const Field field{absl::StrCat("more_", fields++), FieldType::kInteger};
          (void)other.changer.AddFields({"fam", "grown"}, {field}, absl::Now() + absl::Minutes(1));
        }
        if (connection->BeginWrite().ok()) {
          (void)connection->Execute("UPDATE fam___plain SET name = name WHERE id = ?",
                                    {Below(&random, kRows)});
          absl::SleepFor(absl::Milliseconds(Below(&random, 5)));
          if (connection->in_transaction()) {
            (void)connection->Execute("UPDATE locks SET clock = clock + 1 WHERE id = 'ledger'");
          }
          connection->Rollback();
        }
        absl::SleepFor(absl::Milliseconds(10 + Below(&random, 20)));
      }
    });

    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Random random(seed + 100 + t);
        std::deque<Pending> outstanding;
        const auto wait = [&] {
          const Pending pending = std::move(outstanding.front());
          outstanding.pop_front();
          if (pending->Wait().ok() && pending->request.cookie.has_value()) {
            guesses.Set(pending->request.writer, *pending->request.cookie);
          }
        };
        while (true) {
          const int number = started++;
          if (number >= count) break;
          all[number] = instance.Submit(NewRequest(number, &random, &guesses));
          outstanding.push_back(all[number]);
          if (OneIn(&random, 15)) {
            outstanding[Below(&random, static_cast<int>(outstanding.size()))]->cancelled = true;
          }
          // In bursts, so that the queue is full at times and empty at others.
          const bool refused =
              all[number]->answered() && absl::IsResourceExhausted(all[number]->Wait().status());
          if (refused || outstanding.size() >= kOutstanding) {
            const size_t keep = refused ? 0 : Below(&random, kOutstanding);
            while (outstanding.size() > keep) wait();
            while (refused && instance.committer->queue_length() > kQueue / 2) {
              absl::SleepFor(absl::Milliseconds(1));
            }
          }
        }
        while (!outstanding.empty()) wait();
      });
    }
    for (std::thread& thread : threads) thread.join();
    stop = true;
    disturber.join();
    trouble.End();
    instance.committer->Shutdown();
    trouble.EndLostTransactions();
  }

  const absl::Status same = CompareLedgerWithTables(connection_.get());
  EXPECT_TRUE(same.ok()) << same;
  const absl::StatusOr<std::vector<LedgerEntry>> ledger = ReadLedger(connection_.get());
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  Model model(*ledger);
  std::map<std::string, int> answers;
  for (int number = 0; number < count; ++number) {
    const absl::StatusOr<int64_t>& answer = all[number]->Wait();
    const std::string error_reason = ErrorReason(answer.status()).value_or("");
    ++answers[answer.ok() ? "OK"
                          : absl::StrCat(absl::StatusCodeToString(answer.status().code()), " ",
                                         error_reason)];
    SCOPED_TRACE(absl::StrCat("request ", number, ": ", answer.status().ToString()));
    if (answer.ok()) {
      ASSERT_EQ(model.Times(number), 1);
      ASSERT_NO_FATAL_FAILURE(model.Add(*all[number], *answer));
    } else if (error_reason == reason::kOutcomeUnknown) {
      ASSERT_LE(model.Times(number), 1);
      if (model.Times(number) == 1) {
        ASSERT_NO_FATAL_FAILURE(model.AddFound(*all[number], number));
      }
    } else {
      ASSERT_EQ(model.Times(number), 0);
    }
  }
  ASSERT_NO_FATAL_FAILURE(model.Replay());

  // Each refusal has its cause.
  for (int number = 0; number < count && !HasFailure(); ++number) {
    const PendingAnswer& pending = *all[number];
    const OwnedRequest& request = pending.request;
    const absl::Status& status = pending.Wait().status();
    const std::string error_reason = ErrorReason(status).value_or("");
    SCOPED_TRACE(absl::StrCat("request ", number, ": ", status.ToString()));
    switch (status.code()) {
      case absl::StatusCode::kOk:
      case absl::StatusCode::kInternal:  // injected
        break;
      case absl::StatusCode::kInvalidArgument:
        EXPECT_TRUE(HasRefusedRow(request) || HasField(request, "no_such_field"));
        EXPECT_TRUE(absl::StartsWith(ErrorField(status).value_or(""), "mutations["));
        break;
      case absl::StatusCode::kUnauthenticated:
        EXPECT_EQ(request.writer, kUnknownWriter);
        break;
      case absl::StatusCode::kAborted:
        ASSERT_TRUE(request.check_cookie.has_value());
        EXPECT_TRUE(model.MayMismatch(pending));
        break;
      case absl::StatusCode::kCancelled:
        EXPECT_TRUE(pending.cancelled);
        break;
      case absl::StatusCode::kDeadlineExceeded:
        EXPECT_LT(request.timeout, absl::Minutes(1));
        break;
      case absl::StatusCode::kResourceExhausted:
        EXPECT_EQ(error_reason, reason::kQueueFull);
        EXPECT_TRUE(RetryDelay(status).has_value());
        break;
      case absl::StatusCode::kUnavailable:
        EXPECT_TRUE(RetryDelay(status).has_value());
        break;
      default:
        ADD_FAILURE();
    }
  }

  for (const char* table : kTables) {
    std::map<int64_t, std::string> rows;
    ASSERT_TRUE(connection_
                    ->Query(absl::StrCat("SELECT \"id\", \"name\" FROM fam___", table), {},
                            [&rows](absl::Span<const ValueView> row) {
                              rows[row[0].integer()] = std::string(row[1].data());
                              return absl::OkStatus();
                            })
                    .ok());
    EXPECT_EQ(rows, model.tables[table]) << table;
  }
  for (const char* writer : kWriters) {
    const auto cookie = model.cookies().find(writer);
    EXPECT_EQ((*ctldb::ReadWriter(connection_.get(), writer))->cookie,
              cookie == model.cookies().end() ? "" : cookie->second);
  }

  std::cout << "seed " << seed << ", " << count << " requests, " << model.size()
            << " in the ledger:";
  for (const auto& [answer, times] : answers) std::cout << " " << answer << ": " << times << ";";
  std::cout << std::endl;
  // A run of this size has met everything.
  if (count < 10000) return;
  EXPECT_GT(answers["OK"], count / 3);
  for (const char* answer : {"ABORTED COOKIE_MISMATCH", "CANCELLED ", "DEADLINE_EXCEEDED ",
                             "INVALID_ARGUMENT INVALID_VALUE", "INVALID_ARGUMENT UNKNOWN_FIELD",
                             "RESOURCE_EXHAUSTED QUEUE_FULL", "UNAUTHENTICATED BAD_CREDENTIALS",
                             "UNAVAILABLE OUTCOME_UNKNOWN"}) {
    EXPECT_GT(answers[answer], 0) << answer;
  }
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, GroupCommitterModelTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

}  // namespace
}  // namespace ctlstore::executive
