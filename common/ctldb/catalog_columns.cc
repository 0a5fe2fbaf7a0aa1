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
    if (!changed) break;
    absl::SleepFor(kPause);
  }
  return columns;
}

}  // namespace ctlstore::ctldb
