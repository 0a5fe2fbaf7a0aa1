#include "bindings/c/handles.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

// The C interface has the same numbers.
static_assert(CTLSTORE_NULL == static_cast<int>(ctlstore::ValueKind::kNull));
static_assert(CTLSTORE_INTEGER == static_cast<int>(ctlstore::ValueKind::kInteger));
static_assert(CTLSTORE_DECIMAL == static_cast<int>(ctlstore::ValueKind::kDecimal));
static_assert(CTLSTORE_TEXT == static_cast<int>(ctlstore::ValueKind::kText));
static_assert(CTLSTORE_BYTES == static_cast<int>(ctlstore::ValueKind::kBytes));
static_assert(CTLSTORE_DATA_LOSS == static_cast<int>(absl::StatusCode::kDataLoss));
static_assert(CTLSTORE_UNAVAILABLE == static_cast<int>(absl::StatusCode::kUnavailable));

namespace ctlstore::bindings {
namespace {

std::atomic<uint64_t> forks{0};

// Copies what fits, cut between two characters, and a NUL.
template <size_t kSize>
void CopyText(absl::string_view text, char (&out)[kSize]) {
  size_t size = std::min(text.size(), kSize - 1);
  if (size < text.size()) {
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  }
  std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

}  // namespace

uint64_t Forks() { return forks.load(std::memory_order_relaxed); }

std::shared_ptr<SharedReader> SharedReader::Open(const char* path,
                                                 const ldb::ReaderOptions& options) {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  if (registered != 0) throw std::bad_alloc();
  return std::shared_ptr<SharedReader>(
      new SharedReader(path == nullptr ? ldb::Reader::DefaultPath() : path, options),
      [](SharedReader* reader) {
        if (!reader->is_forked()) delete reader;
      });
}

absl::Status SharedReader::CheckProcess() const {
  if (!is_forked()) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kForked,
                         "opened before this process was forked: open a reader of its own");
}

int32_t Fail(const absl::Status& status, ctlstore_error* error) noexcept {
  if (error == nullptr) return static_cast<int32_t>(status.code());
  error->code = static_cast<int32_t>(status.code());
  CopyText(status.message(), error->message);
  try {
    CopyText(ErrorReason(status).value_or(""), error->reason);
  } catch (...) {
    error->reason[0] = '\0';
  }
  return error->code;
}

absl::Status BadArgument(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest, message);
}

absl::Status ToKey(absl::string_view name, const ctlstore_value* values, size_t size, Key* key) {
  if (values == nullptr && size > 0) return BadArgument(absl::StrCat(name, " is NULL"));
  key->reserve(size);
  for (size_t i = 0; i < size; ++i) {
    const ctlstore_value& value = values[i];
    const bool has_data = value.type == CTLSTORE_TEXT || value.type == CTLSTORE_BYTES;
    if (has_data && value.data == nullptr && value.size > 0) {
      return BadArgument(absl::StrCat(name, "[", i, "].data is NULL, with a size of ", value.size));
    }
    switch (value.type) {
      case CTLSTORE_NULL:
        key->emplace_back();
        break;
      case CTLSTORE_INTEGER:
        key->emplace_back(value.integer);
        break;
      case CTLSTORE_DECIMAL:
        key->emplace_back(value.decimal);
        break;
      case CTLSTORE_TEXT:
        key->emplace_back(absl::string_view(value.data, value.size));
        break;
      case CTLSTORE_BYTES:
        key->push_back(ValueView::Bytes(absl::string_view(value.data, value.size)));
        break;
      default:
        return BadArgument(
            absl::StrCat(name, "[", i, "].type is ", value.type, ", which is no type"));
    }
  }
  return absl::OkStatus();
}

}  // namespace ctlstore::bindings

bool ctlstore_rows::Next(absl::Status* status) {
  *status = shared->CheckProcess();
  if (!status->ok()) return false;
  if (!ended && iterator.Next()) return true;
  ended = true;
  *status = iterator.status();
  return false;
}
