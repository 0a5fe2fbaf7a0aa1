#include "reflector/upstreams.h"

#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/schema/errors.h"

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

LedgerEntry EntryAt(int64_t sequence, const std::string& history = "") {
  return {sequence, "2024-01-01 00:00:00", absl::StrCat("statement ", sequence, history)};
}

LedgerPosition PositionAt(int64_t sequence) {
  return sequence == 0 ? LedgerPosition() : PositionAfter(EntryAt(sequence));
}

// What a test does with one upstream. Thread-safe.
class FakeUpstream {
 public:
  explicit FakeUpstream(std::string its_name) : name(std::move(its_name)) {}

  const std::string name;

  // The ledger has the entries from `first` to `last`.
  void Has(int64_t first, int64_t last, std::string history = "") {
    absl::MutexLock lock(&mutex_);
    first_ = first;
    last_ = last;
    history_ = std::move(history);
  }
  // OK for working.
  void Fail(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    error_ = std::move(error);
  }
  void Fail() { Fail(absl::UnavailableError("it is away")); }
  void Work() { Fail(absl::OkStatus()); }
  void Hang(bool hangs) {
    absl::MutexLock lock(&mutex_);
    hangs_ = hangs;
  }
  int64_t reads() const {
    absl::MutexLock lock(&mutex_);
    return reads_;
  }
  int64_t releases() const {
    absl::MutexLock lock(&mutex_);
    return releases_;
  }
  void AwaitReads(int64_t reads) const {
    absl::MutexLock lock(&mutex_);
    const auto came = [this, reads]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return reads_ >= reads; };
    mutex_.Await(absl::Condition(&came));
  }

  absl::StatusOr<LedgerSource::Batch> Read(const LedgerPosition& after,
                                           const LedgerSource::Limits& limits) {
    absl::MutexLock lock(&mutex_);
    ++reads_;
    EXPECT_FALSE(in_use_) << name << " is used by two threads at once";
    in_use_ = true;
    const auto moves = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !hangs_ || cancelled_; };
    mutex_.Await(absl::Condition(&moves));
    in_use_ = false;
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!error_.ok()) return error_;
    const int64_t sequence = after.sequence;
    if (sequence > last_) {
      return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLedgerBehind, "behind");
    }
    if (sequence + 1 < first_) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerPruned,
                             "pruned");
    }
    if (sequence >= first_ && after != PositionAfter(EntryAt(sequence, history_))) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kLedgerDiverged,
                             "diverged");
    }
    LedgerSource::Batch batch;
    batch.ledger_sequence = last_;
    for (int64_t next = sequence + 1; next <= last_ && batch.entries.size() < limits.max_entries;
         ++next) {
      batch.entries.push_back(EntryAt(next, history_));
    }
    return batch;
  }
  void Release() {
    absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(in_use_) << name << " is released while it is read";
    ++releases_;
  }
  void Cancel() {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }

 private:
  mutable absl::Mutex mutex_;
  int64_t first_ ABSL_GUARDED_BY(mutex_) = 1;
  int64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string history_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool hangs_ ABSL_GUARDED_BY(mutex_) = false;
  bool in_use_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t reads_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t releases_ ABSL_GUARDED_BY(mutex_) = 0;
};

class FakeSource final : public LedgerSource {
 public:
  explicit FakeSource(FakeUpstream* upstream) : upstream_(upstream) {}
  absl::StatusOr<Batch> Read(const LedgerPosition& after, const Limits& limits) override {
    return upstream_->Read(after, limits);
  }
  void Release() override { upstream_->Release(); }
  void Cancel() override { upstream_->Cancel(); }
  std::string name() const override { return upstream_->name; }

 private:
  FakeUpstream* const upstream_;
};

class UpstreamsTest : public ::testing::Test {
 protected:
  UpstreamsTest() {
    for (FakeUpstream* upstream : {&a_, &b_, &c_}) upstream->Has(1, 10);
    // Who has failed is asked again at once, and who must be left alone for long enough.
    soon_.min_retry_pause = absl::ZeroDuration();
    soon_.max_retry_pause = absl::ZeroDuration();
    late_.min_retry_pause = absl::Hours(1);
    late_.max_retry_pause = absl::Hours(1);
  }

