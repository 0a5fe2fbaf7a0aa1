// The newest part of the ledger, in memory.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_RING_H_
#define CTLSTORE_EXECUTIVE_LEDGER_RING_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "common/schema/ledger_position.h"
#include "executive/ledger_message.h"

namespace ctlstore::executive {

// Messages that follow one another without a gap, the oldest of which are dropped where all
// together are larger than `max_bytes` (but for the newest one). Not thread-safe.
class LedgerRing {
 public:
  explicit LedgerRing(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Forgets all.
  void Clear();
  // Begins anew, without entries, at a position; its digest may not be known.
  void Begin(const LedgerPosition& position);
  bool begun() const { return begun_; }

  // The next message; it follows end().
  void Append(std::shared_ptr<const LedgerMessage> message);

  // What it reaches from and to. Both are 0 where it has not begun.
  const LedgerPosition& begin() const { return begin_; }
  const LedgerPosition& end() const { return end_; }

  enum class Place {
    // It has all that follows the position, if there is anything yet.
    kWithin,
    // The position is older than what it has.
    kBefore,
    // It has another entry there.
    kDiverged,
    // It does not reach there.
    kBeyond,
    // It has no entry there, or does not know its digest.
    kUnknown,
  };
  Place Find(const LedgerPosition& position) const;

  // The message with the first entry behind a sequence that is not before begin(); null where it
  // has none.
  std::shared_ptr<const LedgerMessage> Behind(int64_t sequence) const;

  size_t bytes() const { return bytes_; }
  size_t entries() const { return entries_; }
  // Of messages that were dropped and are still on their way to somebody.
  size_t held_bytes();

 private:
  const size_t max_bytes_;
  bool begun_ = false;
  LedgerPosition begin_;
  LedgerPosition end_;
  std::deque<std::shared_ptr<const LedgerMessage>> messages_;
  size_t bytes_ = 0;
  size_t entries_ = 0;
  std::deque<std::weak_ptr<const LedgerMessage>> dropped_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_RING_H_
