#include "sidecar/raw_messages.h"

#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {

absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* request) {
  grpc::Slice slice;
  // A message that came in several pieces is put together.
  if ((bytes.TrySingleSlice(&slice).ok() || bytes.DumpToSingleSlice(&slice).ok()) &&
      request->ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::OkStatus();
  }
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest,
                         absl::StrCat("the request is no ", request->GetTypeName(), " message"));
}

uint8_t* MakeResponse(size_t bytes, grpc::ByteBuffer* response) {
  // In memory of its own whatever its size, so that it stays where it is.
  const grpc_slice memory = grpc_slice_malloc_large(bytes);
  uint8_t* const begin = memory.data.refcounted.bytes;
  const grpc::Slice slice(memory, grpc::Slice::STEAL_REF);
  grpc::ByteBuffer buffer(&slice, 1);
  response->Swap(&buffer);
  return begin;
}

void SetResponse(absl::string_view message, grpc::ByteBuffer* response) {
  uint8_t* const begin = MakeResponse(message.size(), response);
  if (!message.empty()) std::memcpy(begin, message.data(), message.size());
}

}  // namespace ctlstore::sidecar