  static std::unique_ptr<Upstreams> Over(const std::vector<FakeUpstream*>& upstreams,
                                         const Upstreams::Options& options) {
    std::vector<std::unique_ptr<LedgerSource>> sources;
    for (FakeUpstream* upstream : upstreams) {
      sources.push_back(std::make_unique<FakeSource>(upstream));
    }
    return std::make_unique<Upstreams>(std::move(sources), options);
  }

  // How many entries come.
  static int64_t MustRead(Upstreams* upstreams, int64_t after) {
    absl::StatusOr<LedgerSource::Batch> batch = upstreams->Read(PositionAt(after), {});
    EXPECT_TRUE(batch.ok()) << batch.status();
    return batch.ok() ? static_cast<int64_t>(batch->entries.size()) : -1;
  }

  FakeUpstream a_{"a"};
  FakeUpstream b_{"b"};
  FakeUpstream c_{"c"};
  Upstreams::Options soon_;
  Upstreams::Options late_;
};

TEST_F(UpstreamsTest, UsesTheMostPreferredOneAndNoOther) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, soon_);
  EXPECT_EQ(upstreams->name(), "");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(MustRead(upstreams.get(), 4), 6);
  EXPECT_EQ(upstreams->name(), "a");
  EXPECT_EQ(a_.reads(), 3);
  EXPECT_EQ(b_.reads(), 0);
  EXPECT_EQ(upstreams->switches(), 0);
}

TEST_F(UpstreamsTest, GoesOnWithTheNextOneAtOnce) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_, &c_}, late_);
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  a_.Fail();
  b_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 5), 5);
  EXPECT_EQ(upstreams->name(), "c");
  EXPECT_EQ(upstreams->switches(), 1);
  // What it no longer reads holds nothing.
  EXPECT_EQ(a_.releases(), 1);
  const std::vector<Upstreams::State> states = upstreams->states();
  ASSERT_THAT(states, SizeIs(3));
  EXPECT_EQ(states[0].name, "a");
  EXPECT_FALSE(states[0].in_use);
  EXPECT_EQ(states[0].last_error.message(), "it is away");
  EXPECT_EQ(states[0].failures, 1);
  EXPECT_EQ(states[1].failures, 1);
  EXPECT_TRUE(states[2].in_use);
  EXPECT_TRUE(states[2].last_error.ok());
}

TEST_F(UpstreamsTest, LeavesAloneWhatHasFailedForAWhile) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, late_);
  a_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  a_.Work();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  EXPECT_EQ(a_.reads(), 1);
  EXPECT_EQ(upstreams->name(), "b");
  // Where nothing else is left it is asked all the same.
  b_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  EXPECT_EQ(upstreams->name(), "a");
}

TEST_F(UpstreamsTest, TriesFirstWhatIsNotLeftAlone) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_, &c_}, late_);
  a_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  EXPECT_EQ(upstreams->name(), "b");
  a_.Work();
  b_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  EXPECT_EQ(upstreams->name(), "c");
  EXPECT_EQ(a_.reads(), 1);
}

TEST_F(UpstreamsTest, ReturnsToAPreferredOneWhenItWorksAgain) {
  Upstreams::Options options;
  options.min_retry_pause = absl::Milliseconds(5);
  options.max_retry_pause = absl::Milliseconds(5);
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_, &c_}, options);
  a_.Fail();
  b_.Fail();
  while (a_.reads() < 5 || b_.reads() < 5) {
    EXPECT_EQ(MustRead(upstreams.get(), 3), 7);
    EXPECT_EQ(upstreams->name(), "c");
  }
  // The first one goes on failing.
  b_.Work();
  while (upstreams->name() != "b") EXPECT_EQ(MustRead(upstreams.get(), 3), 7);
  a_.Work();
  while (upstreams->name() != "a") EXPECT_EQ(MustRead(upstreams.get(), 3), 7);
  EXPECT_EQ(upstreams->switches(), 2);
  const int64_t reads = c_.reads();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(MustRead(upstreams.get(), 3), 7);
  EXPECT_EQ(c_.reads(), reads);
  EXPECT_GE(c_.releases(), 1);
}

TEST_F(UpstreamsTest, ReadsOnWhileAPreferredOneHangs) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, soon_);
  a_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  a_.Hang(true);
  const int64_t reads = a_.reads();
  while (a_.reads() == reads) EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  EXPECT_EQ(a_.reads(), reads + 1);
  EXPECT_EQ(upstreams->name(), "b");
  a_.Work();
  a_.Hang(false);
  while (upstreams->name() != "a") EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
}

