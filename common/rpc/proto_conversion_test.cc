#include "common/rpc/proto_conversion.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

TEST(ProtoConversion, ValuesOfEachKindComeBackExactly) {
  const std::vector<Value> values = {
      Value::Null(),
      Value::Text(""),
      Value::Text("quote ' backslash \\ emoji \xF0\x9F\x98\x80"),
      Value::Integer(0),
      Value::Integer(std::numeric_limits<int64_t>::min()),
      Value::Integer(std::numeric_limits<int64_t>::max()),
      Value::Integer(9007199254740993),
      Value::Decimal(0.1),
      Value::Decimal(std::numeric_limits<double>::denorm_min()),
      Value::Bytes(""),
      Value::Bytes(std::string("\0\xFF\x80", 3)),
  };
  for (const Value& value : values) {
    v1::Value proto;
    ToProto(value, &proto);
    v1::Value received;
    ASSERT_TRUE(received.ParseFromString(proto.SerializeAsString()));
    const absl::StatusOr<ValueView> back = FromProto("x", received);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->kind(), value.kind());
    EXPECT_EQ(*back, value.view()) << value;
  }
}

TEST(ProtoConversion, AValueWithoutAMemberIsRefusedUnderItsPath) {
  google::protobuf::RepeatedPtrField<v1::Value> protos;
  protos.Add()->set_integer(1);
  protos.Add();
  const absl::Status status = FromProto("key", protos).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(status), "key[1]");
  EXPECT_EQ(ErrorReason(status), reason::kInvalidValue);
}

TEST(ProtoConversion, TablesOfEveryFieldTypeComeBackExactly) {
  const absl::StatusOr<TableSchema> schema = TableSchema::Create("geo", "places",
                                                                 {{"a", FieldType::kString},
                                                                  {"b", FieldType::kInteger},
                                                                  {"c", FieldType::kDecimal},
                                                                  {"d", FieldType::kText},
                                                                  {"e", FieldType::kBinary},
                                                                  {"f", FieldType::kBytestring}},
                                                                 {"f", "a"});
  ASSERT_TRUE(schema.ok()) << schema.status();
  v1::Table proto;
  ToProto(*schema, &proto);
  const absl::StatusOr<TableSchema> back = FromProto(proto);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, *schema);
}

TEST(ProtoConversion, AFieldWithoutATypeIsRefusedUnderItsPath) {
  v1::Table proto;
  proto.set_family("geo");
  proto.set_name("places");
  proto.add_fields()->set_name("a");
  proto.mutable_fields(0)->set_type(v1::STRING);
  proto.add_fields()->set_name("b");
  proto.add_key_fields("a");
  absl::Status status = FromProto(proto).status();
  EXPECT_EQ(ErrorField(status), "fields[1].type");
  EXPECT_EQ(ErrorReason(status), reason::kInvalidSchema);

  // A type that a newer client may know.
  proto.mutable_fields(1)->set_type(static_cast<v1::FieldType>(99));
  status = FromProto(proto).status();
  EXPECT_EQ(ErrorField(status), "fields[1].type");
}

TEST(ProtoConversion, ATableIsCheckedAsAWhole) {
  v1::Table proto;
  proto.set_family("geo");
  proto.set_name("places");
  proto.add_fields()->set_name("a");
  proto.mutable_fields(0)->set_type(v1::TEXT);
  proto.add_key_fields("a");
  EXPECT_EQ(ErrorField(FromProto(proto).status()), "key_fields[0]");
}

TEST(ProtoConversionTest, TimesAndDurationsComeBackAsTheyWere) {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Seconds(1) - absl::Nanoseconds(1),
        absl::Seconds(1700000000) + absl::Nanoseconds(123456789), -absl::Milliseconds(1500)}) {
    google::protobuf::Duration proto;
    ToProto(duration, &proto);
    EXPECT_EQ(FromProto(proto), duration);
    google::protobuf::Timestamp time_proto;
    ToProto(absl::UnixEpoch() + duration, &time_proto);
    EXPECT_EQ(FromProto(time_proto), absl::UnixEpoch() + duration);
    EXPECT_GE(time_proto.nanos(), 0);
  }
}

}  // namespace
}  // namespace ctlstore::rpc
