#include "sidecar/watch_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "sidecar/fake_change_source.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Step = WatchCursor::Step;

WatchFilter Everything() { return *WatchFilter::Create({}); }

WatchFilter Family(const std::string& family) {
  v1::WatchRequest request;
  request.add_selectors()->set_family(family);
  return *WatchFilter::Create(request.selectors());
}

// "sequence:family.table/key", with "=value" where there is a row.
std::string Text(const v1::RowChange& change) {
  std::string text = absl::StrCat(change.sequence(), ":", change.family(), ".", change.table());
  if (!change.key().empty()) absl::StrAppend(&text, "/", change.key(0).text());
  if (change.has_row()) absl::StrAppend(&text, "=", change.row().values().at("value").text());
  return text;
}

std::vector<std::string> Texts(const v1::WatchResponse& message) {
  std::vector<std::string> texts;
  for (const v1::RowChange& change : message.changes()) texts.push_back(Text(change));
  return texts;
}

class WatchCursorTest : public ::testing::Test {
 protected:
  Step Advance(WatchCursor* cursor) {
    message_.Clear();
    const absl::StatusOr<std::unique_ptr<ChangeView>> view = source_.View();
    EXPECT_TRUE(view.ok()) << view.status();
    const absl::StatusOr<Step> step = cursor->Advance(view->get(), &message_);
    EXPECT_TRUE(step.ok()) << step.status();
    return *step;
  }

  FakeChangeSource source_;
  v1::WatchResponse message_;
};

TEST_F(WatchCursorTest, BeginsFromNowOnWhereNothingElseIsAskedFor) {
  source_.Commit({{"geo", "places", "nz", "1"}});
  WatchCursor cursor(absl::nullopt, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
  EXPECT_EQ(cursor.position(), 1);
  source_.Commit({{"geo", "places", "fr", "2"}});
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("2:geo.places/fr"));
  EXPECT_EQ(cursor.position(), 2);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
}

TEST_F(WatchCursorTest, TellsWhatComesAfterASequence) {
  source_.Commit({{"geo", "places", "nz", "1"}, {"geo", "places", "", ""}});
  source_.Commit({{"geo", "places", "nz", ""}, {"shop", "prices", "a", "3"}});
  WatchCursor cursor(1, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("2:geo.places", "3:geo.places/nz", "4:shop.prices/a"));
  EXPECT_FALSE(message_.everything_changed());
  EXPECT_TRUE(cursor.caught_up());
  EXPECT_EQ(cursor.position(), 4);
}

TEST_F(WatchCursorTest, RowsAreAsTheyAreInTheStateThatIsRead) {
  source_.Commit({{"geo", "places", "nz", "old"},
                  {"geo", "places", "", ""},
                  {"geo", "places", "fr", "1"},
                  {"geo", "places", "fr", ""},
                  {"geo", "places", "nz", "new"}});
  WatchCursor cursor(0, Everything(), true);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("1:geo.places/nz=new", "2:geo.places", "3:geo.places/fr",
                                           "4:geo.places/fr", "5:geo.places/nz=new"));
}

TEST_F(WatchCursorTest, GoesOnBehindWhatIsNotSelected) {
  source_.Commit({{"shop", "prices", "a", "1"}, {"geo", "places", "nz", "2"}});
  source_.Commit({{"shop", "prices", "a", "3"}});
  WatchCursor cursor(0, Family("geo"), false);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("2:geo.places/nz"));
  EXPECT_EQ(cursor.position(), 3);
}

TEST_F(WatchCursorTest, MuchThatIsNotSelectedTakesSeveralTurns) {
  source_.Commit(std::vector<FakeChangeSource::Entry>(10000, {"shop", "prices", "a", "1"}));
  source_.Commit({{"geo", "places", "nz", "2"}});
  WatchCursor cursor(0, Family("geo"), false);
  int turns = 0;
  Step step = Step::kMore;
  while ((step = Advance(&cursor)) == Step::kMore) ++turns;
  EXPECT_GT(turns, 1);
  EXPECT_EQ(step, Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("10001:geo.places/nz"));
}

