#include "executive/ledger_ring.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::executive {
namespace {

using Place = LedgerRing::Place;

LedgerEntry Entry(int64_t sequence) {
  return {sequence, "2024-05-06 07:08:09", absl::StrCat("statement ", sequence)};
}

std::shared_ptr<const LedgerMessage> Message(LedgerPosition before,
                                             const std::vector<int64_t>& sequences) {
  std::vector<LedgerEntry> entries;
  for (const int64_t sequence : sequences) entries.push_back(Entry(sequence));
  return std::make_shared<LedgerMessage>(std::move(before), entries);
}

LedgerPosition At(int64_t sequence) { return PositionAfter(Entry(sequence)); }

TEST(LedgerRing, FindsPositions) {
  LedgerRing ring(1 << 20);
  EXPECT_EQ(ring.Find({5, ""}), Place::kUnknown);
  ring.Begin({10, ""});
  EXPECT_EQ(ring.Find({10, ""}), Place::kWithin);
  ring.Append(Message(ring.end(), {11, 12}));
  ring.Append(Message(ring.end(), {13, 15}));
  EXPECT_EQ(ring.Find({9, ""}), Place::kBefore);
  // What is there is not known, but what follows is.
  EXPECT_EQ(ring.Find({10, ""}), Place::kWithin);
  EXPECT_EQ(ring.Find(At(10)), Place::kUnknown);
  for (const int64_t sequence : {11, 12, 13, 15}) {
    EXPECT_EQ(ring.Find({sequence, ""}), Place::kWithin);
    EXPECT_EQ(ring.Find(At(sequence)), Place::kWithin);
    EXPECT_EQ(ring.Find({sequence, std::string(16, 'x')}), Place::kDiverged);
  }
  EXPECT_EQ(ring.Find({14, ""}), Place::kUnknown);
  EXPECT_EQ(ring.Find({16, ""}), Place::kBeyond);
  EXPECT_EQ(ring.Behind(10)->first_sequence(), 11);
  EXPECT_EQ(ring.Behind(11)->first_sequence(), 11);
  EXPECT_EQ(ring.Behind(12)->first_sequence(), 13);
  EXPECT_EQ(ring.Behind(13)->first_sequence(), 13);
  EXPECT_EQ(ring.Behind(15), nullptr);
  EXPECT_EQ(ring.entries(), 4u);
}

TEST(LedgerRing, TheBeginningIsKnownToAll) {
  LedgerRing ring(1 << 20);
  ring.Begin({0, ""});
  EXPECT_EQ(ring.Find({0, ""}), Place::kWithin);
  EXPECT_EQ(ring.Find({0, std::string(16, 'x')}), Place::kWithin);
  EXPECT_EQ(ring.Find({1, ""}), Place::kBeyond);
}

TEST(LedgerRing, DropsTheOldestAndKnowsWhereItBeginsThen) {
  const size_t size = Message({0, ""}, {1})->size();
  LedgerRing ring(3 * size + size / 2);
  ring.Begin({0, ""});
  for (int64_t sequence = 1; sequence <= 9; ++sequence) {
    ring.Append(Message(ring.end(), {sequence}));
    EXPECT_LE(ring.bytes(), 3 * size + size / 2);
  }
  EXPECT_EQ(ring.begin(), At(6));
  EXPECT_EQ(ring.end(), At(9));
  EXPECT_EQ(ring.entries(), 3u);
  EXPECT_EQ(ring.Find(At(5)), Place::kBefore);
  EXPECT_EQ(ring.Find(At(6)), Place::kWithin);
  EXPECT_EQ(ring.Find({6, std::string(16, 'x')}), Place::kDiverged);
}

TEST(LedgerRing, KeepsTheNewestMessageHoweverLarge) {
  LedgerRing ring(1);
  ring.Begin({0, ""});
  ring.Append(Message(ring.end(), {1, 2, 3}));
  ring.Append(Message(ring.end(), {4, 5, 6}));
  EXPECT_EQ(ring.entries(), 3u);
  EXPECT_EQ(ring.begin(), At(3));
}

TEST(LedgerRing, CountsWhatOthersHoldOfTheDropped) {
  LedgerRing ring(1);
  ring.Begin({0, ""});
  ring.Append(Message(ring.end(), {1}));
  std::shared_ptr<const LedgerMessage> held = ring.Behind(0);
  EXPECT_EQ(ring.held_bytes(), 0u);
  ring.Append(Message(ring.end(), {2}));
  EXPECT_EQ(ring.held_bytes(), held->size());
  ring.Append(Message(ring.end(), {3}));
  EXPECT_EQ(ring.held_bytes(), held->size());
  held = ring.Behind(2);
  EXPECT_EQ(ring.held_bytes(), 0u);
  ring.Clear();
  EXPECT_EQ(ring.held_bytes(), held->size());
  held.reset();
  EXPECT_EQ(ring.held_bytes(), 0u);
}

TEST(LedgerRing, BeginsAnew) {
  LedgerRing ring(1 << 20);
  ring.Begin({0, ""});
  ring.Append(Message(ring.end(), {1}));
  ring.Clear();
  EXPECT_FALSE(ring.begun());
  EXPECT_EQ(ring.bytes(), 0u);
  EXPECT_EQ(ring.Find(At(1)), Place::kUnknown);
  EXPECT_EQ(ring.Behind(0), nullptr);
  ring.Begin(At(1));
  EXPECT_EQ(ring.Find(At(1)), Place::kWithin);
}

}  // namespace
}  // namespace ctlstore::executive
