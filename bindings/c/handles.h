// What the objects of the C interface are made of, and how its functions fail.

#ifndef CTLSTORE_BINDINGS_C_HANDLES_H_
#define CTLSTORE_BINDINGS_C_HANDLES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "bindings/c/ctlstore.h"
#include "common/ldb/reader.h"
#include "common/schema/limits.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::bindings {

// How often this process was forked from one that had the library loaded, directly and before.
uint64_t Forks();

// A reader, shared by all objects that need it. In a child of the process that opened it, what it
// holds is never freed: threads that the child does not have may hold its locks.
class SharedReader {
 public:
  static std::shared_ptr<SharedReader> Open(const char* path, const ldb::ReaderOptions& options);
  ldb::Reader* get() { return &reader_; }
  // FAILED_PRECONDITION (FORKED) in a child.
  absl::Status CheckProcess() const;
  bool is_forked() const { return forks_ != Forks(); }

 private:
  SharedReader(std::string path, const ldb::ReaderOptions& options)
      : reader_(std::move(path), options), forks_(Forks()) {}
  ldb::Reader reader_;
  const uint64_t forks_;
};

// A snapshot, shared by its handle and the lists in it.
struct SharedSnapshot {
  std::shared_ptr<SharedReader> reader;
  ldb::Snapshot snapshot;
};

// Fills in `*error`, where it is not null, and returns the code.
int32_t Fail(const absl::Status& status, ctlstore_error* error) noexcept;

// Calls `body`, which returns an absl::Status, and turns what it returns or throws into a code.
template <typename Body>
int32_t Guarded(ctlstore_error* error, Body body) noexcept {
  try {
    const absl::Status status = body();
    return status.ok() ? CTLSTORE_OK : Fail(status, error);
  } catch (const std::bad_alloc&) {
  } catch (...) {
    return Fail(absl::Status(absl::StatusCode::kInternal, "unexpected exception"), error);
  }
  return Fail(absl::Status(absl::StatusCode::kResourceExhausted, "out of memory"), error);
}

// INVALID_ARGUMENT (INVALID_REQUEST).
absl::Status BadArgument(absl::string_view message);

// A key as the reader takes it; no longer ones than tables have need memory.
using Key = absl::InlinedVector<ValueView, limits::kKeyFieldsMax>;
// `name` is what a message calls it.
absl::Status ToKey(absl::string_view name, const ctlstore_value* values, size_t size, Key* key);

inline ctlstore_value ToC(const ValueView& value) {
  ctlstore_value result = {static_cast<int32_t>(value.kind()), 0, 0, nullptr, 0};
  switch (value.kind()) {
    case ValueKind::kNull:
      break;
    case ValueKind::kInteger:
      result.integer = value.integer();
      break;
    case ValueKind::kDecimal:
      result.decimal = value.decimal();
      break;
    case ValueKind::kText:
    case ValueKind::kBytes:
      result.data = value.data().data();
      result.size = value.data().size();
      break;
  }
  return result;
}

// Frees a handle of the reader `owner`; in a child, leaves it alone.
template <typename Handle>
void Free(Handle* handle, const SharedReader& owner) {
  if (!owner.is_forked()) delete handle;
}

}  // namespace ctlstore::bindings

struct ctlstore_reader {
  std::shared_ptr<ctlstore::bindings::SharedReader> shared;
};

struct ctlstore_row {
  // Null for a list's row, whose list keeps it. Before `row`, to outlive it.
  std::shared_ptr<ctlstore::bindings::SharedReader> shared;
  absl::optional<ctlstore::ldb::Row> row;
  // What is shown; null for nothing.
  const ctlstore::ldb::RowView* view = nullptr;
};

struct ctlstore_rows {
  std::shared_ptr<ctlstore::bindings::SharedReader> shared;
  // Null for a list that is not in a snapshot.
  std::shared_ptr<ctlstore::bindings::SharedSnapshot> snapshot;
  ctlstore::ldb::RowIterator iterator;
  // Where Next() has returned false: the iterator is asked no more.
  bool ended = false;
  ctlstore_row row = {};
  std::vector<ctlstore::Value> key = {};
  std::vector<ctlstore_value> c_key = {};

  // Goes on; false at the end, and where it failed, which `*status` then says, each time.
  bool Next(absl::Status* status);
};

struct ctlstore_snapshot {
  std::shared_ptr<ctlstore::bindings::SharedSnapshot> shared;
};

struct ctlstore_table {
  ctlstore::TableSchema schema;
};

struct ctlstore_tables {
  std::vector<ctlstore_table> tables;
};

#endif  // CTLSTORE_BINDINGS_C_HANDLES_H_
