#include "bindings/c/ctlstore_pickler.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "bindings/c/handles.h"
#include "bindings/c/pickle.h"

struct ctlstore_pickler {
  std::shared_ptr<ctlstore::bindings::SharedReader> shared;
  std::string data;
  ctlstore_error error = {};
};

namespace {

using ctlstore::ValueView;
using ctlstore::bindings::BadArgument;
using ctlstore::bindings::Free;
using ctlstore::bindings::Guarded;
using ctlstore::bindings::Key;
using ctlstore::bindings::PickleWriter;

constexpr size_t kCapacity = 4096;
// A list's pickle that is larger takes no further row.
constexpr size_t kListBytes = 256 * 1024;

struct Request {
  const char* family;
  const char* table;
  Key key;
};

// Takes the first `size` bytes off; false where there are not so many.
bool Take(absl::string_view* from, size_t size, absl::string_view* taken) {
  if (from->size() < size) return false;
  *taken = from->substr(0, size);
  from->remove_prefix(size);
  return true;
}

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = bytes.size(); i > 0; --i) {
    number = number << 8 | static_cast<unsigned char>(bytes[i - 1]);
  }
  return number;
}

bool ParseValue(absl::string_view* from, Key* key) {
  const char letter = from->front();
  from->remove_prefix(1);
  absl::string_view bytes;
  switch (letter) {
    case 'n':
      key->emplace_back();
      return true;
    case 'i':
      if (!Take(from, 8, &bytes)) return false;
      key->emplace_back(static_cast<int64_t>(LittleEndian(bytes)));
      return true;
    case 'd': {
      if (!Take(from, 8, &bytes)) return false;
      const uint64_t bits = LittleEndian(bytes);
      double decimal;
      std::memcpy(&decimal, &bits, sizeof(decimal));
      key->emplace_back(decimal);
      return true;
    }
    case 't':
    case 'b':
      if (!Take(from, 4, &bytes) || !Take(from, LittleEndian(bytes), &bytes)) return false;
      key->push_back(letter == 't' ? ValueView(bytes) : ValueView::Bytes(bytes));
      return true;
    default:
      return false;
  }
}

bool ParseName(absl::string_view* from, const char** name) {
  const size_t end = from->find('\0');
  if (end == absl::string_view::npos) return false;
  *name = from->data();
  from->remove_prefix(end + 1);
  return true;
}

bool Parse(absl::string_view from, Request* request) {
  if (!ParseName(&from, &request->family) || !ParseName(&from, &request->table)) return false;
  while (!from.empty()) {
    if (!ParseValue(&from, &request->key)) return false;
  }
  return true;
}

// Calls `body`, which writes to the pickler's data.
template <typename Body>
int64_t Pickle(ctlstore_pickler* pickler, Body body) {
  pickler->data.clear();
  const int32_t code = Guarded(&pickler->error, body);
  return code == CTLSTORE_OK ? static_cast<int64_t>(pickler->data.size()) : -int64_t{code};
}

// Of a reader or a snapshot.
template <typename Source>
int64_t PickleRow(ctlstore_pickler* pickler, const ctlstore::bindings::SharedReader& reader,
                  Source* source, const char* request_data, size_t request_size) {
  return Pickle(pickler, [&]() -> absl::Status {
    absl::Status status = reader.CheckProcess();
    if (!status.ok()) return status;
    Request request;
    if (!Parse(absl::string_view(request_data, request_size), &request)) {
      return BadArgument("the request cannot be read");
    }
    absl::StatusOr<ctlstore::ldb::Row> row =
        source->GetRow(request.family, request.table, request.key);
    if (!row.ok()) return row.status();
    if (row->exists()) PickleWriter(&pickler->data).WriteRow(*row);
    return absl::OkStatus();
  });
}

}  // namespace

extern "C" {

ctlstore_pickler* ctlstore_pickler_new(ctlstore_reader* reader) {
  ctlstore_pickler* result = nullptr;
  (void)Guarded(nullptr, [&]() -> absl::Status {
    auto pickler = std::make_unique<ctlstore_pickler>();
    pickler->shared = reader->shared;
    pickler->data.reserve(kCapacity);
    result = pickler.release();
    return absl::OkStatus();
  });
  return result;
}

void ctlstore_pickler_free(ctlstore_pickler* pickler) {
  if (pickler != nullptr) Free(pickler, *pickler->shared);
}

const char* ctlstore_pickler_data(const ctlstore_pickler* pickler, size_t* capacity) {
  *capacity = pickler->data.capacity();
  return pickler->data.data();
}

const ctlstore_error* ctlstore_pickler_error(const ctlstore_pickler* pickler) {
  return &pickler->error;
}

int64_t ctlstore_pickle_row(ctlstore_pickler* pickler, const char* request, size_t request_size) {
  return PickleRow(pickler, *pickler->shared, pickler->shared->get(), request, request_size);
}

int64_t ctlstore_pickle_snapshot_row(ctlstore_pickler* pickler, ctlstore_snapshot* snapshot,
                                     const char* request, size_t request_size) {
  return PickleRow(pickler, *snapshot->shared->reader, &snapshot->shared->snapshot, request,
                   request_size);
}

int64_t ctlstore_pickle_rows(ctlstore_pickler* pickler, ctlstore_rows* rows, size_t max_rows) {
  return Pickle(pickler, [&]() -> absl::Status {
    PickleWriter writer(&pickler->data);
    absl::Status status;
    size_t count = 0;
    while (count < max_rows && pickler->data.size() < kListBytes && rows->Next(&status)) {
      if (count == 0) writer.BeginList();
      writer.AddToList(rows->iterator.row());
      ++count;
    }
    // Where it has failed behind some rows, it does so again in the next call.
    if (count == 0) return status;
    writer.EndList();
    return absl::OkStatus();
  });
}

}  // extern "C"
