#include "sidecar/row_encoding.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "ctlstore/v1/value.pb.h"

namespace ctlstore::sidecar {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// Of a map's entries.
constexpr int kMapKey = 1;
constexpr int kMapValue = 2;

size_t LengthDelimited(size_t bytes) { return CodedOutputStream::VarintSize64(bytes) + bytes; }

size_t TagBytes(int field) {
  return CodedOutputStream::VarintSize32(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
}

// The members of v1::Value have one-byte tags, and one is always set.
size_t ValueBytes(const ValueView& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
      return 2;
    case ValueKind::kInteger:
      return 1 + CodedOutputStream::VarintSize64(static_cast<uint64_t>(value.integer()));
    case ValueKind::kDecimal:
      return 1 + sizeof(double);
    case ValueKind::kText:
    case ValueKind::kBytes:
      return 1 + LengthDelimited(value.data().size());
  }
  return 0;
}

uint8_t* WriteData(int field, absl::string_view data, uint8_t* out) {
  out = BeginMember(field, data.size(), out);
  return CodedOutputStream::WriteRawToArray(data.data(), static_cast<int>(data.size()), out);
}

uint8_t* WriteValue(const ValueView& value, uint8_t* out) {
  switch (value.kind()) {
    case ValueKind::kNull:
      return WireFormatLite::WriteEnumToArray(v1::Value::kNullFieldNumber,
                                              google::protobuf::NULL_VALUE, out);
    case ValueKind::kInteger:
      return WireFormatLite::WriteInt64ToArray(v1::Value::kIntegerFieldNumber, value.integer(),
                                               out);
    case ValueKind::kDecimal:
      return WireFormatLite::WriteDoubleToArray(v1::Value::kDecimalFieldNumber, value.decimal(),
                                                out);
    case ValueKind::kText:
      return WriteData(v1::Value::kTextFieldNumber, value.data(), out);
    case ValueKind::kBytes:
      return WriteData(v1::Value::kBytesFieldNumber, value.data(), out);
  }
  return out;
}

// An entry of v1::Row.values: tags take one byte each.
size_t EntryBytes(absl::string_view name, size_t value_bytes) {
  return 1 + LengthDelimited(name.size()) + 1 + LengthDelimited(value_bytes);
}

// Makes room behind the message.
uint8_t* Grow(size_t bytes, std::string* message) {
  const size_t size = message->size();
  message->resize(size + bytes);
  return reinterpret_cast<uint8_t*>(&(*message)[size]);
}

}  // namespace

size_t EncodedRowBytes(const ldb::RowView& row) {
  size_t bytes = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    bytes += 1 + LengthDelimited(EntryBytes(row.name(i), ValueBytes(row.value(i))));
  }
  return bytes;
}

uint8_t* EncodeRow(const ldb::RowView& row, uint8_t* out) {
  for (size_t i = 0; i < row.size(); ++i) {
    const absl::string_view name = row.name(i);
    const ValueView value = row.value(i);
    const size_t value_bytes = ValueBytes(value);
    out = BeginMember(v1::Row::kValuesFieldNumber, EntryBytes(name, value_bytes), out);
    out = WriteData(kMapKey, name, out);
    out = BeginMember(kMapValue, value_bytes, out);
    out = WriteValue(value, out);
  }
  return out;
}

size_t EncodedMemberBytes(int field, size_t bytes) {
  return TagBytes(field) + LengthDelimited(bytes);
}

uint8_t* BeginMember(int field, size_t bytes, uint8_t* out) {
  out = WireFormatLite::WriteTagToArray(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED, out);
  return CodedOutputStream::WriteVarint64ToArray(bytes, out);
}

void AppendRow(int field, const ldb::RowView& row, std::string* message) {
  const size_t bytes = EncodedRowBytes(row);
  EncodeRow(row, BeginMember(field, bytes, Grow(EncodedMemberBytes(field, bytes), message)));
}

void AppendValue(int field, const ValueView& value, std::string* message) {
  const size_t bytes = ValueBytes(value);
  WriteValue(value, BeginMember(field, bytes, Grow(EncodedMemberBytes(field, bytes), message)));
}

void AppendInteger(int field, int64_t value, std::string* message) {
  if (value == 0) return;
  // As large as a tag and a value can be.
  uint8_t buffer[5 + 10];
  const uint8_t* const end = WireFormatLite::WriteInt64ToArray(field, value, buffer);
  message->append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(end - buffer));
}

}  // namespace ctlstore::sidecar
