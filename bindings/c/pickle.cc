#include "bindings/c/pickle.h"

#include <cstdint>
#include <cstring>
#include <limits>

namespace ctlstore::bindings {
namespace {

// The opcodes, by their names in Python's pickletools.
constexpr char kProto = '\x80';
constexpr char kStop = '.';
constexpr char kMark = '(';
constexpr char kEmptyDict = '}';
constexpr char kSetItems = 'u';
constexpr char kEmptyList = ']';
constexpr char kAppends = 'e';
constexpr char kMemoize = '\x94';
constexpr char kBinGet = 'h';
constexpr char kNone = 'N';
constexpr char kBinInt = 'J';
constexpr char kLong1 = '\x8a';
constexpr char kBinFloat = 'G';
constexpr char kShortBinUnicode = '\x8c';
constexpr char kBinUnicode = 'X';
constexpr char kShortBinBytes = 'C';
constexpr char kBinBytes = 'B';

// What kBinGet can name.
constexpr size_t kMemoSize = 256;

}  // namespace

void PickleWriter::WriteRow(const ldb::RowView& row) {
  Begin();
  out_->push_back(kEmptyDict);
  out_->push_back(kMark);
  for (size_t i = 0; i < row.size(); ++i) {
    AddText(row.name(i));
    AddValue(row.value(i));
  }
  out_->push_back(kSetItems);
  out_->push_back(kStop);
}

void PickleWriter::BeginList() {
  rows_ = 0;
  Begin();
  out_->push_back(kEmptyList);
  out_->push_back(kMark);
}

void PickleWriter::AddToList(const ldb::RowView& row) {
  out_->push_back(kEmptyDict);
  out_->push_back(kMark);
  for (size_t i = 0; i < row.size(); ++i) {
    // The first row's names are remembered, and the only things that are: at their positions.
    if (i >= kMemoSize) {
      AddText(row.name(i));
    } else if (rows_ == 0) {
      AddText(row.name(i));
      out_->push_back(kMemoize);
    } else {
      out_->push_back(kBinGet);
      AddLittleEndian(i, 1);
    }
    AddValue(row.value(i));
  }
  out_->push_back(kSetItems);
  ++rows_;
}

void PickleWriter::EndList() {
  out_->push_back(kAppends);
  out_->push_back(kStop);
}

void PickleWriter::Begin() {
  out_->push_back(kProto);
  out_->push_back('\x04');
}

void PickleWriter::AddText(absl::string_view text) {
  const bool is_short = text.size() <= std::numeric_limits<uint8_t>::max();
  out_->push_back(is_short ? kShortBinUnicode : kBinUnicode);
  AddLittleEndian(text.size(), is_short ? 1 : 4);
  out_->append(text.data(), text.size());
}

void PickleWriter::AddBytes(absl::string_view bytes) {
  const bool is_short = bytes.size() <= std::numeric_limits<uint8_t>::max();
  out_->push_back(is_short ? kShortBinBytes : kBinBytes);
  AddLittleEndian(bytes.size(), is_short ? 1 : 4);
  out_->append(bytes.data(), bytes.size());
}

void PickleWriter::AddValue(const ValueView& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
      out_->push_back(kNone);
      break;
    case ValueKind::kInteger:
      if (value.integer() >= std::numeric_limits<int32_t>::min() &&
          value.integer() <= std::numeric_limits<int32_t>::max()) {
        out_->push_back(kBinInt);
        AddLittleEndian(static_cast<uint64_t>(value.integer()), 4);
      } else {
        out_->push_back(kLong1);
        out_->push_back(8);
        AddLittleEndian(static_cast<uint64_t>(value.integer()), 8);
      }
      break;
    case ValueKind::kDecimal: {
      const double decimal = value.decimal();
      uint64_t bits;
      std::memcpy(&bits, &decimal, sizeof(bits));
      out_->push_back(kBinFloat);
      // The one number that is big-endian.
      for (int shift = 56; shift >= 0; shift -= 8) {
        out_->push_back(static_cast<char>(bits >> shift));
      }
      break;
    }
    case ValueKind::kText:
      AddText(value.data());
      break;
    case ValueKind::kBytes:
      AddBytes(value.data());
      break;
  }
}

void PickleWriter::AddLittleEndian(uint64_t number, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out_->push_back(static_cast<char>(number >> (8 * i)));
}

}  // namespace ctlstore::bindings
