// A place in a ledger that can be told from the same place in another one.

#ifndef CTLSTORE_COMMON_SCHEMA_LEDGER_POSITION_H_
#define CTLSTORE_COMMON_SCHEMA_LEDGER_POSITION_H_

#include <cstdint>
#include <string>

#include "common/schema/ledger_entry.h"

namespace ctlstore {

// The place after an entry. The digest tells that entry from another one with the same sequence, as
// a ledger has it that was restored from a backup and then went on in another way.
struct LedgerPosition {
  // 0: before the first entry.
  int64_t sequence = 0;
  // DigestOf() the entry; empty where it is not known.
  std::string digest;

  friend bool operator==(const LedgerPosition& a, const LedgerPosition& b) {
    return a.sequence == b.sequence && a.digest == b.digest;
  }
  friend bool operator!=(const LedgerPosition& a, const LedgerPosition& b) { return !(a == b); }
};

// 16 bytes: the first half of the SHA-256 of the sequence (8 bytes, little-endian), the leader's
// time to the second (its first 19 characters, because not every copy of a ledger has the fraction)
// and the statement.
std::string DigestOf(const LedgerEntry& entry);

LedgerPosition PositionAfter(const LedgerEntry& entry);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_LEDGER_POSITION_H_
