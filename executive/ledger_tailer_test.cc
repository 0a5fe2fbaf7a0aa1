#include "executive/ledger_tailer.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/ledger.pb.h"
#include "executive/testing/ledger_comparison.h"
#include "executive/testing/ledger_test_util.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

// A listener of the test's own. Takes what it is sent at once, or, while it is held, when it is
// released.
class TestListener : public LedgerListener {
 public:
  TestListener(LedgerTailer* tailer, bool held = false) : tailer_(tailer), held_(held) {}
  ~TestListener() override { EXPECT_TRUE(left()); }

  void Send(Part part) override {
    {
      absl::MutexLock lock(&mutex_);
      EXPECT_FALSE(sending_);
      EXPECT_FALSE(end_.has_value());
      sending_ = true;
      part_ = std::move(part);
      if (held_) return;
    }
    Take();
  }

  void Cancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }

  void End(const absl::Status& status) override {
    {
      absl::MutexLock lock(&mutex_);
      EXPECT_FALSE(sending_);
      EXPECT_FALSE(end_.has_value());
      end_ = status;
      if (held_) return;
    }
    tailer_->Left(this);
    absl::MutexLock lock(&mutex_);
    left_ = true;
  }

  void Hold() {
    absl::MutexLock lock(&mutex_);
    held_ = true;
  }

  // Takes what it was held from, and all that comes.
  void Release() {
    bool ended = false;
    bool sending = false;
    {
      absl::MutexLock lock(&mutex_);
      held_ = false;
      sending = sending_;
      ended = end_.has_value() && !left_;
    }
    if (sending) Take();
    if (!ended) return;
    tailer_->Left(this);
    absl::MutexLock lock(&mutex_);
    left_ = true;
  }

  // As a stream that broke.
  void Break() {
    {
      absl::MutexLock lock(&mutex_);
      held_ = false;
      part_ = Part();
      if (!std::exchange(sending_, false)) return;
    }
    tailer_->Sent(this, false);
  }

  std::vector<LedgerEntry> entries() const {
    absl::MutexLock lock(&mutex_);
    return entries_;
  }
  int64_t sequence() const {
    absl::MutexLock lock(&mutex_);
    return entries_.empty() ? 0 : entries_.back().sequence;
  }
  int empty_messages() const {
    absl::MutexLock lock(&mutex_);
    return empty_;
  }
  int64_t ledger_sequence() const {
    absl::MutexLock lock(&mutex_);
    return ledger_sequence_;
  }
  bool sending() const {
    absl::MutexLock lock(&mutex_);
    return sending_;
  }
  // Of what it was sent and has not taken.
  const void* held_message() const {
    absl::MutexLock lock(&mutex_);
    return part_.message.get();
  }
  size_t held_bytes() const {
    absl::MutexLock lock(&mutex_);
    return part_.message == nullptr ? 0 : part_.message->size();
  }
  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }
  absl::optional<absl::Status> end() const {
    absl::MutexLock lock(&mutex_);
    return end_;
  }
  bool left() const {
    absl::MutexLock lock(&mutex_);
    return left_;
  }

 private:
  void Take() {
    {
      absl::MutexLock lock(&mutex_);
      const Part part = std::exchange(part_, Part());
      v1::TailResponse response;
      EXPECT_TRUE(response.ParseFromArray(part.entries.bytes.data(),
                                          static_cast<int>(part.entries.bytes.size())));
      EXPECT_EQ(static_cast<size_t>(response.entries_size()), part.entries.entries);
      for (v1::TailEntry& entry : *response.mutable_entries()) {
        entries_.push_back({entry.sequence(), std::move(*entry.mutable_leader_time()),
                            std::move(*entry.mutable_statement())});
      }
      if (response.entries_size() == 0) ++empty_;
      ledger_sequence_ = part.last_sequence;
      sending_ = false;
    }
    tailer_->Sent(this, true);
  }

  LedgerTailer* const tailer_;
  mutable absl::Mutex mutex_;
  bool held_ ABSL_GUARDED_BY(mutex_);
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
  Part part_ ABSL_GUARDED_BY(mutex_);
  std::vector<LedgerEntry> entries_ ABSL_GUARDED_BY(mutex_);
  int empty_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t ledger_sequence_ ABSL_GUARDED_BY(mutex_) = -1;
  absl::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

class LedgerTailerTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  LedgerTailerTest() : ctldb_(GetParam()), connection_(ctldb_.Connect()) {
    options_.ctldb = ctldb_.target();
    options_.connection = ctldb_.options();
    options_.poll_interval = absl::Milliseconds(5);
  }

  void Start() { tailer_ = std::make_unique<LedgerTailer>(options_, &metrics_); }

  int64_t Append(const std::vector<std::string>& statements) {
    const int64_t sequence = AppendToLedger(connection_.get(), statements);
    if (tailer_ != nullptr) tailer_->Wake(sequence);
    return sequence;
  }
  void AppendSome(int transactions, size_t bytes = 40) {
    for (int i = 0; i < transactions; ++i) Append({StatementOf(++number_, bytes)});
  }

  std::vector<LedgerEntry> Ledger() {
    absl::StatusOr<std::vector<LedgerEntry>> ledger = ReadLedger(connection_.get());
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    return *std::move(ledger);
  }
  void Sql(const std::string& sql) {
    const absl::Status status = connection_->Execute(sql).status();
    ASSERT_TRUE(status.ok()) << status;
  }

  std::unique_ptr<TestListener> Listen(LedgerPosition after, bool held = false) {
    auto listener = std::make_unique<TestListener>(tailer_.get(), held);
    tailer_->Listen(after, "host/7", listener.get());
    return listener;
  }

  // A gauge's or counter's value; of a histogram the count.
  double Metric(const std::string& name, const std::string& label = "") {
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      if (family.name != name) continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (!label.empty() && (metric.label.empty() || metric.label[0].value != label)) continue;
        if (family.type == prometheus::MetricType::Histogram) return metric.histogram.sample_count;
        return family.type == prometheus::MetricType::Gauge ? metric.gauge.value
                                                            : metric.counter.value;
      }
    }
    return 0;
  }

  static void ExpectEnd(const TestListener& listener, absl::StatusCode code,
                        const std::string& error_reason) {
    ASSERT_TRUE(Eventually([&] { return listener.end().has_value(); }));
    EXPECT_EQ(listener.end()->code(), code) << *listener.end();
    EXPECT_EQ(ErrorReason(*listener.end()).value_or(""), error_reason) << *listener.end();
  }

  TestCtldb ctldb_;
  const std::unique_ptr<ctldb::Connection> connection_;
  prometheus::Registry registry_;
  LedgerMetrics metrics_{&registry_};
  LedgerTailer::Options options_;
  std::unique_ptr<LedgerTailer> tailer_;
  int64_t number_ = 0;
};

TEST_P(LedgerTailerTest, SendsWhatIsThereAndWhatComes) {
  AppendSome(20);
  Start();
  const auto listener = Listen({});
  ASSERT_TRUE(Eventually([&] { return listener->sequence() == 20; }));
  AppendSome(1);
  Append({StatementOf(1), StatementOf(2)});
  ASSERT_TRUE(Eventually([&] { return listener->sequence() == 25; }));
  EXPECT_EQ(Difference(Ledger(), listener->entries()), "");
  EXPECT_EQ(listener->ledger_sequence(), 25);
  tailer_->Shutdown();
  ExpectEnd(*listener, absl::StatusCode::kUnavailable, "");
  EXPECT_TRUE(RetryDelay(*listener->end()).has_value());
}