TEST_F(WatchCursorTest, EntriesThatChangeNothingAreTold) {
  source_.CommitNothing(3);
  WatchCursor cursor(0, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
  EXPECT_EQ(cursor.position(), 3);
}

TEST_F(WatchCursorTest, AMessageIsBoundedAndEndsWithAWholeEntry) {
  const std::string large(30000, 'x');
  std::vector<FakeChangeSource::Entry> entries;
  for (int i = 0; i < 600; ++i) entries.push_back({"geo", "places", absl::StrCat(i), large});
  source_.Commit(entries);
  WatchCursor cursor(0, Everything(), true);
  std::vector<std::string> texts;
  int64_t last = 0;
  while (Advance(&cursor) == Step::kMessage) {
    EXPECT_LE(message_.changes_size(), 3);
    EXPECT_EQ(message_.changes(0).sequence(), last + 1);
    last = message_.changes().rbegin()->sequence();
    EXPECT_EQ(cursor.position(), last);
  }
  EXPECT_EQ(last, 600);

  WatchCursor without_rows(0, Everything(), false);
  EXPECT_EQ(Advance(&without_rows), Step::kMessage);
  EXPECT_EQ(message_.changes_size(), 256);
  EXPECT_EQ(without_rows.position(), 256);
  EXPECT_FALSE(without_rows.caught_up());
}

TEST_F(WatchCursorTest, WhatIsNotKeptAnyMoreIsEverything) {
  source_.Commit({{"geo", "places", "nz", "1"}, {"geo", "places", "fr", "2"}});
  source_.ForgetUpTo(1);
  WatchCursor cursor(0, Family("other"), false);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_TRUE(message_.everything_changed());
  EXPECT_THAT(Texts(message_), IsEmpty());
  EXPECT_EQ(cursor.position(), 2);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
  EXPECT_FALSE(message_.everything_changed());
}

TEST_F(WatchCursorTest, AChangeOfEverythingTakesAllChangesWithIt) {
  source_.Commit({{"geo", "places", "nz", "1"}, {"", "", "", ""}, {"geo", "places", "fr", "2"}});
  WatchCursor cursor(0, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_TRUE(message_.everything_changed());
  EXPECT_THAT(Texts(message_), IsEmpty());
  EXPECT_EQ(cursor.position(), 3);
}

TEST_F(WatchCursorTest, ASequenceThatGoesBackIsAnotherLedger) {
  source_.CommitNothing(100);
  WatchCursor cursor(absl::nullopt, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
  source_.Replace(50);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_TRUE(message_.everything_changed());
  EXPECT_EQ(cursor.position(), 50);
  source_.Commit({{"geo", "places", "nz", "1"}});
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("51:geo.places/nz"));
}

TEST_F(WatchCursorTest, AnotherLocalDatabaseIsEverything) {
  source_.Commit({{"geo", "places", "nz", "1"}});
  WatchCursor cursor(0, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  source_.Commit({{"geo", "places", "fr", "1"}});
  source_.Rebuild();
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_TRUE(message_.everything_changed());
  EXPECT_THAT(Texts(message_), IsEmpty());
  EXPECT_EQ(cursor.position(), 2);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
}

TEST_F(WatchCursorTest, ASequenceThatIsNotReachedYetIsWaitedFor) {
  source_.CommitNothing(10);
  WatchCursor cursor(12, Everything(), false);
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
  EXPECT_TRUE(cursor.caught_up());
  EXPECT_EQ(cursor.position(), 12);
  source_.Commit({{"geo", "places", "nz", "1"}});
  EXPECT_EQ(Advance(&cursor), Step::kCaughtUp);
  source_.Commit({{"geo", "places", "fr", "1"}, {"geo", "places", "de", "1"}});
  EXPECT_EQ(Advance(&cursor), Step::kMessage);
  EXPECT_THAT(Texts(message_), ElementsAre("13:geo.places/de"));
}

// However commits, reads and new beginnings meet: each change once, in order, and the rows that are
// told make up the table.
TEST_F(WatchCursorTest, NothingIsLostOrRepeatedWhereverAWatchBeginsAgain) {
  std::mt19937 random(20240506);
  const auto chance = [&](int of) { return static_cast<int>(random() % of); };
  std::vector<std::string> wanted;
  std::vector<std::string> told;
  std::map<std::string, std::string> cache;
  std::map<std::string, std::string> table;
  absl::optional<WatchCursor> cursor;
  cursor.emplace(0, Family("geo"), true);
  const auto advance = [&] {
    const Step step = Advance(&*cursor);
    for (v1::RowChange change : message_.changes()) {
      cache.erase(change.key(0).text());
      if (change.has_row()) {
        cache[change.key(0).text()] = change.row().values().at("value").text();
        change.clear_row();
      }
      told.push_back(Text(change));
    }
    return step;
  };
  for (int round = 0; round < 1000; ++round) {
    std::vector<FakeChangeSource::Entry> entries;
    for (int64_t sequence = source_.sequence() + 1; chance(4) != 0; ++sequence) {
      FakeChangeSource::Entry entry = {chance(3) == 0 ? "shop" : "geo", "places",
                                       absl::StrCat(chance(20)), ""};
      if (chance(3) != 0) entry.value = std::string(chance(30) == 0 ? 70000 : 10, 'a' + chance(26));
      if (entry.family == "geo") {
        wanted.push_back(absl::StrCat(sequence, ":geo.places/", entry.key));
        table.erase(entry.key);
        if (!entry.value.empty()) table[entry.key] = entry.value;
      }
      entries.push_back(std::move(entry));
    }
    source_.Commit(entries);
    if (chance(3) == 0) advance();
    if (chance(10) == 0) cursor.emplace(cursor->position(), Family("geo"), true);
  }
  while (advance() != Step::kCaughtUp) {
  }
  EXPECT_EQ(told, wanted);
  EXPECT_EQ(cache, table);
}

}  // namespace
}  // namespace ctlstore::sidecar
