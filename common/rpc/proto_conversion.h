// The contracts' messages to the types of common/schema and back.

#ifndef CTLSTORE_COMMON_RPC_PROTO_CONVERSION_H_
#define CTLSTORE_COMMON_RPC_PROTO_CONVERSION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "ctlstore/v1/schema.pb.h"
#include "ctlstore/v1/value.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "google/protobuf/timestamp.pb.h"

namespace ctlstore::rpc {

// A view into `proto`. INVALID_ARGUMENT (INVALID_VALUE) about `path` where no member is set.
absl::StatusOr<ValueView> FromProto(absl::string_view path, const v1::Value& proto);
void ToProto(const ValueView& value, v1::Value* proto);

// Views into `protos`; the paths are `path`[0], `path`[1], ...
absl::StatusOr<std::vector<ValueView>> FromProto(
    absl::string_view path, const google::protobuf::RepeatedPtrField<v1::Value>& protos);

// INVALID_ARGUMENT (INVALID_SCHEMA) where the type is not set.
absl::StatusOr<Field> FromProto(absl::string_view path, const v1::Field& proto);
void ToProto(const Field& field, v1::Field* proto);

// Checked as TableSchema::Create() does.
absl::StatusOr<TableSchema> FromProto(const v1::Table& proto);
void ToProto(const TableSchema& schema, v1::Table* proto);

// Times and durations are finite ones.
absl::Time FromProto(const google::protobuf::Timestamp& proto);
void ToProto(absl::Time time, google::protobuf::Timestamp* proto);
absl::Duration FromProto(const google::protobuf::Duration& proto);
void ToProto(absl::Duration duration, google::protobuf::Duration* proto);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_PROTO_CONVERSION_H_
