// One entry of the ledger, as the ctldb keeps it and every host plays it.

#ifndef CTLSTORE_COMMON_SCHEMA_LEDGER_ENTRY_H_
#define CTLSTORE_COMMON_SCHEMA_LEDGER_ENTRY_H_

#include <cstdint>
#include <string>

namespace ctlstore {

struct LedgerEntry {
  // 1 for a ledger's first entry, then without gaps.
  int64_t sequence = 0;
  // When the ctldb took the entry, UTC: "YYYY-MM-DD HH:MM:SS", with or without a fraction.
  std::string leader_time;
  // One SQL statement for SQLite, or one of the two markers around a ledger transaction of several
  // statements. See docs/formats.md.
  std::string statement;
};

inline constexpr char kBeginMarker[] = "--- BEGIN";
inline constexpr char kCommitMarker[] = "--- COMMIT";

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_LEDGER_ENTRY_H_