TEST_P(LedgerTailerTest, TellsAtOnceAndNowAndThenThatThereIsNothing) {
  options_.idle_interval = absl::Milliseconds(20);
  Start();
  const auto first = Listen({});
  ASSERT_TRUE(Eventually([&] { return first->empty_messages() >= 3; }));
  EXPECT_EQ(first->ledger_sequence(), 0);
  AppendSome(3);
  const auto second = Listen(PositionAfter(Ledger()[2]));
  ASSERT_TRUE(Eventually([&] { return second->empty_messages() >= 3; }));
  EXPECT_EQ(second->ledger_sequence(), 3);
  EXPECT_TRUE(second->entries().empty());
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, WithoutListenersNothingIsAsked) {
  AppendSome(3);
  Start();
  const auto listener = Listen({});
  ASSERT_TRUE(Eventually([&] { return listener->sequence() == 3; }));
  tailer_->Leave(listener.get());
  ASSERT_TRUE(Eventually([&] { return listener->left(); }));
  EXPECT_EQ(listener->end()->code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(Eventually([&] { return Metric("ctlstore_executive_ledger_buffer_entries") == 0; }));
  const double asked = Metric("ctlstore_executive_ledger_queries_total", "new");
  AppendSome(5);
  absl::SleepFor(20 * options_.poll_interval);
  EXPECT_EQ(Metric("ctlstore_executive_ledger_queries_total", "new"), asked);
  // The next one gets what came meanwhile.
  const auto next = Listen(PositionAfter(listener->entries().back()));
  ASSERT_TRUE(Eventually([&] { return next->sequence() == 8; }));
  EXPECT_EQ(next->entries().size(), 5u);
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, QuestionsDoNotGrowWithListeners) {
  // Only woken, never by the time.
  options_.poll_interval = options_.idle_interval = absl::Hours(1);
  AppendSome(10);
  Start();
  std::vector<std::unique_ptr<TestListener>> listeners;
  const LedgerPosition end = PositionAfter(Ledger().back());
  const auto ask = [&](double* asked) {
    const double before = Metric("ctlstore_executive_ledger_queries_total", "new") +
                          Metric("ctlstore_executive_ledger_queries_total", "old");
    for (int i = 0; i < 30; ++i) {
      AppendSome(1);
      ASSERT_TRUE(Eventually([&] {
        for (const auto& listener : listeners) {
          if (listener->entries().empty() || listener->sequence() != 10 + number_ - 10) {
            return false;
          }
        }
        return true;
      }));
    }
    *asked = Metric("ctlstore_executive_ledger_queries_total", "new") +
             Metric("ctlstore_executive_ledger_queries_total", "old") - before;
  };
  listeners.push_back(Listen(end));
  ASSERT_TRUE(Eventually([&] { return listeners[0]->empty_messages() == 1; }));
  double of_one = 0;
  ask(&of_one);
  const LedgerPosition now = PositionAfter(Ledger().back());
  for (int i = 0; i < 300; ++i) listeners.push_back(Listen(now));
  ASSERT_TRUE(Eventually([&] {
    for (size_t i = 1; i < listeners.size(); ++i) {
      if (listeners[i]->empty_messages() == 0) return false;
    }
    return true;
  }));
  double of_many = 0;
  ask(&of_many);
  EXPECT_EQ(of_one, 30);
  EXPECT_EQ(of_many, 30);
  EXPECT_EQ(Metric("ctlstore_executive_ledger_listeners"), 301);
  EXPECT_EQ(Metric("ctlstore_executive_ledger_listeners_catching_up"), 0);
  EXPECT_EQ(Metric("ctlstore_executive_ledger_delay_seconds"), 60);
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, ASlowListenerIsLetGoAndCatchesUpWhenItComesBack) {
  options_.buffer_bytes = 20000;
  options_.message_bytes = 2000;
  Start();
  const auto fast = Listen({});
  const auto slow = Listen({});
  ASSERT_TRUE(Eventually([&] { return slow->empty_messages() == 1; }));
  AppendSome(1);
  ASSERT_TRUE(Eventually([&] { return slow->sequence() == 1; }));
  slow->Hold();
  AppendSome(100, 1000);
  ASSERT_TRUE(Eventually([&] { return fast->sequence() == 101; }));
  ASSERT_TRUE(slow->sending());
  EXPECT_FALSE(slow->end().has_value());
  slow->Release();
  ExpectEnd(*slow, absl::StatusCode::kResourceExhausted, reason::kSlowReader);
  EXPECT_EQ(Metric("ctlstore_executive_ledger_listeners_let_go_total", reason::kSlowReader), 1);
  EXPECT_FALSE(fast->end().has_value());

  const LedgerPosition reached = PositionAfter(slow->entries().back());
  EXPECT_LT(reached.sequence, 101);
  const auto again = Listen(reached);
  ASSERT_TRUE(Eventually([&] { return again->sequence() == 101; }));
  EXPECT_EQ(Difference(EntriesBehind(Ledger(), reached.sequence), again->entries()), "");
  EXPECT_EQ(Difference(Ledger(), fast->entries()), "");
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, ListenersThatTakeNothingHoldBoundedMemory) {
  options_.buffer_bytes = 50000;
  options_.message_bytes = 5000;
  Start();
  // Each is held at another message, so that together they hold all.
  std::vector<std::unique_ptr<TestListener>> listeners;
  const auto fast = Listen({});
  for (int i = 0; i < 100; ++i) {
    listeners.push_back(Listen({}));
    const TestListener& newest = *listeners.back();
    ASSERT_TRUE(Eventually([&] {
      return newest.sequence() == number_ && (number_ > 0 || newest.empty_messages() == 1);
    }));
    listeners.back()->Hold();
    AppendSome(1, 5000);
    ASSERT_TRUE(Eventually([&] { return fast->sequence() == number_; }));
    ASSERT_TRUE(Eventually([&] { return newest.sending(); }));
    // Those that are cancelled let go.
    std::map<const void*, size_t> held;
    for (const auto& listener : listeners) {
      if (listener->cancelled()) listener->Break();
      if (listener->held_bytes() > 0) held[listener->held_message()] = listener->held_bytes();
    }
    size_t bytes = 0;
    for (const auto& [message, size] : held) bytes += size;
    // What is cancelled takes a moment to let go.
    if (bytes > 4 * options_.buffer_bytes) {
      ASSERT_TRUE(Eventually([&] {
        size_t left = 0;
        for (const auto& listener : listeners) {
          if (listener->cancelled()) listener->Break();
          left += listener->held_bytes();
        }
        return left <= 3 * options_.buffer_bytes;
      }));
    }
  }
  int let_go = 0;
  ASSERT_TRUE(Eventually([&] {
    let_go = 0;
    for (const auto& listener : listeners) {
      if (listener->cancelled()) listener->Break();
      if (listener->end().has_value()) ++let_go;
    }
    return let_go > 60;
  }));
  for (const auto& listener : listeners) {
    if (!listener->end().has_value()) continue;
    EXPECT_EQ(ErrorReason(*listener->end()).value_or(""), reason::kSlowReader);
  }
  EXPECT_FALSE(fast->end().has_value());
  EXPECT_LE(Metric("ctlstore_executive_ledger_buffer_bytes"), options_.buffer_bytes);
  for (const auto& listener : listeners) listener->Release();
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, CatchUpMessagesThatNobodyTakesAreBounded) {
  AppendSome(40, 100000);
  options_.buffer_bytes = 1000000;
  options_.listener_timeout = absl::Milliseconds(300);
  Start();
  std::vector<std::unique_ptr<TestListener>> listeners;
  for (int i = 0; i < 50; ++i) listeners.push_back(Listen({}, /*held=*/true));
  // Four or five messages are as much as may be on their way; the others get theirs when those
  // were given up.
  size_t most = 0;
  ASSERT_TRUE(Eventually([&] {
    size_t bytes = 0;
    bool all = true;
    for (const auto& listener : listeners) bytes += listener->held_bytes();
    most = std::max(most, bytes);
    for (const auto& listener : listeners) {
      if (listener->cancelled()) listener->Break();
      if (!listener->end().has_value()) all = false;
    }
    return all;
  }));
  // Two readers can have begun when the bound was reached.
  EXPECT_LE(most, options_.buffer_bytes + 2 * 500000);
  EXPECT_GT(most, 0u);
  for (const auto& listener : listeners) {
    EXPECT_EQ(listener->end()->code(), absl::StatusCode::kCancelled);
    listener->Release();
  }
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, AListenerThatTakesNothingIsCancelled) {
  options_.listener_timeout = absl::Milliseconds(100);
  AppendSome(1);
  Start();
  const auto listener = Listen({}, /*held=*/true);
  ASSERT_TRUE(Eventually([&] { return listener->cancelled(); }));
  EXPECT_FALSE(listener->end().has_value());
  listener->Break();
  ExpectEnd(*listener, absl::StatusCode::kCancelled, "");
  listener->Release();
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, ChecksWhereAListenerBegins) {
  AppendSome(50);
  Start();
  const std::vector<LedgerEntry> ledger = Ledger();
  const auto live = Listen(PositionAfter(ledger.back()));
  ASSERT_TRUE(Eventually([&] { return live->empty_messages() > 0; }));
  const std::string wrong(16, 'x');
  for (const int64_t sequence : {int64_t{1}, int64_t{20}, int64_t{50}}) {
    const auto listener = Listen({sequence, wrong});
    ExpectEnd(*listener, absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged);
    EXPECT_TRUE(listener->entries().empty());
  }
  const auto behind = Listen({51, ""});
  ExpectEnd(*behind, absl::StatusCode::kUnavailable, reason::kLedgerBehind);
  Sql("DELETE FROM ctlstore_dml_ledger WHERE seq <= 30");
  for (const int64_t sequence : {int64_t{0}, int64_t{10}, int64_t{29}}) {
    const auto listener = Listen({sequence, ""});
    ExpectEnd(*listener, absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned);
  }
  const auto edge = Listen(PositionAfter(ledger[29]));
  ASSERT_TRUE(Eventually([&] { return edge->sequence() == 50; }));
  EXPECT_EQ(edge->entries().size(), 20u);
  EXPECT_FALSE(live->end().has_value());
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, ARestoredLedgerEndsThoseWhoHaveWhatItHasNot) {
  AppendSome(50);
  Start();
  const std::vector<LedgerEntry> ledger = Ledger();
  const auto far = Listen(PositionAfter(ledger.back()));
  const auto behind = Listen(PositionAfter(ledger[39]));
  ASSERT_TRUE(Eventually([&] { return behind->sequence() == 50 && far->empty_messages() > 0; }));
  // Goes back to 40, and on in another way up to 45.
  Sql("DELETE FROM ctlstore_dml_ledger WHERE seq > 40");
  ExpectEnd(*far, absl::StatusCode::kUnavailable, reason::kLedgerBehind);
  ExpectEnd(*behind, absl::StatusCode::kUnavailable, reason::kLedgerBehind);
  const auto common = Listen(PositionAfter(ledger[39]));
  number_ = 1000;
  AppendSome(5);
  ASSERT_TRUE(Eventually([&] { return common->sequence() == 45; }));
  EXPECT_EQ(Difference(EntriesBehind(Ledger(), 40), common->entries()), "");
  const auto diverged = Listen(PositionAfter(ledger[42]));
  ExpectEnd(*diverged, absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged);
  // Under the eyes of who listens, in one transaction.
  ASSERT_TRUE(connection_->BeginWrite().ok());
  Sql("UPDATE ctlstore_dml_ledger SET statement = 'another one' WHERE seq = 45");
  ASSERT_TRUE(connection_->Commit().ok());
  ExpectEnd(*common, absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged);
  const auto fresh = Listen(PositionAfter(ledger[39]));
  AppendSome(1);
  ASSERT_TRUE(Eventually([&] { return fresh->sequence() == 46; }));
  EXPECT_EQ(Difference(EntriesBehind(Ledger(), 40), fresh->entries()), "");
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, TooManyListenersAreRefused) {
  options_.max_listeners = 3;
  Start();
  std::vector<std::unique_ptr<TestListener>> listeners;
  for (int i = 0; i < 3; ++i) listeners.push_back(Listen({}));
  {
    const auto refused = std::make_unique<TestListener>(tailer_.get());
    tailer_->Listen({}, "one too many", refused.get());
    ExpectEnd(*refused, absl::StatusCode::kResourceExhausted, reason::kTooManyListeners);
    EXPECT_TRUE(RetryDelay(*refused->end()).has_value());
  }
  tailer_->Leave(listeners[0].get());
  ASSERT_TRUE(Eventually([&] { return listeners[0]->left(); }));
  listeners[0] = Listen({});
  AppendSome(1);
  ASSERT_TRUE(Eventually([&] { return listeners[0]->sequence() == 1; }));
  tailer_->Shutdown();
}

TEST_P(LedgerTailerTest, ShutdownEndsThoseWhoTakeNothingToo) {
  options_.shutdown_patience = absl::Milliseconds(50);
  AppendSome(1);
  Start();
  const auto idle = Listen({});
  ASSERT_TRUE(Eventually([&] { return idle->sequence() == 1; }));
  const auto stuck = Listen({}, /*held=*/true);
  ASSERT_TRUE(Eventually([&] { return stuck->sending(); }));
  std::thread shutdown([&] { tailer_->Shutdown(); });
  ExpectEnd(*idle, absl::StatusCode::kUnavailable, "");
  ASSERT_TRUE(Eventually([&] { return stuck->cancelled(); }));
  stuck->Break();
  shutdown.join();
  ExpectEnd(*stuck, absl::StatusCode::kUnavailable, "");
  const auto late = Listen({});
  ExpectEnd(*late, absl::StatusCode::kUnavailable, "");
}

// Listeners begin anywhere at any time, while several write, each transaction of any size; the ring
// is so small that some fall out of it.
TEST_P(LedgerTailerTest, NothingIsLostOrRepeatedUnderLoad) {
  options_.buffer_bytes = 30000;
  options_.message_bytes = 3000;
  AppendSome(300, 200);
  Start();
  std::atomic<bool> writing{true};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([this, writer, &writing] {
      std::mt19937 random(writer);
      const std::unique_ptr<ctldb::Connection> connection = ctldb_.Connect();
      for (int i = 0; i < 150; ++i) {
        std::vector<std::string> statements(1 + random() % 6);
        for (std::string& statement : statements) statement = StatementOf(random(), random() % 700);
        const int64_t sequence = AppendToLedger(connection.get(), statements);
        // As a commit of this executive or of another one.
        if (random() % 2 == 0) tailer_->Wake(sequence);
      }
      writing = false;
    });
  }
  const std::vector<LedgerEntry> begin = Ledger();
  std::vector<std::vector<LedgerEntry>> found(8);
  std::vector<int64_t> begun(8);
  for (size_t i = 0; i < found.size(); ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(100 + i);
      begun[i] = random() % 300;
      LedgerPosition position;
      if (begun[i] > 0) position = PositionAfter(begin[begun[i] - 1]);
      bool last = false;
      while (!last) {
        last = !writing;
        const auto listener = Listen(position, random() % 3 == 0);
        if (!last) {
          absl::SleepFor(absl::Milliseconds(random() % 40));
          listener->Release();
          if (random() % 2 == 0) listener->Hold();
          absl::SleepFor(absl::Milliseconds(random() % 40));
        } else {
          // Until nothing is missing.
          listener->Release();
          absl::SleepFor(absl::Milliseconds(1));
          ASSERT_TRUE(Eventually([&] {
            return listener->end().has_value() ||
                   (listener->ledger_sequence() >= 0 &&
                    listener->ledger_sequence() ==
                        std::max(position.sequence, listener->sequence()));
          }));
          last = !listener->end().has_value();
        }
        tailer_->Leave(listener.get());
        listener->Release();
        ASSERT_TRUE(Eventually([&] { return listener->left(); }));
        ASSERT_TRUE(listener->end()->code() == absl::StatusCode::kCancelled ||
                    ErrorReason(*listener->end()) == reason::kSlowReader)
            << *listener->end();
        for (const LedgerEntry& entry : listener->entries()) found[i].push_back(entry);
        if (!found[i].empty()) position = PositionAfter(found[i].back());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<LedgerEntry> ledger = Ledger();
  for (size_t i = 0; i < found.size(); ++i) {
    // Whoever ended before the last commit has all up to there.
    std::vector<LedgerEntry> expected = EntriesBehind(ledger, begun[i]);
    ASSERT_LE(found[i].size(), expected.size());
    expected.resize(found[i].size());
    EXPECT_EQ(Difference(expected, found[i]), "") << "listener " << i;
  }
  tailer_->Shutdown();
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, LedgerTailerTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

}  // namespace
}  // namespace ctlstore::executive
