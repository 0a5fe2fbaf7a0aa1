#include "sidecar/key_views.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/proto_conversion.h"

namespace ctlstore::sidecar {

absl::Status ViewKey(absl::string_view path,
                     const google::protobuf::RepeatedPtrField<v1::Value>& protos, KeyViews* key) {
  key->reserve(static_cast<size_t>(protos.size()));
  for (const v1::Value& proto : protos) {
    const absl::StatusOr<ValueView> value = rpc::FromProto("", proto);
    if (!value.ok()) {
      // Again, with the path, which is not worth its making otherwise.
      return rpc::FromProto(absl::StrCat(path, "[", key->size(), "]"), proto).status();
    }
    key->push_back(*value);
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::sidecar
