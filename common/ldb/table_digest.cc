#include "common/ldb/table_digest.h"

#include <cstddef>

#include "common/ldb/row_encoding.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kFlushBytes = size_t{16} << 10;

}  // namespace

TableDigest::TableDigest(const TableDefinition& definition) {
  AppendDefinition(definition, &bytes_);
}

void TableDigest::AddRow(absl::Span<const ValueView> row) {
  for (const ValueView& value : row) AppendExact(value, &bytes_);
  if (bytes_.size() >= kFlushBytes) Flush();
}

void TableDigest::Flush() {
  digest_.Add(bytes_);
  bytes_.clear();
}

std::string TableDigest::Finish() {
  Flush();
  return digest_.Finish();
}

}  // namespace ctlstore::ldb
