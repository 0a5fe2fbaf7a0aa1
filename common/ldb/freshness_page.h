// The page beside a local database by which readers know, without a lock and without a system call,
// whether what they have read is still current, and if not, what has changed.

#ifndef CTLSTORE_COMMON_LDB_FRESHNESS_PAGE_H_
#define CTLSTORE_COMMON_LDB_FRESHNESS_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"
#include "common/schema/names.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// The hashes by which the page names tables and keys (docs/formats.md). Two keys may have the same
// hash; equal keys always have.
uint64_t FreshnessTableHash(const TableName& table);
uint64_t FreshnessKeyHash(absl::Span<const ValueView> key);

// Where the page of a local database is: beside the file itself, behind symbolic links.
std::string FreshnessPagePath(absl::string_view ldb_path);

// Writes the page. The epoch is odd from Committing() to Committed() or CommitFailed(), from
// Pause() to Resume(), and from the writer's end on. A writer that is killed between commits leaves
// it even: nothing changes then until the next writer comes, which counts everything as changed.
// Used by one thread.
class FreshnessPageWriter : public ChangeListener {
 public:
  // Takes over the page at `path`, or makes a new one where there is none that fits. `identity` (16
  // bytes) is the local database's own. Those who have mapped the page see that anything may have
  // changed. The caller holds the local database's lock. INVALID_ARGUMENT for another identity's
  // size; UNAVAILABLE, RESOURCE_EXHAUSTED (no space) where the page cannot be written.
  static absl::StatusOr<std::unique_ptr<FreshnessPageWriter>> Open(const std::string& path,
                                                                   absl::string_view identity,
                                                                   int64_t applied_sequence);
  ~FreshnessPageWriter() override;
  FreshnessPageWriter(const FreshnessPageWriter&) = delete;
  FreshnessPageWriter& operator=(const FreshnessPageWriter&) = delete;

  void Committing(absl::Span<const Change> changes) override;
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override;
  void CommitFailed() override;

  // Makes readers let go of the states of the database that they hold, and hold none until
  // Resume(). Nothing is committed meanwhile: what they have kept is as it was.
  void Pause();
  void Resume();

 private:
  class Impl;
  explicit FreshnessPageWriter(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// A reader's view of the page. Thread-safe, never blocks, and no state of the file makes it crash
// but one: the file must not be made shorter, which its writer never does.
//
// To read something that can be kept: mark() and an even epoch(), then a read transaction that
// begins after them, then the same epoch() again. Later, when the epoch is another even one:
// ChangesSince() that mark, and epoch() again; what is not named then is as it was.
class FreshnessPageView {
 public:
  // NOT_FOUND where there is none, FAILED_PRECONDITION where it is not a page of this format or of
  // this local database, INVALID_ARGUMENT for an identity that is not 16 bytes, UNAVAILABLE where
  // it cannot be read.
  static absl::StatusOr<std::unique_ptr<FreshnessPageView>> Open(const std::string& path,
                                                                 absl::string_view identity);
  ~FreshnessPageView();
  FreshnessPageView(const FreshnessPageView&) = delete;
  FreshnessPageView& operator=(const FreshnessPageView&) = delete;

  // What is committed is as it was for as long as this is the same even number. Odd: a commit is
  // under way, the WAL is being emptied, or no writer is there; then nothing can be told, and no
  // read transaction should be held. Everything that was written to the
  // database before the value was set is visible to who reads it.
  uint64_t epoch() const;

  int64_t applied_sequence() const;

  // Grows whenever anything of the table may have changed, be it known by key or not.
  uint64_t TableVersion(uint64_t table_hash) const;

  // Whether the path still leads to the page that is mapped. When it does not, the page will not be
  // kept up to date much longer, or is not any more. A system call: to be asked now and then.
  bool InPlace() const;

  // Up to where changes have been looked at.
  struct Mark {
    uint64_t ring = 0;
    uint64_t everything = 0;
  };
  Mark mark() const;

  struct Changed {
    // All else is empty then.
    bool everything = false;
    // Tables of which anything may have changed, by FreshnessTableHash().
    std::vector<uint64_t> tables;
    struct Key {
      uint64_t table;
      uint64_t key;
    };
    std::vector<Key> keys;
  };
  // What has changed since `*since`, which moves on to now; `everything` where the ring has been
  // overrun. Keys and tables come as often as they were changed. At most 65,536 in all.
  void ChangesSince(Mark* since, Changed* changed) const;

 private:
  class Impl;
  explicit FreshnessPageView(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_FRESHNESS_PAGE_H_
