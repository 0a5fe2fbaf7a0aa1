#include "common/ldb/row_encoding.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace ctlstore::ldb {
namespace {

uint64_t Bits(double decimal) {
  uint64_t bits = 0;
  static_assert(sizeof(bits) == sizeof(decimal));
  std::memcpy(&bits, &decimal, sizeof(bits));
  return bits;
}

void AppendLittleEndian(uint64_t number, std::string* bytes) {
  char buffer[sizeof(number)];
  for (size_t i = 0; i < sizeof(number); ++i) buffer[i] = static_cast<char>(number >> (8 * i));
  bytes->append(buffer, sizeof(buffer));
}

void AppendBigEndian(uint64_t number, std::string* bytes) {
  char buffer[sizeof(number)];
  for (size_t i = 0; i < sizeof(number); ++i) {
    buffer[i] = static_cast<char>(number >> (8 * (sizeof(number) - 1 - i)));
  }
  bytes->append(buffer, sizeof(buffer));
}

// The order's first byte of each class of values.
enum Class : char { kNullClass = 1, kNumberClass, kTextClass, kBytesClass };

constexpr uint64_t kSignBit = uint64_t{1} << 63;

// A number is an integer and the rest towards it from zero; beyond all integers, it is the last one
// of them and the rest is the number itself.
void AppendOrderedNumber(int64_t whole, double rest, std::string* bytes) {
  bytes->push_back(kNumberClass);
  AppendBigEndian(static_cast<uint64_t>(whole) ^ kSignBit, bytes);
  const uint64_t bits = Bits(rest == 0 ? 0.0 : rest);
  AppendBigEndian((bits & kSignBit) != 0 ? ~bits : bits ^ kSignBit, bytes);
}

void AppendOrderedDecimal(double decimal, std::string* bytes) {
  constexpr double kBeyondIntegers = 9223372036854775808.0;
  using Limits = std::numeric_limits<int64_t>;
  if (decimal >= kBeyondIntegers) {
    AppendOrderedNumber(Limits::max(), decimal, bytes);
  } else if (decimal < -kBeyondIntegers) {
    AppendOrderedNumber(Limits::min(), decimal, bytes);
  } else {
    const double whole = std::trunc(decimal);
    AppendOrderedNumber(static_cast<int64_t>(whole), decimal - whole, bytes);
  }
}

// Ends with what no data can be mistaken for, so that "a" is before "aa" whatever follows.
void AppendOrderedData(absl::string_view data, std::string* bytes) {
  constexpr absl::string_view kEscapedNul("\0\xFF", 2);
  constexpr absl::string_view kEnd("\0\x01", 2);
  while (true) {
    const size_t nul = data.find('\0');
    bytes->append(data.data(), nul == data.npos ? data.size() : nul);
    if (nul == data.npos) break;
    bytes->append(kEscapedNul.data(), kEscapedNul.size());
    data.remove_prefix(nul + 1);
  }
  bytes->append(kEnd.data(), kEnd.size());
}

}  // namespace

void AppendExact(const ValueView& value, std::string* bytes) {
  switch (value.kind()) {
    case ValueKind::kNull:
      bytes->push_back('n');
      return;
    case ValueKind::kInteger:
      bytes->push_back('i');
      AppendLittleEndian(static_cast<uint64_t>(value.integer()), bytes);
      return;
    case ValueKind::kDecimal:
      bytes->push_back('d');
      AppendLittleEndian(Bits(value.decimal()), bytes);
      return;
    case ValueKind::kText:
    case ValueKind::kBytes:
      bytes->push_back(value.kind() == ValueKind::kText ? 't' : 'b');
      AppendLittleEndian(value.data().size(), bytes);
      bytes->append(value.data().data(), value.data().size());
      return;
  }
}

void AppendOrdered(const ValueView& value, std::string* bytes) {
  switch (value.kind()) {
    case ValueKind::kNull:
      bytes->push_back(kNullClass);
      return;
    case ValueKind::kInteger:
      AppendOrderedNumber(value.integer(), 0, bytes);
      return;
    case ValueKind::kDecimal:
      AppendOrderedDecimal(value.decimal(), bytes);
      return;
    case ValueKind::kText:
      bytes->push_back(kTextClass);
      AppendOrderedData(value.data(), bytes);
      return;
    case ValueKind::kBytes:
      bytes->push_back(kBytesClass);
      AppendOrderedData(value.data(), bytes);
      return;
  }
}

}  // namespace ctlstore::ldb
