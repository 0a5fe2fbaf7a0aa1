#include "common/ldb/change_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "common/ldb/changes_test_util.h"

namespace ctlstore::ldb {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr size_t kMany = 1000000;

std::vector<std::shared_ptr<const ChangeEvent>> MustRead(ChangeFeed* feed, ChangeFeed::Place* place,
                                                         size_t max_events, absl::Time deadline) {
  auto events = feed->Read(place, max_events, deadline);
  if (!events.ok()) {
    ADD_FAILURE() << events.status();
    return {};
  }
  return *std::move(events);
}

// What is there already.
std::vector<int64_t> SequencesAfter(ChangeFeed* feed, int64_t sequence, size_t max_events = kMany) {
  ChangeFeed::Place place{sequence};
  std::vector<int64_t> sequences;
  for (const auto& event : MustRead(feed, &place, max_events, absl::InfinitePast())) {
    sequences.push_back(event->sequence);
  }
  return sequences;
}

absl::StatusCode CodeAfter(ChangeFeed* feed, int64_t sequence) {
  ChangeFeed::Place place{sequence};
  return feed->Read(&place, kMany, absl::InfinitePast()).status().code();
}

TEST(ChangeFeedTest, KeepsWhatAChangeShows) {
  ChangeFeed feed(1 << 20);
  feed.Attach(4);
  {
    TestChanges changes;
    changes.Key(5, "one", {Value::Text("NZ"), Value::Integer(3), Value::Bytes("\1\2")});
    changes.Table(6, "two").Everything(7).Commit(&feed, 7);
  }
  ChangeFeed::Place place{4};
  const auto events = MustRead(&feed, &place, kMany, absl::InfinitePast());
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[0]->kind, Change::Kind::kKey);
  EXPECT_EQ(events[0]->sequence, 5);
  EXPECT_EQ(events[0]->table, (TableName{"fam", "one"}));
  EXPECT_THAT(events[0]->key_fields,
              ElementsAre(Field{"k0", FieldType::kString}, Field{"k1", FieldType::kInteger},
                          Field{"k2", FieldType::kBytestring}));
  EXPECT_THAT(events[0]->key,
              ElementsAre(Value::Text("NZ"), Value::Integer(3), Value::Bytes("\1\2")));
  EXPECT_EQ(events[1]->kind, Change::Kind::kTable);
  EXPECT_EQ(events[1]->table, (TableName{"fam", "two"}));
  EXPECT_EQ(events[2]->kind, Change::Kind::kEverything);
  EXPECT_EQ(place.sequence, 7);
}

