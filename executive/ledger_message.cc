#include "executive/ledger_message.h"

#include <algorithm>
#include <utility>

#include "ctlstore/v1/ledger.pb.h"

namespace ctlstore::executive {
namespace {

constexpr size_t kDigestBytes = 16;
// What an entry takes besides its statement, about.
constexpr size_t kEntryOverhead = 48;

// How many of the entries the next message gets.
struct Cut {
  size_t entries = 0;
  // Whether it ends with a whole transaction.
  bool whole = false;
};

Cut FirstCut(absl::Span<const LedgerEntry> entries, size_t max_bytes) {
  size_t bytes = 0;
  size_t whole = 0;
  // Entries that go on with a transaction from an earlier message end no transaction, but look like
  // ones of a single statement; the message is then cut between them, as it would be anyway.
  bool in_transaction = false;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string& statement = entries[i].statement;
    bytes += statement.size() + kEntryOverhead;
    if (bytes > max_bytes && whole > 0) return {whole, true};
    if (statement == kBeginMarker) {
      in_transaction = true;
    } else if (statement == kCommitMarker) {
      in_transaction = false;
    }
    if (!in_transaction) whole = i + 1;
    if (bytes >= max_bytes) return {whole > 0 ? whole : i + 1, whole > 0};
  }
  if (whole > 0 && whole < entries.size()) return {whole, true};
  return {entries.size(), whole > 0};
}

}  // namespace

LedgerMessage::LedgerMessage(LedgerPosition before, absl::Span<const LedgerEntry> entries)
    : before_(std::move(before)) {
  size_t bytes = 0;
  for (const LedgerEntry& entry : entries) bytes += entry.statement.size() + kEntryOverhead;
  bytes_.reserve(bytes);
  places_.reserve(entries.size());
  digests_.reserve(entries.size() * kDigestBytes);
  // Serialized messages one behind the other are one message with the entries of all.
  v1::TailResponse one;
  v1::TailEntry* const proto = one.add_entries();
  for (const LedgerEntry& entry : entries) {
    places_.push_back({entry.sequence, bytes_.size()});
    digests_.append(ctlstore::DigestOf(entry));
    proto->set_sequence(entry.sequence);
    proto->set_leader_time(entry.leader_time);
    proto->set_statement(entry.statement);
    one.AppendToString(&bytes_);
  }
}

std::vector<LedgerMessage::Place>::const_iterator LedgerMessage::FirstBehind(
    int64_t sequence) const {
  return std::upper_bound(
      places_.begin(), places_.end(), sequence,
      [](int64_t wanted, const Place& place) { return wanted < place.sequence; });
}

absl::string_view LedgerMessage::DigestAt(size_t index) const {
  return absl::string_view(digests_).substr(index * kDigestBytes, kDigestBytes);
}

LedgerPosition LedgerMessage::after() const {
  return {last_sequence(), std::string(DigestAt(places_.size() - 1))};
}

LedgerMessage::Tail LedgerMessage::Behind(int64_t sequence) const {
  const auto first = FirstBehind(sequence);
  if (first == places_.end()) return {};
  return {absl::string_view(bytes_).substr(first->offset),
          static_cast<size_t>(places_.end() - first)};
}

absl::string_view LedgerMessage::DigestOf(int64_t sequence) const {
  const auto next = FirstBehind(sequence);
  if (next == places_.begin() || std::prev(next)->sequence != sequence) return "";
  return DigestAt(static_cast<size_t>(next - places_.begin()) - 1);
}

std::vector<std::shared_ptr<const LedgerMessage>> PackLedgerMessages(
    LedgerPosition after, absl::Span<const LedgerEntry> entries, bool at_end, size_t max_bytes) {
  std::vector<std::shared_ptr<const LedgerMessage>> messages;
  while (!entries.empty()) {
    const Cut cut = FirstCut(entries, max_bytes);
    const bool last = cut.entries == entries.size();
    if (last && !cut.whole && !at_end && !messages.empty()) break;
    messages.push_back(
        std::make_shared<LedgerMessage>(std::move(after), entries.subspan(0, cut.entries)));
    after = messages.back()->after();
    entries.remove_prefix(cut.entries);
  }
  return messages;
}

}  // namespace ctlstore::executive
