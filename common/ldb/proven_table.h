// Tables whose rows prove what they are, for checks of readers.

#ifndef CTLSTORE_COMMON_LDB_PROVEN_TABLE_H_
#define CTLSTORE_COMMON_LDB_PROVEN_TABLE_H_

#include <cstdint>
#include <string>

namespace ctlstore::ldb {

// A table with the key fields `grp` (integer, from 0 on) and `member` (string), and
//   version   integer: the row's state in the history
//   added     integer: how many fields the table had got when the row was written
//   filler    text and proof, integer: made from all of these
//   gen<N>    integer: N, where the table was made for the Nth time
//   f1, f2... integer: fields that it got since then; `version` in rows that were written since
// in any order.
struct ProvenTable {
  std::string family;
  std::string name;
  // No other table of the same history has it.
  int64_t number = 0;
  // The keys that its rows may have.
  int64_t groups = 0;
  int64_t members = 0;

  // The table's subjects in the history. A row's state is its version.
  int64_t Row(int64_t group, int64_t member) const {
    return number * 1000000000 + group * 100000 + member + 10;
  }
  // 1 where there is a table.
  int64_t Existence() const { return number * 1000000000; }
  // Which fields it has; stays what it was where it is dropped.
  int64_t Shape() const { return number * 1000000000 + 1; }
  static int64_t ShapeState(int64_t generation, int64_t added) {
    return generation * 1000 + added + 1;
  }
};

std::string MemberName(int64_t member);
std::string FillerOf(int64_t version);
int64_t ProofOf(int64_t table, int64_t group, int64_t member, int64_t version);

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_PROVEN_TABLE_H_
