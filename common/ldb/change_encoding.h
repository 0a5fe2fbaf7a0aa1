// The changes of one commit as bytes, as they are kept in the local database (docs/formats.md).

#ifndef CTLSTORE_COMMON_LDB_CHANGE_ENCODING_H_
#define CTLSTORE_COMMON_LDB_CHANGE_ENCODING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"

namespace ctlstore::ldb {

// Makes the bytes. Not thread-safe.
class ChangeEncoder {
 public:
  enum class Result {
    kEncoded,
    // They take more than `max_bytes`.
    kTooLarge,
    // Anything may have changed, which has no bytes.
    kEverything,
  };

  // Encodes changes with sequences that do not go down, all of them above `after`. bytes() holds
  // them until the next call. A key that cannot be told exactly is told as its table.
  Result Encode(absl::Span<const Change> changes, int64_t after, size_t max_bytes);

  // The tables of the changes instead, each once, all at `sequence`.
  Result EncodeTables(absl::Span<const Change> changes, int64_t after, int64_t sequence,
                      size_t max_bytes);

  const std::string& bytes() const { return bytes_; }

 private:
  struct TableRef {
    const TableName* name = nullptr;
    const Field* fields = nullptr;

    friend bool operator==(const TableRef& a, const TableRef& b) {
      return a.name == b.name && a.fields == b.fields;
    }
    template <typename H>
    friend H AbslHashValue(H h, const TableRef& table) {
      return H::combine(std::move(h), table.name, table.fields);
    }
  };

  void Begin();
  // Puts in where the change is and which table it is of.
  void PutPlace(int64_t sequence_delta, const TableName* name, absl::Span<const Field> fields,
                bool is_key);

  std::string bytes_;
  std::string definition_;
  // The tables that are defined in bytes_, by where the caller has them and by what they are.
  TableRef last_;
  uint64_t last_number_ = 0;
  absl::flat_hash_map<TableRef, uint64_t> by_place_;
  absl::flat_hash_map<std::string, uint64_t> by_definition_;
};

// Takes the bytes apart, which may be damaged: each error is DATA_LOSS. Takes no more memory than
// some times their size.
class ChangeDecoder {
 public:
  // `bytes` must outlive it. The changes are those of entries after `after` up to `last`.
  ChangeDecoder(absl::string_view bytes, int64_t after, int64_t last)
      : rest_(bytes), sequence_(after), last_(last) {}

  bool at_end() const { return rest_.empty(); }

  // Goes to the next change, which sequence() is of; only where it is not at the end.
  absl::Status Next();
  int64_t sequence() const { return sequence_; }
  // The change that Next() went to.
  ChangeEvent Event() const;

 private:
  struct Table {
    TableName name;
    std::vector<Field> key_fields;
  };

  bool TakeVarint(uint64_t* number);
  bool TakeBytes(absl::string_view* bytes);
  bool TakeName(std::string* name);
  bool TakeTable(Table* table);
  bool TakeChange();

  absl::string_view rest_;
  int64_t sequence_;
  const int64_t last_;
  std::vector<Table> tables_;
  size_t table_ = 0;
  bool is_key_ = false;
  std::vector<ValueView> key_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGE_ENCODING_H_
