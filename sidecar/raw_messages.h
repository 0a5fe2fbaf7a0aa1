// Requests and answers of gRPC calls that take and give their messages as bytes.

#ifndef CTLSTORE_SIDECAR_RAW_MESSAGES_H_
#define CTLSTORE_SIDECAR_RAW_MESSAGES_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ctlstore::sidecar {

// Replaces what `*request` holds. INVALID_ARGUMENT (INVALID_REQUEST) where the bytes are no such
// message.
absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* request);

// Makes `*response` a message of `bytes` bytes, which the caller writes to what is returned before
// it gives the response to gRPC.
uint8_t* MakeResponse(size_t bytes, grpc::ByteBuffer* response);

// Copies a message.
void SetResponse(absl::string_view message, grpc::ByteBuffer* response);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_RAW_MESSAGES_H_
