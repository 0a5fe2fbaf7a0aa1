#include "common/schema/ledger_position.h"

#include <openssl/sha.h>

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace ctlstore {
namespace {

constexpr size_t kDigestBytes = 16;
// "YYYY-MM-DD HH:MM:SS"
constexpr size_t kTimeToTheSecond = 19;

}  // namespace

std::string DigestOf(const LedgerEntry& entry) {
  std::string text;
  text.reserve(sizeof(entry.sequence) + kTimeToTheSecond + entry.statement.size());
  for (size_t i = 0; i < sizeof(entry.sequence); ++i) {
    text.push_back(static_cast<char>(static_cast<uint64_t>(entry.sequence) >> (8 * i)));
  }
  text.append(entry.leader_time, 0, kTimeToTheSecond);
  text.append(entry.statement);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), kDigestBytes);
}

LedgerPosition PositionAfter(const LedgerEntry& entry) { return {entry.sequence, DigestOf(entry)}; }

}  // namespace ctlstore