TEST(ChangeFeedTest, GivesWholeCommitsFromWhereOneIs) {
  ChangeFeed feed(1 << 20);
  feed.Attach(0);
  for (int64_t first = 1; first < 10; first += 3) {
    TestChanges changes;
    for (int64_t i = first; i < first + 3; ++i) changes.Key(i, "one", i);
    changes.Commit(&feed, first + 2);
  }
  EXPECT_THAT(SequencesAfter(&feed, 0), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(SequencesAfter(&feed, 0, 1), ElementsAre(1, 2, 3));
  EXPECT_THAT(SequencesAfter(&feed, 0, 4), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(SequencesAfter(&feed, 3), ElementsAre(4, 5, 6, 7, 8, 9));
  EXPECT_THAT(SequencesAfter(&feed, 4), ElementsAre(5, 6, 7, 8, 9));
  EXPECT_THAT(SequencesAfter(&feed, 9), IsEmpty());
  ChangeFeed::Place place{0};
  MustRead(&feed, &place, 4, absl::InfinitePast());
  EXPECT_EQ(place.sequence, 6);
  MustRead(&feed, &place, 4, absl::InfinitePast());
  EXPECT_EQ(place.sequence, 9);
}

TEST(ChangeFeedTest, APlaceMovesOnWithCommitsThatChangeNothing) {
  ChangeFeed feed(1 << 20);
  feed.Attach(0);
  TestChanges changes;
  changes.Key(1, "one", 1).Commit(&feed, 1);
  TestChanges().Commit(&feed, 8);
  ChangeFeed::Place place{0};
  EXPECT_THAT(MustRead(&feed, &place, kMany, absl::InfinitePast()), SizeIs(1));
  EXPECT_EQ(place.sequence, 8);
  TestChanges().Commit(&feed, 9);
  EXPECT_THAT(MustRead(&feed, &place, kMany, absl::InfinitePast()), IsEmpty());
  EXPECT_EQ(place.sequence, 9);
}

TEST(ChangeFeedTest, ACommitWhoseChangesAreBeforeThePlaceIsGoneOver) {
  ChangeFeed feed(1 << 20);
  feed.Attach(0);
  TestChanges changes;
  changes.Key(2, "one", 1).Commit(&feed, 3);
  ChangeFeed::Place place{2};
  EXPECT_THAT(MustRead(&feed, &place, kMany, absl::InfinitePast()), IsEmpty());
  EXPECT_EQ(place.sequence, 3);
}

TEST(ChangeFeedTest, ThatAnythingMayHaveChangedIsNeverLeftOut) {
  ChangeFeed feed(1 << 20);
  feed.Attach(5);
  TestChanges changes;
  changes.Key(9, "one", 1).Everything(0).Commit(&feed, 10);
  EXPECT_THAT(SequencesAfter(&feed, 5), ElementsAre(9, 0));
  EXPECT_THAT(SequencesAfter(&feed, 9), ElementsAre(0));
}

TEST(ChangeFeedTest, OneWhoFallsBehindWhatIsKeptIsToldSo) {
  ChangeFeed feed(100000);
  feed.Attach(0);
  for (int64_t i = 1; i <= 1000; ++i) {
    TestChanges changes;
    changes.Key(i, "one", {Value::Text(std::string(500, 'x'))}).Commit(&feed, i);
  }
  EXPECT_EQ(CodeAfter(&feed, 0), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(CodeAfter(&feed, 800), absl::StatusCode::kOutOfRange);
  int64_t oldest = 801;
  while (oldest < 1000 && CodeAfter(&feed, oldest) != absl::StatusCode::kOk) ++oldest;
  // 100,000 bytes hold some of these and not 200.
  EXPECT_LT(oldest, 950);
  EXPECT_THAT(SequencesAfter(&feed, oldest), SizeIs(1000 - oldest));
  EXPECT_THAT(SequencesAfter(&feed, 999), ElementsAre(1000));
}

TEST(ChangeFeedTest, ACommitThatIsTooLargeIsNotKept) {
  ChangeFeed feed(100000);
  feed.Attach(0);
  TestChanges small;
  small.Key(1, "one", 1).Commit(&feed, 1);
  TestChanges large;
  for (int64_t i = 2; i < 2000; ++i) large.Key(i, "one", i);
  large.Commit(&feed, 2000);
  EXPECT_EQ(CodeAfter(&feed, 0), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(CodeAfter(&feed, 1999), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(SequencesAfter(&feed, 2000), IsEmpty());
  TestChanges next;
  next.Key(2001, "one", 1).Commit(&feed, 2001);
  EXPECT_THAT(SequencesAfter(&feed, 2000), ElementsAre(2001));
}

TEST(ChangeFeedTest, WhatWasNeverKeptIsOutOfRange) {
  ChangeFeed feed(1 << 20);
  feed.Attach(10);
  EXPECT_EQ(CodeAfter(&feed, 9), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(CodeAfter(&feed, 10), absl::StatusCode::kOk);
  EXPECT_EQ(CodeAfter(&feed, 11), absl::StatusCode::kOutOfRange);
}

// Runs `read` in a thread, and `then` while it waits, as far as that can be known.
void WhileReading(ChangeFeed* feed, ChangeFeed::Place place,
                  const std::function<void(const absl::Status&, int64_t events)>& read,
                  const std::function<void()>& then) {
  std::atomic<bool> begun{false};
  std::thread reader([&] {
    begun = true;
    const auto events = feed->Read(&place, kMany, absl::InfiniteFuture());
    read(events.status(), events.ok() ? events->size() : 0);
  });
  while (!begun) std::this_thread::yield();
  absl::SleepFor(absl::Milliseconds(5));
  then();
  reader.join();
}

TEST(ChangeFeedTest, ACommitThatIsVisibleButNotYetHereIsWaitedFor) {
  ChangeFeed feed(1 << 20);
  feed.Attach(10);
  TestChanges changes;
  changes.Key(11, "one", 1);
  feed.Committing(changes.span());
  WhileReading(
      &feed, {11},
      [](const absl::Status& status, int64_t events) {
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(events, 1);
      },
      [&] {
        feed.Committed(changes.span(), 11);
        TestChanges next;
        next.Key(12, "one", 1).Commit(&feed, 12);
      });
  feed.Committing(changes.span());
  WhileReading(
      &feed, {13},
      [](const absl::Status& status, int64_t) {
        EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
      },
      [&] { feed.CommitFailed(); });
}

TEST(ChangeFeedTest, AReaderWaitsForTheDatabaseAndForACommit) {
  ChangeFeed feed(1 << 20);
  ChangeFeed::Place place{10};
  EXPECT_THAT(MustRead(&feed, &place, kMany, absl::Now() + absl::Milliseconds(1)), IsEmpty());
  WhileReading(
      &feed, {10},
      [](const absl::Status& status, int64_t events) {
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(events, 1);
      },
      [&] {
        feed.Attach(10);
        TestChanges changes;
        changes.Key(11, "one", 1).Commit(&feed, 11);
      });
}

TEST(ChangeFeedTest, AnotherDatabaseEndsWhatWasReadFromTheFirst) {
  ChangeFeed feed(1 << 20);
  feed.Attach(10);
  ChangeFeed::Place place{10};
  EXPECT_THAT(MustRead(&feed, &place, kMany, absl::InfinitePast()), IsEmpty());
  WhileReading(
      &feed, {10},
      [](const absl::Status& status, int64_t) {
        EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
      },
      [&] { feed.Attach(10); });
  // The sequence would fit.
  EXPECT_EQ(feed.Read(&place, kMany, absl::InfinitePast()).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_THAT(SequencesAfter(&feed, 10), IsEmpty());
  feed.Attach(5);
  EXPECT_EQ(CodeAfter(&feed, 10), absl::StatusCode::kOutOfRange);
}

TEST(ChangeFeedTest, CloseEndsAllWaits) {
  ChangeFeed feed(1 << 20);
  const auto is_cancelled = [](const absl::Status& status, int64_t) {
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  };
  feed.Attach(10);
  WhileReading(&feed, {10}, is_cancelled, [&] { feed.Close(); });
  EXPECT_EQ(CodeAfter(&feed, 10), absl::StatusCode::kCancelled);
}

TEST(ChangeFeedTest, ManyFollowersSeeEachChangeOnceInOrderOrAreToldToBeginAgain) {
  constexpr int64_t kLast = 30000;
  ChangeFeed feed(200000);
  feed.Attach(0);
  std::atomic<int64_t> applied{0};
  std::vector<std::thread> followers;
  for (uint32_t i = 0; i < 6; ++i) {
    followers.emplace_back([&, i] {
      std::mt19937 random(i);
      ChangeFeed::Place place;
      int64_t next = 1;
      while (next <= kLast) {
        // Every third one is slow.
        if (i % 3 == 0 && random() % 8 == 0) absl::SleepFor(absl::Milliseconds(2));
        const auto events = feed.Read(&place, 1 + random() % 200, absl::InfiniteFuture());
        if (!events.ok()) {
          ASSERT_EQ(events.status().code(), absl::StatusCode::kOutOfRange);
          // As one who reads the database does; it can be ahead of the feed.
          place = {applied};
          next = place.sequence + 1;
          continue;
        }
        ASSERT_FALSE(events->empty());
        for (const auto& event : *events) ASSERT_EQ(event->sequence, next++);
        ASSERT_EQ(place.sequence, next - 1);
      }
    });
  }
  std::mt19937 random(99);
  for (int64_t sequence = 1; sequence <= kLast;) {
    TestChanges changes;
    const int64_t last = std::min<int64_t>(kLast, sequence + random() % 20);
    for (; sequence <= last; ++sequence) changes.Key(sequence, "one", sequence);
    feed.Committing(changes.span());
    applied = last;
    feed.Committed(changes.span(), last);
    if (random() % 4 == 0) std::this_thread::yield();
  }
  for (std::thread& follower : followers) follower.join();
}

}  // namespace
}  // namespace ctlstore::ldb
