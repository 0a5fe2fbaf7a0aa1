// What a comparison of a local database with its ctldb has found.

#ifndef CTLSTORE_CLI_VERIFY_REPORT_H_
#define CTLSTORE_CLI_VERIFY_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/schema/value.h"

namespace ctlstore::cli {

enum class Verdict {
  kEqual,
  kDiffers,
  // Nothing that was compared differs, but not all could be.
  kUndecided,
};

// "equal", "differs" or "undecided".
inline const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kEqual:
      return "equal";
    case Verdict::kDiffers:
      return "differs";
    case Verdict::kUndecided:
      return "undecided";
  }
  return "";
}

// One row that differs.
struct RowDifference {
  enum class Kind { kMissingInLdb, kMissingInCtldb, kValues };

  // The values are for people, with their kinds, and cut around where they begin to differ.
  struct Column {
    std::string name;
    std::string ctldb;
    std::string ldb;
  };

  Kind kind = Kind::kValues;
  std::vector<std::string> key_fields;
  std::vector<Value> key;
  // kValues only; of columns that are the same nothing is said.
  std::vector<Column> columns;
};

struct TableReport {
  // "family.table"; the name in the database, where it is none of a family's.
  std::string name;
  // What is wrong with the table as a whole, in words: then its rows were not compared.
  std::vector<std::string> definition;
  // How many rows differ, and the first of them.
  int64_t differing_rows = 0;
  std::vector<RowDifference> differences;
  // How many rows of the ctldb were compared.
  int64_t rows = 0;
  // How many keys were being changed during the first comparison, and were compared later.
  int64_t keys_apart = 0;
  // 32 bytes over the LDB's and the ctldb's rows, to compare hosts with each other: equal for the
  // same definition and the same rows, whichever database they are in. Empty where `keys_apart` is
  // not 0 or the rows were not compared.
  std::string ldb_digest;
  std::string ctldb_digest;
  // Why not all could be compared; empty where all was.
  std::string undecided;
  // What is said of this table was so in the LDB at these ledger positions: the first comparison's,
  // and that of the last keys that were compared later.
  int64_t first_sequence = 0;
  int64_t last_sequence = 0;

  Verdict verdict() const {
    if (!definition.empty() || differing_rows > 0) return Verdict::kDiffers;
    return undecided.empty() ? Verdict::kEqual : Verdict::kUndecided;
  }
};

struct Report {
  // By name.
  std::vector<TableReport> tables;
  // The families that the LDB keeps; all where empty.
  std::vector<std::string> families;
  // How many ledger entries the LDB was told to go over.
  int64_t skipped_entries = 0;
  // The ctldb's ledger has another entry at the LDB's position than the LDB has applied.
  bool ledger_differs = false;
  // The LDB's first and last position at which anything was compared.
  int64_t first_sequence = 0;
  int64_t last_sequence = 0;

  Verdict verdict() const {
    Verdict worst = ledger_differs ? Verdict::kDiffers : Verdict::kEqual;
    for (const TableReport& table : tables) {
      if (table.verdict() == Verdict::kDiffers) worst = Verdict::kDiffers;
      if (table.verdict() == Verdict::kUndecided && worst == Verdict::kEqual) {
        worst = Verdict::kUndecided;
      }
    }
    return worst;
  }
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_VERIFY_REPORT_H_
