#include "executive/ledger_ring.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"

namespace ctlstore::executive {

void LedgerRing::Clear() {
  begun_ = false;
  begin_ = {};
  end_ = {};
  for (const auto& message : messages_) dropped_.push_back(message);
  messages_.clear();
  bytes_ = 0;
  entries_ = 0;
}

void LedgerRing::Begin(const LedgerPosition& position) {
  Clear();
  begun_ = true;
  begin_ = position;
  end_ = position;
}

void LedgerRing::Append(std::shared_ptr<const LedgerMessage> message) {
  end_ = message->after();
  bytes_ += message->size();
  entries_ += message->entries();
  messages_.push_back(std::move(message));
  while (bytes_ > max_bytes_ && messages_.size() > 1) {
    begin_ = messages_.front()->after();
    bytes_ -= messages_.front()->size();
    entries_ -= messages_.front()->entries();
    dropped_.push_back(messages_.front());
    messages_.pop_front();
  }
}

LedgerRing::Place LedgerRing::Find(const LedgerPosition& position) const {
  if (!begun_) return Place::kUnknown;
  const int64_t sequence = position.sequence;
  if (sequence < begin_.sequence) return Place::kBefore;
  if (sequence > end_.sequence) return Place::kBeyond;
  absl::string_view known = begin_.digest;
  if (sequence != begin_.sequence) {
    known = Behind(sequence - 1)->DigestOf(sequence);
    if (known.empty()) return Place::kUnknown;
  }
  // The ledger's beginning is no entry; all know it.
  if (position.digest.empty() || sequence == 0) return Place::kWithin;
  if (known.empty()) return Place::kUnknown;
  return known == position.digest ? Place::kWithin : Place::kDiverged;
}

std::shared_ptr<const LedgerMessage> LedgerRing::Behind(int64_t sequence) const {
  const auto message = std::upper_bound(
      messages_.begin(), messages_.end(), sequence,
      [](int64_t wanted, const auto& message) { return wanted < message->last_sequence(); });
  return message == messages_.end() ? nullptr : *message;
}

size_t LedgerRing::held_bytes() {
  size_t bytes = 0;
  dropped_.erase(std::remove_if(dropped_.begin(), dropped_.end(),
                                [&bytes](const std::weak_ptr<const LedgerMessage>& dropped) {
                                  const std::shared_ptr<const LedgerMessage> held = dropped.lock();
                                  if (held != nullptr) bytes += held->size();
                                  return held == nullptr;
                                }),
                 dropped_.end());
  return bytes;
}

}  // namespace ctlstore::executive
