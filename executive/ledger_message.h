// Entries of the ledger in the form in which listeners get them.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_MESSAGE_H_
#define CTLSTORE_EXECUTIVE_LEDGER_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"

namespace ctlstore::executive {

// A serialized v1::TailResponse with entries that follow one another, made once for all who listen.
// It has no last_sequence: a serialized message with one can be put behind it, which together is
// one message. Immutable, and so thread-safe.
class LedgerMessage {
 public:
  // `entries` follow `before`; there is at least one.
  LedgerMessage(LedgerPosition before, absl::Span<const LedgerEntry> entries);

  // The positions before its first entry and after its last one.
  const LedgerPosition& before() const { return before_; }
  LedgerPosition after() const;

  int64_t first_sequence() const { return places_.front().sequence; }
  int64_t last_sequence() const { return places_.back().sequence; }
  size_t entries() const { return places_.size(); }

  // What of it follows a sequence, which may be any: a message of its own.
  struct Tail {
    absl::string_view bytes;
    size_t entries = 0;
  };
  Tail Behind(int64_t sequence) const;

  // The digest of the entry with this sequence; empty where it has none such.
  absl::string_view DigestOf(int64_t sequence) const;

  // The memory that it takes, nearly.
  size_t size() const { return bytes_.size() + places_.size() * kPlaceBytes; }

 private:
  struct Place {
    int64_t sequence;
    // Where its entry begins.
    size_t offset;
  };
  // With the digest.
  static constexpr size_t kPlaceBytes = sizeof(Place) + 16;

  std::vector<Place>::const_iterator FirstBehind(int64_t sequence) const;
  absl::string_view DigestAt(size_t index) const;

  const LedgerPosition before_;
  std::string bytes_;
  std::vector<Place> places_;
  // Of all entries, one after the other.
  std::string digests_;
};

// Cuts the entries, which follow `after`, into messages of whole ledger transactions with about
// `max_bytes` at most. A transaction that is larger goes on in the next message. Unless they are
// all that the ledger has (`at_end`), a transaction at their end that is not whole is left away; it
// is to be read again from where the last message ends. Something is always taken, if there is
// anything.
std::vector<std::shared_ptr<const LedgerMessage>> PackLedgerMessages(
    LedgerPosition after, absl::Span<const LedgerEntry> entries, bool at_end, size_t max_bytes);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_MESSAGE_H_
