#include "common/schema/ledger_position.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace ctlstore {
namespace {

// printf '\x07\0\0\0\0\0\0\0%s%s' '2026-01-02 03:04:05' '--- COMMIT' | sha256sum | cut -c1-32
TEST(LedgerPositionTest, TheDigestIsTheDocumentedOne) {
  EXPECT_EQ(absl::BytesToHexString(DigestOf({7, "2026-01-02 03:04:05", "--- COMMIT"})),
            "d0c5e138c330a15467f93ba21d407a3a");
}

TEST(LedgerPositionTest, TheDigestTellsEntriesApart) {
  const LedgerEntry entry{7, "2026-01-02 03:04:05", "--- COMMIT"};
  EXPECT_NE(DigestOf({8, entry.leader_time, entry.statement}), DigestOf(entry));
  EXPECT_NE(DigestOf({7 + (int64_t{1} << 32), entry.leader_time, entry.statement}),
            DigestOf(entry));
  EXPECT_NE(DigestOf({7, "2026-01-02 03:04:06", entry.statement}), DigestOf(entry));
  EXPECT_NE(DigestOf({7, entry.leader_time, "--- BEGIN"}), DigestOf(entry));
}

TEST(LedgerPositionTest, AFractionOfASecondMakesNoDifference) {
  EXPECT_EQ(DigestOf({7, "2026-01-02 03:04:05.678", "--- COMMIT"}),
            DigestOf({7, "2026-01-02 03:04:05", "--- COMMIT"}));
}

TEST(LedgerPositionTest, ThePositionAfterAnEntryHasItsSequenceAndDigest) {
  const LedgerEntry entry{7, "2026-01-02 03:04:05", "--- COMMIT"};
  EXPECT_EQ(PositionAfter(entry), (LedgerPosition{7, DigestOf(entry)}));
}

}  // namespace
}  // namespace ctlstore
