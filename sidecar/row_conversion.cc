#include "sidecar/row_conversion.h"

#include <cstddef>
#include <string>

#include "common/rpc/proto_conversion.h"

namespace ctlstore::sidecar {

void ToProto(const ldb::RowView& row, v1::Row* proto) {
  auto& values = *proto->mutable_values();
  for (size_t i = 0; i < row.size(); ++i) {
    rpc::ToProto(row.value(i), &values[std::string(row.name(i))]);
  }
}

}  // namespace ctlstore::sidecar
