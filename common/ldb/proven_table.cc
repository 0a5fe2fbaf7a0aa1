#include "common/ldb/proven_table.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ctlstore::ldb {

std::string MemberName(int64_t member) { return absl::StrFormat("m%05d", member); }

std::string FillerOf(int64_t version) {
  std::string filler;
  const int64_t times = version % 50 * (version % 11 == 0 ? 20 : 1);
  for (int64_t i = 0; i < times; ++i) absl::StrAppend(&filler, version, ".");
  return filler;
}

int64_t ProofOf(int64_t table, int64_t group, int64_t member, int64_t version) {
  int64_t proof = 0;
  for (int64_t part : {version, table, group, member}) {
    proof = (proof * 1000003 + part) % 1000000007;
  }
  return proof;
}

}  // namespace ctlstore::ldb
