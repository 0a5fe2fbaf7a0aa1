// What a reader shows of tables whose rows prove what they are.

#ifndef CTLSTORE_COMMON_LDB_PROVEN_ROWS_H_
#define CTLSTORE_COMMON_LDB_PROVEN_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/ldb/proven_table.h"
#include "common/ldb/read_history.h"
#include "common/ldb/row.h"
#include "common/schema/table_schema.h"

namespace ctlstore::ldb {

// What a row shows, and which one it is. Returns what is wrong with it by itself, or nothing.
std::string ReadProvenRow(const ProvenTable& table, const RowView& row, int64_t* group,
                          int64_t* member, std::vector<ReadHistory::Fact>* facts);

// What a table's definition shows.
std::string ReadProvenSchema(const ProvenTable& table, const TableSchema& schema,
                             std::vector<ReadHistory::Fact>* facts);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_PROVEN_ROWS_H_
