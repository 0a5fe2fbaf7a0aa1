// Rows as Python's standard library reads them fastest.

#ifndef CTLSTORE_BINDINGS_C_PICKLE_H_
#define CTLSTORE_BINDINGS_C_PICKLE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/ldb/row.h"
#include "common/schema/value.h"

namespace ctlstore::bindings {

// Writes pickles (protocol 4, PEP 3154) behind what is in `out`, which must outlive it: of one row,
// which is a dict, or of a list of rows that have the same columns. Not thread-safe.
class PickleWriter {
 public:
  explicit PickleWriter(std::string* out) : out_(out) {}

  void WriteRow(const ldb::RowView& row);

  void BeginList();
  void AddToList(const ldb::RowView& row);
  void EndList();

 private:
  void Begin();
  void AddText(absl::string_view text);
  void AddBytes(absl::string_view bytes);
  void AddValue(const ValueView& value);
  void AddLittleEndian(uint64_t number, size_t bytes);

  std::string* const out_;
  // In the list.
  size_t rows_ = 0;
};

}  // namespace ctlstore::bindings

#endif  // CTLSTORE_BINDINGS_C_PICKLE_H_