TEST_F(UpstreamsTest, WaitsForTheOneThatHangsWhereNothingElseIsLeft) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, soon_);
  a_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  a_.Hang(true);
  const int64_t reads = a_.reads();
  while (a_.reads() == reads) EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  b_.Fail();
  std::thread thread([&] {
    absl::SleepFor(absl::Milliseconds(20));
    a_.Work();
    a_.Hang(false);
  });
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  EXPECT_EQ(upstreams->name(), "a");
  thread.join();
}

TEST_F(UpstreamsTest, NeverGoesBackWithOneThatIsBehind) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, soon_);
  a_.Has(1, 5);
  EXPECT_EQ(MustRead(upstreams.get(), 8), 2);
  EXPECT_EQ(upstreams->name(), "b");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(MustRead(upstreams.get(), 8), 2);
  EXPECT_EQ(upstreams->name(), "b");
  EXPECT_EQ(ErrorReason(upstreams->states()[0].last_error), reason::kLedgerBehind);
  // It has caught up.
  a_.Has(1, 9);
  while (upstreams->name() != "a") EXPECT_GE(MustRead(upstreams.get(), 8), 1);
  // And is kept, although the other one has more.
  EXPECT_EQ(MustRead(upstreams.get(), 9), 0);
  EXPECT_EQ(upstreams->name(), "a");
}

TEST_F(UpstreamsTest, LeavesAsideWhatHasAnotherLedgerOrOnlyItsEnd) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_, &c_}, late_);
  a_.Has(1, 10, " of another history");
  b_.Has(8, 10);
  EXPECT_EQ(MustRead(upstreams.get(), 5), 5);
  EXPECT_EQ(upstreams->name(), "c");
  EXPECT_EQ(ErrorReason(upstreams->states()[0].last_error), reason::kLedgerDiverged);
  EXPECT_EQ(ErrorReason(upstreams->states()[1].last_error), reason::kLedgerPruned);
}

TEST_F(UpstreamsTest, SaysWhyNoneCanBeUsed) {
  const auto has = [](FakeUpstream* upstream, absl::string_view what) {
    upstream->Has(1, 10);
    upstream->Work();
    if (what == "away") upstream->Fail();
    if (what == "behind") upstream->Has(1, 4);
    if (what == "pruned") upstream->Has(7, 10);
    if (what == "diverged") upstream->Has(1, 10, " of another history");
  };
  const struct {
    const char* a;
    const char* b;
    const char* c;
    const char* reason;
  } kCases[] = {
      {"away", "away", "away", ""},
      {"away", "behind", "away", reason::kLedgerBehind},
      {"behind", "away", "pruned", reason::kLedgerPruned},
      {"pruned", "behind", "away", reason::kLedgerPruned},
      {"diverged", "behind", "pruned", reason::kLedgerDiverged},
      {"diverged", "away", "away", reason::kLedgerDiverged},
      {"away", "diverged", "away", ""},
      {"pruned", "diverged", "away", reason::kLedgerPruned},
      {"behind", "diverged", "diverged", reason::kLedgerBehind},
  };
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_, &c_}, late_);
  for (const auto& a_case : kCases) {
    has(&a_, a_case.a);
    has(&b_, a_case.b);
    has(&c_, a_case.c);
    // Also where they were left alone before.
    for (int i = 0; i < 2; ++i) {
      const absl::Status status = upstreams->Read(PositionAt(5), {}).status();
      EXPECT_EQ(ErrorReason(status).value_or(""), a_case.reason) << status;
      const std::string wanted = a_case.reason;
      const bool comes_back = wanted.empty() || wanted == reason::kLedgerBehind;
      EXPECT_EQ(status.code(), comes_back ? absl::StatusCode::kUnavailable
                                          : absl::StatusCode::kFailedPrecondition);
      const std::string message(status.message());
      const auto says = [](absl::string_view what) {
        return what == "away" ? std::string("it is away") : std::string(what);
      };
      EXPECT_THAT(message, HasSubstr("a: "));
      EXPECT_THAT(message, HasSubstr(says(a_case.a)));
      EXPECT_THAT(message, HasSubstr(says(a_case.b)));
      EXPECT_THAT(message, HasSubstr(says(a_case.c)));
      EXPECT_EQ(upstreams->name(), "");
    }
  }
  EXPECT_EQ(upstreams->switches(), 0);
  has(&b_, "");
  EXPECT_EQ(MustRead(upstreams.get(), 5), 5);
  EXPECT_EQ(upstreams->name(), "b");
}

