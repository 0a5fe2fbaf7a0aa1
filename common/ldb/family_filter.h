// Which of the ledger's statements a local database of some families needs.

#ifndef CTLSTORE_COMMON_LDB_FAMILY_FILTER_H_
#define CTLSTORE_COMMON_LDB_FAMILY_FILTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::ldb {

// Thread-safe once made.
class FamilyFilter {
 public:
  // INVALID_ARGUMENT for a name that no family has.
  static absl::StatusOr<FamilyFilter> Create(const std::vector<std::string>& families);

  // Sorted, each once, in the form in which they are stored; none: all are kept.
  const std::vector<std::string>& families() const { return families_; }

  // Whether the statement changes a table of a family that is kept. INVALID_ARGUMENT where that
  // cannot be told for sure.
  absl::StatusOr<bool> Keeps(absl::string_view statement) const;

 private:
  std::vector<std::string> families_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_FAMILY_FILTER_H_
