#include "common/sql/random_data.h"

#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"

namespace ctlstore::sql {

size_t RandomData::Below(size_t bound) { return generator_() % bound; }

int64_t RandomData::Integer() {
  using Limits = std::numeric_limits<int64_t>;
  switch (Below(4)) {
    case 0:
      return static_cast<int64_t>(Below(20)) - 10;
    case 1: {
      constexpr int64_t kEdges[] = {
          Limits::min(),    Limits::min() + 1,  Limits::max(),      Limits::max() - 1, 0,
          int64_t{1} << 53, 9007199254740993LL, -9007199254740993LL};
      return kEdges[Below(std::size(kEdges))];
    }
    default:
      return static_cast<int64_t>(generator_());
  }
}

double RandomData::Decimal() {
  using Limits = std::numeric_limits<double>;
  while (true) {
    double decimal = 0;
    switch (Below(4)) {
      case 0: {
        constexpr double kEdges[] = {0,
                                     Limits::max(),
                                     Limits::lowest(),
                                     Limits::min(),
                                     Limits::denorm_min(),
                                     1,
                                     0.1,
                                     1e23,
                                     1e22,
                                     9007199254740992,
                                     1e-7,
                                     -1.5,
                                     5e-324,
                                     123456789.125,
                                     0.30000000000000004};
        decimal = kEdges[Below(std::size(kEdges))];
        break;
      }
      case 1:
        decimal = static_cast<double>(Below(1000000)) / 100;
        break;
      default: {
        const uint64_t bits = generator_();
        std::memcpy(&decimal, &bits, sizeof(decimal));
      }
    }
    if (std::isfinite(decimal) && !(decimal == 0 && std::signbit(decimal))) return decimal;
  }
}

std::string RandomData::Text(size_t max_characters) {
  static constexpr const char* kPieces[] = {
      "a",  "B", "z",  " ",  "'",  "''", "\"", "\\",        ";",    "--",  "/*",
      "*/", "?", "?1", "\n", "\r", "\t", "%",  "_",         "\\'",  "x'",  ")",
      "(",  ",", "é",  "ß",  "漢", "😀",  "0",  "e\xCC\x81", "\x7F", "\x01"};
  std::string text;
  const size_t size = OneIn(8) ? 0 : Below(max_characters + 1);
  for (size_t i = 0; i < size; ++i) text += kPieces[Below(std::size(kPieces))];
  // Pieces of two characters make it too long at most by half.
  while (text.size() > max_characters) {
    do {
      text.pop_back();
    } while (!text.empty() && (text.back() & 0xC0) == 0x80);
    // A lead byte without what follows goes too.
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
  }
  return text;
}

std::string RandomData::Bytes(size_t max_size) {
  std::string bytes(OneIn(8) ? 0 : Below(max_size + 1), '\0');
  for (char& byte : bytes) byte = static_cast<char>(Below(256));
  return bytes;
}

Value RandomData::Of(FieldType type, bool nullable) {
  if (nullable && OneIn(6)) return Value::Null();
  switch (KindOf(type)) {
    case ValueKind::kInteger:
      return Value::Integer(Integer());
    case ValueKind::kDecimal:
      return Value::Decimal(Decimal());
    case ValueKind::kText:
      return Value::Text(Text(30));
    case ValueKind::kBytes:
      return Value::Bytes(Bytes(30));
    case ValueKind::kNull:
      break;
  }
  return Value::Null();
}

FieldType RandomData::Type() { return static_cast<FieldType>(Below(6)); }

FieldType RandomData::KeyType() {
  while (true) {
    const FieldType type = Type();
    if (MayBeKey(type)) return type;
  }
}

TableSchema RandomData::Table(const std::string& family, const std::string& table) {
  std::vector<Field> fields;
  std::vector<std::string> key_fields;
  const size_t keys = 1 + Below(3);
  const size_t others = Below(6);
  for (size_t i = 0; i < keys; ++i) {
    key_fields.push_back(absl::StrCat("key_", i));
    fields.push_back(Field{key_fields.back(), KeyType()});
  }
  for (size_t i = 0; i < others; ++i) fields.push_back(Field{absl::StrCat("f", i), Type()});
  for (size_t i = fields.size(); i > 1; --i) std::swap(fields[i - 1], fields[Below(i)]);
  for (size_t i = keys; i > 1; --i) std::swap(key_fields[i - 1], key_fields[Below(i)]);
  return *TableSchema::Create(family, table, fields, key_fields);
}

}  // namespace ctlstore::sql