TEST_F(UpstreamsTest, PassesOnTheErrorOfASingleOne) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_}, late_);
  a_.Fail(absl::PermissionDeniedError("the password is wrong"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(upstreams->Read({}, {}).status(),
              absl::PermissionDeniedError("the password is wrong"));
  }
  a_.Has(1, 3);
  a_.Work();
  EXPECT_EQ(ErrorReason(upstreams->Read(PositionAt(5), {}).status()), reason::kLedgerBehind);
  EXPECT_EQ(MustRead(upstreams.get(), 0), 3);
  EXPECT_EQ(upstreams->switches(), 0);
}

TEST_F(UpstreamsTest, EndsWhenItIsCancelled) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, soon_);
  a_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  a_.Hang(true);
  b_.Hang(true);
  const int64_t reads = a_.reads();
  std::thread thread(
      [&] { EXPECT_EQ(upstreams->Read({}, {}).status().code(), absl::StatusCode::kCancelled); });
  a_.AwaitReads(reads + 1);
  upstreams->Cancel();
  thread.join();
  EXPECT_EQ(upstreams->Read({}, {}).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(UpstreamsTest, MayBeDestroyedWhileOneHangs) {
  std::unique_ptr<Upstreams> upstreams = Over({&a_, &b_}, soon_);
  a_.Fail();
  EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  a_.Hang(true);
  const int64_t reads = a_.reads();
  while (a_.reads() == reads) EXPECT_EQ(MustRead(upstreams.get(), 0), 10);
  upstreams.reset();
}

// Upstreams fail, lag, hang and come back at random: no entry is lost, repeated or out of order,
// none of another history comes, and while any can be used there is no error.
TEST_F(UpstreamsTest, LosesAndRepeatsNothing) {
  FLAGS_minloglevel = google::GLOG_FATAL;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    FakeUpstream a("a");
    FakeUpstream b("b");
    FakeUpstream c("c");
    const std::vector<FakeUpstream*> fakes = {&a, &b, &c};
    std::vector<bool> works(3, true);
    std::vector<int64_t> last(3, 0);
    Upstreams::Options options = soon_;
    options.max_retry_pause = absl::Milliseconds(seed % 3);
    options.min_retry_pause = options.max_retry_pause;
    std::unique_ptr<Upstreams> upstreams = Over(fakes, options);
    int64_t ledger = 0;
    int64_t applied = 0;
    int errors = 0;
    for (int step = 0; step < 2000; ++step) {
      ledger += random() % 5;
      const size_t which = random() % 3;
      switch (random() % 6) {
        case 0:
          fakes[which]->Fail();
          works[which] = false;
          break;
        case 1:
        case 2:
          fakes[which]->Work();
          works[which] = true;
          break;
        case 3:
          // Of another history from the beginning, so that it never fits.
          fakes[which]->Has(1, ledger + 100, " elsewhere");
          last[which] = 0;
          break;
        default:
          last[which] = std::max<int64_t>(0, ledger - static_cast<int64_t>(random() % 10));
          fakes[which]->Has(1, last[which]);
      }
      // At the very beginning there is no entry by which a history could be told.
      if (applied == 0) {
        for (size_t i = 0; i < 3; ++i) fakes[i]->Has(1, ledger);
        last = {ledger, ledger, ledger};
      }
      LedgerSource::Limits limits;
      limits.max_entries = 1 + random() % 8;
      absl::StatusOr<LedgerSource::Batch> batch = upstreams->Read(PositionAt(applied), limits);
      bool usable = false;
      for (size_t i = 0; i < 3; ++i) usable = usable || (works[i] && last[i] >= applied);
      // One may have been asked, beside the others, just before it was changed.
      if (usable && !batch.ok()) batch = upstreams->Read(PositionAt(applied), limits);
      ASSERT_EQ(batch.ok(), usable) << "step " << step << ": " << batch.status();
      if (!batch.ok()) {
        ++errors;
        continue;
      }
      for (const LedgerEntry& entry : batch->entries) {
        ASSERT_EQ(entry.sequence, applied + 1);
        ASSERT_EQ(entry.statement, EntryAt(entry.sequence).statement);
        ++applied;
      }
    }
    EXPECT_GT(errors, 0);
    EXPECT_GT(applied, 1000);
    EXPECT_GT(upstreams->switches(), 10);
  }
}

}  // namespace
}  // namespace ctlstore::reflector
