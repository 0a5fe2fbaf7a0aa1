#include "common/ctldb/catalog_columns.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ctlstore::ctldb {
namespace {

// A table is changed in the middle of a query only once in a while; one that looks so each time is
// none of ours and is passed on as it is.
constexpr int kTries = 10;
constexpr absl::Duration kPause = absl::Milliseconds(5);

// Whether each table has a key. All of ours have one, but a server may show a table that is just
// being made or dropped without it.
bool AllHaveKeys(const std::vector<CatalogColumn>& columns) {
  for (size_t i = 0; i < columns.size();) {
    const std::string& table = columns[i].table;
    bool has_key = false;
    for (; i < columns.size() && columns[i].table == table; ++i) {
      has_key |= columns[i].key_position > 0;
    }
    if (!has_key) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::vector<CatalogColumn>> ReadCatalogColumns(Connection* connection,
                                                              Dialect::Match match,
                                                              const std::string& name) {
  std::vector<CatalogColumn> columns;
  for (int i = 0; i < kTries; ++i) {
    columns.clear();
    bool changed = false;
    absl::Status status = connection->Query(
        connection->dialect().ColumnsQuery(match), {name, name},
        [&](absl::Span<const ValueView> row) {
          changed |= row[3].integer() < 0;
          columns.push_back(CatalogColumn{std::string(row[0].data()), std::string(row[1].data()),
                                          std::string(row[2].data()),
                                          std::max<int64_t>(row[3].integer(), 0)});
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    if (!changed && AllHaveKeys(columns)) break;
    absl::SleepFor(kPause);
  }
  return columns;
}

}  // namespace ctlstore::ctldb
