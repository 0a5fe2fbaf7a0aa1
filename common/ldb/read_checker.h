// Looks at a local database in all ways that readers have, and tells what cannot be right.

#ifndef CTLSTORE_COMMON_LDB_READ_CHECKER_H_
#define CTLSTORE_COMMON_LDB_READ_CHECKER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ldb/proven_rows.h"
#include "common/ldb/read_history.h"
#include "common/ldb/reader.h"

namespace ctlstore::ldb {

// What all checkers of one history know together. Positions that were reached before a look began
// are its floor: it must not show anything older. Both only go up.
struct CheckedWorld {
  std::vector<ProvenTable> tables;
  const ReadHistory* history = nullptr;
  // Brings the history up to date, where another process writes. Thread-safe.
  std::function<void()> refresh;
  // Whether positions are ledger sequences.
  bool in_sequences = false;
  // Where they are not, and where that is known: a position that was committed, times 2^32, and the
  // sequence of its end.
  std::atomic<int64_t>* acknowledged = nullptr;
  // What the writer has committed, and local databases have been seen to have.
  std::atomic<int64_t>* committed = nullptr;
  // What any checker has seen.
  std::atomic<int64_t>* seen = nullptr;
};

// One thread's checker; it may use any reader of the same local database. All of these are checked:
// no look shows less than what was there when it began; never half a transaction, or two, in a
// list, a snapshot or an iterator; a snapshot is at the sequence that it says; what was read stays
// as it was; no call fails.
class ReadChecker {
 public:
  // `world` must outlive it.
  ReadChecker(const CheckedWorld* world, uint32_t seed);
  ~ReadChecker();

  // One look of a random kind. Returns what is wrong, or nothing.
  std::string Look(Reader* reader);

  // Forgets what it holds of any reader.
  void LetGo();

  // How many looks were explained, and how many rows they had.
  int64_t looks() const { return looks_; }
  int64_t rows() const { return rows_; }

 private:
  struct Held;
  using Facts = std::vector<ReadHistory::Fact>;
  // Group and member.
  struct Key {
    int64_t group = 0;
    int64_t member = 0;
  };

  // Each of these is a kind of look.
  std::string LookAtRow(Reader* reader);
  std::string LookAtList(Reader* reader);
  std::string LookAtSnapshot(Reader* reader);
  std::string LookAtSchema(Reader* reader);
  std::string LookAtPosition(Reader* reader);
  std::string LookAfterWaiting(Reader* reader);
  std::string LookAtHeld();

  // The parts of looks; `source` is a Reader or a Snapshot.
  template <typename Source>
  std::string ReadRow(Source* source, const ProvenTable& table, Facts* facts);
  template <typename Source>
  std::string ReadList(Source* source, const ProvenTable& table, Facts* facts);
  template <typename Source>
  std::string ReadSchema(Source* source, const ProvenTable& table, Facts* facts);
  template <typename Source>
  std::string ReadTables(Source* source, Facts* facts);
  // Of anything of a table that was not there: fine where it is said to be the table that is not
  // there.
  std::string Failed(absl::string_view what, const ProvenTable& table, const absl::Status& status,
                     Facts* facts) const;

  // What was there before the look that begins now.
  int64_t Floor();
  absl::optional<int64_t> PositionOf(const Facts& facts, int64_t floor) const;
  // Whether there is a position from `floor` on that has all of it; goes on from there.
  std::string Explain(absl::string_view what, const Facts& facts, int64_t floor);
  std::string ExplainAt(absl::string_view what, const Facts& facts, int64_t position);
  std::string Contradiction(absl::string_view what, const Facts& facts, int64_t floor) const;
  void See(int64_t position);

  const ProvenTable& SomeTable();
  Key SomeKey(const ProvenTable& table);
  bool OneIn(uint32_t n) { return random_() % n == 0; }

  const CheckedWorld& world_;
  std::mt19937 random_;
  // The last position that this thread has seen.
  int64_t floor_ = 0;
  int64_t looks_ = 0;
  int64_t rows_ = 0;
  std::deque<std::unique_ptr<Held>> held_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READ_CHECKER_H_
