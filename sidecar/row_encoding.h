// The local database's rows as the API's messages in protobuf's wire format, without the messages:
// much cheaper where many rows are answered.

#ifndef CTLSTORE_SIDECAR_ROW_ENCODING_H_
#define CTLSTORE_SIDECAR_ROW_ENCODING_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/ldb/reader.h"
#include "common/schema/value.h"

namespace ctlstore::sidecar {

// The size of a v1::Row with the values of `row`, which exists.
size_t EncodedRowBytes(const ldb::RowView& row);

// Writes that v1::Row to `out`, where there is room for EncodedRowBytes(). Returns its end.
uint8_t* EncodeRow(const ldb::RowView& row, uint8_t* out);

// Appends a v1::Row as the member `field` of another message.
void AppendRow(int field, const ldb::RowView& row, std::string* message);

// The same for a v1::Value.
void AppendValue(int field, const ValueView& value, std::string* message);

// For a member that is an integer or a bool. Where it is 0 it is left out, as protobuf does.
void AppendInteger(int field, int64_t value, std::string* message);

// The bytes of a member that is a message with `bytes` bytes, with its tag and size.
size_t EncodedMemberBytes(int field, size_t bytes);

// Writes the tag and the size; the message itself is to follow.
uint8_t* BeginMember(int field, size_t bytes, uint8_t* out);

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_ROW_ENCODING_H_
