#include "executive/ledger_message.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctlstore/v1/ledger.pb.h"

namespace ctlstore::executive {
namespace {

using Messages = std::vector<std::shared_ptr<const LedgerMessage>>;

LedgerEntry Entry(int64_t sequence, std::string statement) {
  return {sequence, "2024-05-06 07:08:09.123", std::move(statement)};
}

// Appends one ledger transaction.
void AddTransaction(size_t statements, size_t bytes, std::vector<LedgerEntry>* entries) {
  int64_t sequence = entries->empty() ? 1 : entries->back().sequence + 1;
  if (statements > 1) entries->push_back(Entry(sequence++, kBeginMarker));
  for (size_t i = 0; i < statements; ++i) {
    entries->push_back(Entry(sequence, std::string(bytes, 'a' + sequence % 26)));
    ++sequence;
  }
  if (statements > 1) entries->push_back(Entry(sequence, kCommitMarker));
}

std::vector<int64_t> Sequences(absl::string_view bytes) {
  v1::TailResponse response;
  EXPECT_TRUE(response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  std::vector<int64_t> sequences;
  for (const v1::TailEntry& entry : response.entries()) sequences.push_back(entry.sequence());
  return sequences;
}

size_t Taken(const Messages& messages) {
  size_t entries = 0;
  for (const auto& message : messages) entries += message->entries();
  return entries;
}

TEST(LedgerMessage, HasTheEntriesAsTheyAre) {
  const std::vector<LedgerEntry> entries = {Entry(7, "one"), Entry(8, std::string("\0\xff'", 3)),
                                            Entry(11, "")};
  const LedgerMessage message({6, "0123456789abcdef"}, entries);
  v1::TailResponse response;
  const LedgerMessage::Tail all = message.Behind(6);
  ASSERT_TRUE(response.ParseFromArray(all.bytes.data(), static_cast<int>(all.bytes.size())));
  ASSERT_EQ(response.entries_size(), 3);
  EXPECT_EQ(response.last_sequence(), 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(response.entries(i).sequence(), entries[i].sequence);
    EXPECT_EQ(response.entries(i).leader_time(), entries[i].leader_time);
    EXPECT_EQ(response.entries(i).statement(), entries[i].statement);
  }
  EXPECT_EQ(message.before(), (LedgerPosition{6, "0123456789abcdef"}));
  EXPECT_EQ(message.after(), PositionAfter(entries[2]));
  EXPECT_EQ(message.first_sequence(), 7);
  EXPECT_EQ(message.last_sequence(), 11);
}

TEST(LedgerMessage, CanBeBegunAnywhere) {
  const LedgerMessage message({6, ""}, {Entry(7, "one"), Entry(8, "two"), Entry(11, "three")});
  EXPECT_EQ(Sequences(message.Behind(0).bytes), (std::vector<int64_t>{7, 8, 11}));
  EXPECT_EQ(Sequences(message.Behind(7).bytes), (std::vector<int64_t>{8, 11}));
  EXPECT_EQ(message.Behind(7).entries, 2u);
  EXPECT_EQ(Sequences(message.Behind(8).bytes), (std::vector<int64_t>{11}));
  EXPECT_EQ(Sequences(message.Behind(9).bytes), (std::vector<int64_t>{11}));
  EXPECT_EQ(message.Behind(11).entries, 0u);
  EXPECT_TRUE(message.Behind(11).bytes.empty());
}

TEST(LedgerMessage, KnowsItsEntriesDigests) {
  const std::vector<LedgerEntry> entries = {Entry(7, "one"), Entry(8, "two"), Entry(11, "three")};
  const LedgerMessage message({6, ""}, entries);
  for (const LedgerEntry& entry : entries) {
    EXPECT_EQ(message.DigestOf(entry.sequence), DigestOf(entry));
  }
  for (const int64_t sequence : {0, 6, 9, 10, 12}) EXPECT_EQ(message.DigestOf(sequence), "");
}

TEST(PackLedgerMessages, OfNothingIsNothing) {
  EXPECT_TRUE(PackLedgerMessages({5, ""}, {}, true, 100).empty());
  EXPECT_TRUE(PackLedgerMessages({5, ""}, {}, false, 100).empty());
}

TEST(PackLedgerMessages, LeavesAnUnfinishedTransactionUnlessItIsAll) {
  std::vector<LedgerEntry> entries;
  AddTransaction(1, 10, &entries);
  AddTransaction(3, 10, &entries);
  entries.pop_back();
  EXPECT_EQ(Taken(PackLedgerMessages({}, entries, /*at_end=*/false, 1000)), 1u);
  // A ledger may end like this where something else than an executive wrote it.
  EXPECT_EQ(Taken(PackLedgerMessages({}, entries, /*at_end=*/true, 1000)), entries.size());
  entries.erase(entries.begin());
  EXPECT_EQ(Taken(PackLedgerMessages({}, entries, /*at_end=*/false, 1000)), entries.size());
}

TEST(PackLedgerMessages, ALargeTransactionGoesOnInTheNextMessage) {
  std::vector<LedgerEntry> entries;
  AddTransaction(1, 100, &entries);
  AddTransaction(20, 100, &entries);
  AddTransaction(1, 100, &entries);
  const Messages messages = PackLedgerMessages({}, entries, /*at_end=*/true, 1000);
  ASSERT_GE(messages.size(), 4u);
  EXPECT_EQ(messages[0]->entries(), 1u);
  EXPECT_EQ(Taken(messages), entries.size());
}

TEST(PackLedgerMessages, KeepsAllInOrderWholeAndSmall) {
  std::mt19937 random(20240501);
  for (int round = 0; round < 500; ++round) {
    std::vector<LedgerEntry> entries;
    const size_t transactions = 1 + random() % 30;
    for (size_t i = 0; i < transactions; ++i) {
      AddTransaction(1 + random() % 8, 1 + random() % 200, &entries);
    }
    const std::vector<LedgerEntry> all = entries;
    entries.resize(1 + random() % entries.size());
    const bool at_end = entries.size() == all.size();
    const size_t max_bytes = 50 + random() % 3000;
    const Messages messages = PackLedgerMessages({}, entries, at_end, max_bytes);
    ASSERT_FALSE(messages.empty());
    size_t next = 0;
    int depth = 0;
    for (size_t i = 0; i < messages.size(); ++i) {
      const LedgerMessage& message = *messages[i];
      ASSERT_EQ(message.before(), i == 0 ? LedgerPosition() : messages[i - 1]->after());
      for (const int64_t sequence : Sequences(message.Behind(0).bytes)) {
        ASSERT_EQ(sequence, all[next++].sequence);
      }
      ASSERT_EQ(message.last_sequence(), all[next - 1].sequence);
      // A message ends within a transaction only if it has nothing else, or nothing was before it.
      int ends = 0;
      for (size_t j = next - message.entries(); j < next; ++j) {
        if (all[j].statement == kBeginMarker) depth = 1;
        if (all[j].statement == kCommitMarker) depth = 0;
        if (depth == 0) ++ends;
      }
      if (depth > 0) {
        ASSERT_EQ(ends, 0) << "round " << round;
      }
      ASSERT_LE(message.size(), max_bytes + 100 * message.entries() + 300);
    }
    if (at_end) {
      ASSERT_EQ(next, entries.size());
    }
  }
}

}  // namespace
}  // namespace ctlstore::executive
