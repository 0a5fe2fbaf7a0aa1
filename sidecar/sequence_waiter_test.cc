#include "sidecar/sequence_waiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(60);

// What waits came to, in the order in which they ended.
class Outcomes {
 public:
  SequenceWaiter::Done Add(int name) {
    return [this, name](absl::StatusOr<int64_t> applied) {
      absl::MutexLock lock(&mutex_);
      ended_.emplace_back(name, std::move(applied));
    };
  }

  // The outcomes as soon as there are `count`.
  std::vector<std::pair<int, absl::StatusOr<int64_t>>> Wait(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ended_.size() >= count;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return ended_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::pair<int, absl::StatusOr<int64_t>>> ended_ ABSL_GUARDED_BY(mutex_);
};

class SequenceWaiterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "/waiter_XXXXXX");
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    path_ = absl::StrCat(folder_, "/ldb.db");
    reader_ = std::make_unique<ldb::Reader>(path_);
  }

  void TearDown() override {
    reader_.reset();
    writer_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Applies entries up to this one.
  void ApplyTo(int64_t sequence) {
    if (writer_ == nullptr) {
      absl::StatusOr<std::unique_ptr<ldb::LdbWriter>> writer = ldb::LdbWriter::Open(path_, {});
      ASSERT_TRUE(writer.ok()) << writer.status();
      writer_ = *std::move(writer);
    }
    for (int64_t next = writer_->received_sequence() + 1; next <= sequence; ++next) {
      const std::string statement =
          next == 1 ? "CREATE TABLE f___t (\"k\" INTEGER, PRIMARY KEY(\"k\"));"
                    : absl::StrCat("REPLACE INTO f___t (\"k\") VALUES(", next, ")");
      const absl::Status status =
          writer_->Apply({LedgerEntry{next, "2024-05-06 12:53:15.25", statement}});
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  std::string folder_;
  std::string path_;
  std::unique_ptr<ldb::LdbWriter> writer_;
  std::unique_ptr<ldb::Reader> reader_;
};

TEST_F(SequenceWaiterTest, WaitsEndWhenTheirSequenceIsApplied) {
  ApplyTo(2);
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 10);
  ASSERT_TRUE(waiter.Wait(5, absl::InfiniteFuture(), outcomes.Add(5)).ok());
  ASSERT_TRUE(waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(2)).ok());
  ASSERT_TRUE(waiter.Wait(4, absl::InfiniteFuture(), outcomes.Add(4)).ok());
  auto ended = outcomes.Wait(1);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].first, 2);
  ASSERT_TRUE(ended[0].second.ok()) << ended[0].second.status();
  EXPECT_EQ(*ended[0].second, 2);
  EXPECT_EQ(waiter.waiting(), 2u);

  ApplyTo(4);
  ended = outcomes.Wait(2);
  ASSERT_EQ(ended.size(), 2u);
  EXPECT_EQ(ended[1].first, 4);
  ASSERT_TRUE(ended[1].second.ok()) << ended[1].second.status();
  EXPECT_EQ(*ended[1].second, 4);

  ApplyTo(7);
  ended = outcomes.Wait(3);
  EXPECT_EQ(ended[2].first, 5);
  ASSERT_TRUE(ended[2].second.ok()) << ended[2].second.status();
  EXPECT_GE(*ended[2].second, 5);
  EXPECT_EQ(waiter.waiting(), 0u);
}

TEST_F(SequenceWaiterTest, AWaitEndsAtItsDeadline) {
  ApplyTo(2);
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 10);
  ASSERT_TRUE(waiter.Wait(3, absl::InfiniteFuture(), outcomes.Add(1)).ok());
  ASSERT_TRUE(waiter.Wait(3, absl::Now() + absl::Milliseconds(20), outcomes.Add(2)).ok());
  const auto ended = outcomes.Wait(1);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].first, 2);
  const absl::Status status = ended[0].second.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("3"), HasSubstr("2")));
  EXPECT_EQ(waiter.waiting(), 1u);
}

TEST_F(SequenceWaiterTest, WhatIsAppliedAlreadyIsToldAlsoAfterTheDeadline) {
  ApplyTo(2);
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 10);
  ASSERT_TRUE(waiter.Wait(2, absl::InfinitePast(), outcomes.Add(1)).ok());
  const auto ended = outcomes.Wait(1);
  EXPECT_TRUE(ended[0].second.ok()) << ended[0].second.status();
}

TEST_F(SequenceWaiterTest, WaitsForALocalDatabaseThatIsNotThereYet) {
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 10);
  ASSERT_TRUE(waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(1)).ok());
  // Even 0 is reached only in a local database.
  ASSERT_TRUE(waiter.Wait(0, absl::Now() + absl::Milliseconds(20), outcomes.Add(2)).ok());
  auto ended = outcomes.Wait(1);
  EXPECT_EQ(ended[0].first, 2);
  const absl::Status status = ended[0].second.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kLdbUnavailable);
  ApplyTo(2);
  ended = outcomes.Wait(2);
  EXPECT_EQ(ended[1].first, 1);
  EXPECT_TRUE(ended[1].second.ok()) << ended[1].second.status();
}

