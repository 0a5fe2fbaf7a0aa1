#include "common/ldb/change_encoding.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ctlstore::ldb {
namespace {

// What is longer is not told exactly: what is decoded must not be much larger than its bytes.
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxKeyFields = 64;
constexpr size_t kMaxVarintBytes = 10;
// Bytes and tables that are kept in memory for the next commit.
constexpr size_t kKeptBytes = size_t{1} << 20;
constexpr size_t kKeptTables = 1000;

void PutVarint(uint64_t number, std::string* out) {
  char bytes[kMaxVarintBytes];
  size_t size = 0;
  for (; number >= 0x80; number >>= 7) bytes[size++] = static_cast<char>(number | 0x80);
  bytes[size++] = static_cast<char>(number);
  out->append(bytes, size);
}

void PutBytes(absl::string_view data, std::string* out) {
  PutVarint(data.size(), out);
  out->append(data.data(), data.size());
}

// Small numbers of either sign take few bytes.
uint64_t ZigZag(int64_t number) {
  return (static_cast<uint64_t>(number) << 1) ^ (number < 0 ? ~uint64_t{0} : 0);
}
int64_t UnZigZag(uint64_t number) {
  return static_cast<int64_t>((number >> 1) ^ (number % 2 != 0 ? ~uint64_t{0} : 0));
}

bool CanTellKey(const Change& change) {
  if (change.kind != Change::Kind::kKey || change.key.size() != change.key_fields.size() ||
      change.key.empty() || change.key.size() > kMaxKeyFields) {
    return false;
  }
  for (size_t i = 0; i < change.key.size(); ++i) {
    const Field& field = change.key_fields[i];
    if (!MayBeKey(field.type) || change.key[i].kind() != KindOf(field.type) || field.name.empty() ||
        field.name.size() > kMaxNameBytes) {
      return false;
    }
  }
  return true;
}

}  // namespace

ChangeEncoder::Result ChangeEncoder::Encode(absl::Span<const Change> changes, int64_t after,
                                            size_t max_bytes) {
  Begin();
  int64_t sequence = after;
  for (const Change& change : changes) {
    if (change.kind == Change::Kind::kEverything) return Result::kEverything;
    const bool is_key = CanTellKey(change);
    PutPlace(change.sequence - sequence, change.table,
             is_key ? change.key_fields : absl::Span<const Field>(), is_key);
    sequence = change.sequence;
    if (is_key) {
      for (const ValueView& value : change.key) {
        if (value.kind() == ValueKind::kInteger) {
          PutVarint(ZigZag(value.integer()), &bytes_);
        } else {
          PutBytes(value.data(), &bytes_);
        }
      }
    }
    if (bytes_.size() > max_bytes) return Result::kTooLarge;
  }
  return Result::kEncoded;
}

ChangeEncoder::Result ChangeEncoder::EncodeTables(absl::Span<const Change> changes, int64_t after,
                                                  int64_t sequence, size_t max_bytes) {
  Begin();
  uint64_t told = 0;
  const TableName* last = nullptr;
  for (const Change& change : changes) {
    if (change.kind == Change::Kind::kEverything) return Result::kEverything;
    if (change.table == last) continue;
    last = change.table;
    const size_t size = bytes_.size();
    PutPlace(told == 0 ? sequence - after : 0, change.table, {}, /*is_key=*/false);
    if (last_number_ < told) {
      bytes_.resize(size);
    } else {
      ++told;
    }
    if (bytes_.size() > max_bytes) return Result::kTooLarge;
  }
  return Result::kEncoded;
}

void ChangeEncoder::Begin() {
  if (bytes_.capacity() > kKeptBytes) bytes_ = std::string();
  if (by_definition_.size() > kKeptTables) by_definition_ = {};
  if (by_place_.size() > kKeptTables) by_place_ = {};
  bytes_.clear();
  by_place_.clear();
  by_definition_.clear();
  last_ = TableRef();
}

