#include "common/rpc/proto_conversion.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {

absl::StatusOr<ValueView> FromProto(absl::string_view path, const v1::Value& proto) {
  switch (proto.kind_case()) {
    case v1::Value::kNull:
      return ValueView();
    case v1::Value::kText:
      return ValueView(proto.text());
    case v1::Value::kInteger:
      return ValueView(proto.integer());
    case v1::Value::kDecimal:
      return ValueView(proto.decimal());
    case v1::Value::kBytes:
      return ValueView::Bytes(proto.bytes());
    case v1::Value::KIND_NOT_SET:
      break;
  }
  return InvalidField(path, reason::kInvalidValue,
                      "one of null, text, integer, decimal and bytes must be set");
}

void ToProto(const ValueView& value, v1::Value* proto) {
  switch (value.kind()) {
    case ValueKind::kNull:
      proto->set_null(google::protobuf::NULL_VALUE);
      return;
    case ValueKind::kInteger:
      proto->set_integer(value.integer());
      return;
    case ValueKind::kDecimal:
      proto->set_decimal(value.decimal());
      return;
    case ValueKind::kText:
      proto->set_text(value.data().data(), value.data().size());
      return;
    case ValueKind::kBytes:
      proto->set_bytes(value.data().data(), value.data().size());
      return;
  }
}

absl::StatusOr<std::vector<ValueView>> FromProto(
    absl::string_view path, const google::protobuf::RepeatedPtrField<v1::Value>& protos) {
  std::vector<ValueView> values;
  values.reserve(protos.size());
  for (int i = 0; i < protos.size(); ++i) {
    absl::StatusOr<ValueView> value = FromProto(absl::StrCat(path, "[", i, "]"), protos[i]);
    if (!value.ok()) return value.status();
    values.push_back(*value);
  }
  return values;
}

absl::StatusOr<Field> FromProto(absl::string_view path, const v1::Field& proto) {
  switch (proto.type()) {
    case v1::STRING:
      return Field{proto.name(), FieldType::kString};
    case v1::INTEGER:
      return Field{proto.name(), FieldType::kInteger};
    case v1::DECIMAL:
      return Field{proto.name(), FieldType::kDecimal};
    case v1::TEXT:
      return Field{proto.name(), FieldType::kText};
    case v1::BINARY:
      return Field{proto.name(), FieldType::kBinary};
    case v1::BYTESTRING:
      return Field{proto.name(), FieldType::kBytestring};
    default:
      break;
  }
  return InvalidField(absl::StrCat(path, ".type"), reason::kInvalidSchema,
                      "must be one of STRING, INTEGER, DECIMAL, TEXT, BINARY and BYTESTRING");
}

void ToProto(const Field& field, v1::Field* proto) {
  proto->set_name(field.name);
  switch (field.type) {
    case FieldType::kString:
      proto->set_type(v1::STRING);
      return;
    case FieldType::kInteger:
      proto->set_type(v1::INTEGER);
      return;
    case FieldType::kDecimal:
      proto->set_type(v1::DECIMAL);
      return;
    case FieldType::kText:
      proto->set_type(v1::TEXT);
      return;
    case FieldType::kBinary:
      proto->set_type(v1::BINARY);
      return;
    case FieldType::kBytestring:
      proto->set_type(v1::BYTESTRING);
      return;
  }
}

absl::StatusOr<TableSchema> FromProto(const v1::Table& proto) {
  std::vector<Field> fields;
  fields.reserve(proto.fields_size());
  for (int i = 0; i < proto.fields_size(); ++i) {
    absl::StatusOr<Field> field = FromProto(absl::StrCat("fields[", i, "]"), proto.fields(i));
    if (!field.ok()) return field.status();
    fields.push_back(*std::move(field));
  }
  return TableSchema::Create(
      proto.family(), proto.name(), std::move(fields),
      std::vector<std::string>(proto.key_fields().begin(), proto.key_fields().end()));
}

void ToProto(const TableSchema& schema, v1::Table* proto) {
  proto->set_family(schema.name().family);
  proto->set_name(schema.name().table);
  proto->clear_fields();
  for (const Field& field : schema.fields()) ToProto(field, proto->add_fields());
  proto->clear_key_fields();
  for (std::string& name : schema.key_field_names()) proto->add_key_fields(std::move(name));
}

absl::Time FromProto(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void ToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto->set_seconds(seconds);
  proto->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::Duration FromProto(const google::protobuf::Duration& proto) {
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void ToProto(absl::Duration duration, google::protobuf::Duration* proto) {
  absl::Duration rest;
  proto->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

}  // namespace ctlstore::rpc