TEST_F(SequenceWaiterTest, ACancelledWaitIsNotCalled) {
  ApplyTo(1);
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 10);
  const absl::StatusOr<uint64_t> cancelled =
      waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(1));
  const absl::StatusOr<uint64_t> other = waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(2));
  ASSERT_TRUE(cancelled.ok() && other.ok());
  EXPECT_NE(*cancelled, 0u);
  EXPECT_NE(*cancelled, *other);
  EXPECT_TRUE(waiter.Cancel(*cancelled));
  EXPECT_FALSE(waiter.Cancel(*cancelled));
  EXPECT_EQ(waiter.waiting(), 1u);
  ApplyTo(2);
  const auto ended = outcomes.Wait(1);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].first, 2);
  EXPECT_FALSE(waiter.Cancel(*other));
}

TEST_F(SequenceWaiterTest, OneTooManyIsRefused) {
  ApplyTo(1);
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 2);
  const absl::StatusOr<uint64_t> first = waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(1));
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(2)).ok());
  const absl::Status refused = waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(3)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_EQ(ErrorReason(refused), reason::kQueueFull);
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("2"), HasSubstr("--max_waits")));
  ASSERT_TRUE(waiter.Cancel(*first));
  EXPECT_TRUE(waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(4)).ok());
}

TEST_F(SequenceWaiterTest, TheEndCancelsAllWaits) {
  ApplyTo(1);
  Outcomes outcomes;
  {
    SequenceWaiter waiter(reader_.get(), 10);
    ASSERT_TRUE(waiter.Wait(2, absl::InfiniteFuture(), outcomes.Add(1)).ok());
    ASSERT_TRUE(waiter.Wait(3, absl::Now() + absl::Hours(1), outcomes.Add(2)).ok());
  }
  const auto ended = outcomes.Wait(2);
  ASSERT_EQ(ended.size(), 2u);
  for (const auto& outcome : ended) {
    EXPECT_EQ(outcome.second.status().code(), absl::StatusCode::kCancelled)
        << outcome.second.status();
  }
}

// What a wait's end calls may use the waiter.
TEST_F(SequenceWaiterTest, AnEndMayBeginAnotherWait) {
  ApplyTo(3);
  Outcomes outcomes;
  SequenceWaiter waiter(reader_.get(), 1);
  ASSERT_TRUE(waiter
                  .Wait(2, absl::InfiniteFuture(),
                        [&](absl::StatusOr<int64_t>) {
                          ASSERT_TRUE(waiter.Wait(3, absl::InfiniteFuture(), outcomes.Add(3)).ok());
                        })
                  .ok());
  EXPECT_EQ(outcomes.Wait(1)[0].first, 3);
}

TEST_F(SequenceWaiterTest, EachOfManyConcurrentWaitsEndsOnceOrIsCancelled) {
  constexpr int kThreads = 4;
  constexpr int kWaits = 300;
  constexpr int64_t kLast = 60;
  ApplyTo(1);
  SequenceWaiter waiter(reader_.get(), kThreads * kWaits);
  std::vector<std::atomic<int>> ends(kThreads * kWaits);
  std::atomic<int> too_early{0};
  std::vector<int> cancelled(kThreads * kWaits);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = thread * kWaits; i < (thread + 1) * kWaits; ++i) {
        const int64_t sequence = 1 + i % kLast;
        const absl::StatusOr<uint64_t> wait =
            waiter.Wait(sequence, absl::InfiniteFuture(),
                        [&ends, &too_early, i, sequence](absl::StatusOr<int64_t> applied) {
                          ++ends[i];
                          if (!applied.ok() || *applied < sequence) ++too_early;
                        });
        ASSERT_TRUE(wait.ok()) << wait.status();
        if (i % 3 == 0) cancelled[i] = waiter.Cancel(*wait) ? 1 : 0;
      }
    });
  }
  for (int64_t sequence = 2; sequence <= kLast; ++sequence) ApplyTo(sequence);
  for (std::thread& thread : threads) thread.join();
  const absl::Time give_up = absl::Now() + kPatience;
  while (waiter.waiting() > 0 && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(1));
  // The last ones may be being called.
  absl::Notification last;
  ASSERT_TRUE(
      waiter.Wait(1, absl::InfiniteFuture(), [&last](absl::StatusOr<int64_t>) { last.Notify(); })
          .ok());
  ASSERT_TRUE(last.WaitForNotificationWithTimeout(kPatience));
  for (int i = 0; i < kThreads * kWaits; ++i) {
    EXPECT_EQ(ends[i] + cancelled[i], 1) << i;
  }
  EXPECT_EQ(too_early, 0);
}

}  // namespace
}  // namespace ctlstore::sidecar
