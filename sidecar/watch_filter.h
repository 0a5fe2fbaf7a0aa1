// Which changes a watch is about.

#ifndef CTLSTORE_SIDECAR_WATCH_FILTER_H_
#define CTLSTORE_SIDECAR_WATCH_FILTER_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/ldb/changes.h"
#include "common/schema/names.h"
#include "common/schema/value.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "google/protobuf/repeated_ptr_field.h"

namespace ctlstore::sidecar {

// The selectors of a request, checked. Thread-safe: it never changes.
class WatchFilter {
 public:
  // Each selector is looked at for each change of its table.
  static constexpr int kMaxSelectors = 100;

  // Everything where there is no selector. INVALID_ARGUMENT names the selector and the field.
  static absl::StatusOr<WatchFilter> Create(
      const google::protobuf::RepeatedPtrField<v1::WatchSelector>& selectors);

  // Whether any of them selects the change. One of a whole table is selected by all who select
  // something of the table, and one of everything by all.
  bool Matches(const ldb::ChangeEvent& change) const;

 private:
  using KeyPrefix = std::vector<Value>;

  WatchFilter() = default;
  absl::Status Add(const v1::WatchSelector& selector);

  bool everything_ = false;
  absl::flat_hash_set<std::string> families_;
  absl::flat_hash_map<TableName, std::vector<KeyPrefix>> tables_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_WATCH_FILTER_H_
