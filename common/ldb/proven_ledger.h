// A ledger that never ends, of all that can happen to tables of proven rows.

#ifndef CTLSTORE_COMMON_LDB_PROVEN_LEDGER_H_
#define CTLSTORE_COMMON_LDB_PROVEN_LEDGER_H_

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/ldb/proven_table.h"
#include "common/ldb/read_history.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ldb {

// Makes one ledger transaction after the other, at random, and records each in the history with the
// sequence of its end as the position. A row's version is the sequence of its statement. Not
// thread-safe.
class ProvenLedger {
 public:
  // Sequences begin high enough for Whole() to have room. The history must outlive it.
  ProvenLedger(std::vector<ProvenTable> tables, ReadHistory* history, uint32_t seed);

  const std::vector<ProvenTable>& tables() const { return tables_; }
  int64_t last_sequence() const { return last_; }

  // The next transaction.
  std::vector<LedgerEntry> Next();

  // Another ledger that leads to the state that there is now, and to the same sequence.
  std::vector<LedgerEntry> Whole() const;

 private:
  struct TableState {
    bool exists = false;
    int64_t generation = 0;
    int64_t added = 0;
    // The statements that write the rows that are there, by their subjects.
    std::map<int64_t, std::string> rows;
  };

  void Create(size_t table);
  void Drop(size_t table);
  void Clear(size_t table);
  void AddField(size_t table);
  void Upsert(size_t table, int64_t group, int64_t member);
  void Delete(size_t table, int64_t group, int64_t member);
  // The same as text that tells no keys.
  void UpsertSome(size_t table, int64_t group);
  void DeleteSome(size_t table, int64_t group);
  void ChangeSome(size_t table, int64_t group);
  void Something(size_t table);

  void Statement(std::string text) { statements_.push_back(std::move(text)); }
  // Of the next statement.
  int64_t Version(bool in_transaction) const;
  std::string CreateText(size_t table) const;
  std::string Columns(size_t table) const;
  std::string Values(size_t table, int64_t group, int64_t member, int64_t version) const;
  size_t Random(size_t below) { return random_() % below; }

  const std::vector<ProvenTable> tables_;
  ReadHistory* const history_;
  std::mt19937 random_;
  std::vector<TableState> states_;
  int64_t last_;
  // Of the transaction that is being made.
  std::vector<std::string> statements_;
  std::vector<ReadHistory::Fact> facts_;
  bool marked_ = false;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_PROVEN_LEDGER_H_
