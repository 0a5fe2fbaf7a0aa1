#include "sidecar/get_row.h"

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"
#include "sidecar/key_views.h"
#include "sidecar/raw_messages.h"
#include "sidecar/row_encoding.h"
#include "sidecar/service_context.h"

namespace ctlstore::sidecar {
namespace {

constexpr int kMaxKeys = 1000;

// A sequence's tag and value have at most this many bytes.
constexpr size_t kSequenceBytes = 11;

constexpr int kRow = v1::GetRowResponse::kRowFieldNumber;
constexpr int kRows = v1::BatchGetRowsResponse::kRowsFieldNumber;

// Both requests and keys of a batch.
template <typename Source, typename Request>
absl::StatusOr<ldb::Row> Read(Source* source, const Request& request) {
  KeyViews key;
  const absl::Status status = ViewKey("key", request.key(), &key);
  if (!status.ok()) return status;
  absl::StatusOr<ldb::Row> row = source->GetRow(request.family(), request.table(), key);
  if (!row.ok()) return WithNameChecked(row.status(), request.family(), request.table());
  return row;
}

}  // namespace

absl::Status GetRow(ldb::Reader* reader, const v1::GetRowRequest& request,
                    grpc::ByteBuffer* response) {
  const absl::StatusOr<ldb::Row> row = Read(reader, request);
  if (!row.ok()) return row.status();
  if (!row->exists()) {
    MakeResponse(0, response);
    return absl::OkStatus();
  }
  const size_t bytes = EncodedRowBytes(*row);
  uint8_t* const out = MakeResponse(EncodedMemberBytes(kRow, bytes), response);
  EncodeRow(*row, BeginMember(kRow, bytes, out));
  return absl::OkStatus();
}

absl::Status BatchGetRows(ldb::Reader* reader, const v1::BatchGetRowsRequest& request,
                          size_t max_bytes, grpc::ByteBuffer* response) {
  if (request.keys().empty() || request.keys_size() > kMaxKeys) {
    return InvalidField("keys", reason::kInvalidRequest,
                        absl::StrCat("there must be at least 1 and at most ", kMaxKeys,
                                     " keys, and there are ", request.keys_size()));
  }
  absl::StatusOr<ldb::Snapshot> snapshot = reader->GetSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  std::string message;
  for (int i = 0; i < request.keys_size(); ++i) {
    const absl::StatusOr<ldb::Row> row = Read(&*snapshot, request.keys(i));
    if (!row.ok()) return UnderField(absl::StrCat("keys[", i, "]."), row.status());
    const size_t row_bytes = row->exists() ? EncodedRowBytes(*row) : 0;
    const size_t bytes = row->exists() ? EncodedMemberBytes(kRow, row_bytes) : 0;
    const size_t begin = message.size();
    // Before it takes that memory.
    if (begin + EncodedMemberBytes(kRows, bytes) + kSequenceBytes > max_bytes) {
      return InvalidField("keys", reason::kTooLarge,
                          absl::StrCat("the rows of the first ", i + 1, " of ", request.keys_size(),
                                       " keys take more than the ", max_bytes,
                                       " bytes that an answer may have; ask for fewer at a time"));
    }
    message.resize(begin + EncodedMemberBytes(kRows, bytes));
    uint8_t* const out = BeginMember(kRows, bytes, reinterpret_cast<uint8_t*>(&message[begin]));
    if (row->exists()) EncodeRow(*row, BeginMember(kRow, row_bytes, out));
  }
  AppendInteger(v1::BatchGetRowsResponse::kSequenceFieldNumber, snapshot->sequence(), &message);
  SetResponse(message, response);
  return absl::OkStatus();
}

}  // namespace ctlstore::sidecar