void ChangeEncoder::PutPlace(int64_t sequence_delta, const TableName* name,
                             absl::Span<const Field> fields, bool is_key) {
  PutVarint(static_cast<uint64_t>(sequence_delta), &bytes_);
  const TableRef table{name, fields.data()};
  bool is_new = false;
  if (!(table == last_)) {
    const auto [place, first_here] = by_place_.try_emplace(table, 0);
    if (first_here) {
      definition_.clear();
      PutBytes(name->family, &definition_);
      PutBytes(name->table, &definition_);
      PutVarint(fields.size(), &definition_);
      for (const Field& field : fields) {
        definition_.push_back(static_cast<char>(field.type));
        PutBytes(field.name, &definition_);
      }
      const auto [defined, first] = by_definition_.try_emplace(definition_, by_definition_.size());
      place->second = defined->second;
      is_new = first;
    }
    last_ = table;
    last_number_ = place->second;
  }
  PutVarint(last_number_ * 2 + (is_key ? 1 : 0), &bytes_);
  if (is_new) bytes_.append(definition_);
}

absl::Status ChangeDecoder::Next() {
  if (TakeChange()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the changes that are kept up to sequence ", last_, " are damaged"));
}

ChangeEvent ChangeDecoder::Event() const {
  const Table& table = tables_[table_];
  ChangeEvent event;
  event.kind = is_key_ ? Change::Kind::kKey : Change::Kind::kTable;
  event.sequence = sequence_;
  event.table = table.name;
  if (is_key_) {
    event.key_fields = table.key_fields;
    event.key.reserve(key_.size());
    for (const ValueView& value : key_) event.key.emplace_back(value);
  }
  return event;
}

bool ChangeDecoder::TakeVarint(uint64_t* number) {
  *number = 0;
  for (size_t i = 0; i < kMaxVarintBytes && i < rest_.size(); ++i) {
    const uint64_t bits = static_cast<unsigned char>(rest_[i]);
    if (i == kMaxVarintBytes - 1 && bits > 1) return false;
    *number |= (bits & 0x7f) << (7 * i);
    if (bits < 0x80) {
      rest_.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool ChangeDecoder::TakeBytes(absl::string_view* bytes) {
  uint64_t size;
  if (!TakeVarint(&size) || size > rest_.size()) return false;
  *bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

bool ChangeDecoder::TakeName(std::string* name) {
  absl::string_view bytes;
  if (!TakeBytes(&bytes) || bytes.empty() || bytes.size() > kMaxNameBytes) return false;
  *name = std::string(bytes);
  return true;
}

bool ChangeDecoder::TakeTable(Table* table) {
  uint64_t fields;
  if (!TakeName(&table->name.family) || !TakeName(&table->name.table) || !TakeVarint(&fields) ||
      fields > kMaxKeyFields) {
    return false;
  }
  for (; fields > 0; --fields) {
    if (rest_.empty()) return false;
    Field field;
    field.type = static_cast<FieldType>(rest_[0]);
    if (static_cast<unsigned char>(rest_[0]) > static_cast<unsigned char>(FieldType::kBytestring) ||
        !MayBeKey(field.type)) {
      return false;
    }
    rest_.remove_prefix(1);
    if (!TakeName(&field.name)) return false;
    table->key_fields.push_back(std::move(field));
  }
  return true;
}

bool ChangeDecoder::TakeChange() {
  uint64_t delta, number;
  if (!TakeVarint(&delta) || !TakeVarint(&number) ||
      delta > static_cast<uint64_t>(last_) - static_cast<uint64_t>(sequence_)) {
    return false;
  }
  // The first one is not that of an entry before.
  if (tables_.empty() && delta == 0) return false;
  sequence_ += static_cast<int64_t>(delta);
  is_key_ = number % 2 != 0;
  number /= 2;
  if (number > tables_.size()) return false;
  if (number == tables_.size()) {
    Table table;
    if (!TakeTable(&table)) return false;
    tables_.push_back(std::move(table));
  }
  table_ = static_cast<size_t>(number);
  if (!is_key_) return true;
  const std::vector<Field>& fields = tables_[table_].key_fields;
  if (fields.empty()) return false;
  key_.clear();
  for (const Field& field : fields) {
    if (KindOf(field.type) == ValueKind::kInteger) {
      uint64_t integer;
      if (!TakeVarint(&integer)) return false;
      key_.push_back(UnZigZag(integer));
      continue;
    }
    absl::string_view data;
    if (!TakeBytes(&data)) return false;
    key_.push_back(KindOf(field.type) == ValueKind::kText ? ValueView(data)
                                                          : ValueView::Bytes(data));
  }
  return true;
}

}  // namespace ctlstore::ldb
