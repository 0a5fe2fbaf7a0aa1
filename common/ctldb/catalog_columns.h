// The columns of tables, as a ctldb's own catalog tells them.

#ifndef CTLSTORE_COMMON_CTLDB_CATALOG_COLUMNS_H_
#define CTLSTORE_COMMON_CTLDB_CATALOG_COLUMNS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/dialect.h"

namespace ctlstore::ctldb {

struct CatalogColumn {
  std::string table;
  std::string name;
  std::string type;
  // Place in the primary key from 1, or 0.
  int64_t key_position = 0;
};

// The columns of the tables that `name` matches, by table and in the table's order. Where the
// database compares names without case, more tables than asked for may come. A table that is
// created or dropped meanwhile is there as a whole or not at all.
absl::StatusOr<std::vector<CatalogColumn>> ReadCatalogColumns(Connection* connection,
                                                              Dialect::Match match,
                                                              const std::string& name);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_CATALOG_COLUMNS_H_
