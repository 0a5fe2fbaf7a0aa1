// Changes and rows as a test makes them up.

#ifndef CTLSTORE_SIDECAR_FAKE_CHANGE_SOURCE_H_
#define CTLSTORE_SIDECAR_FAKE_CHANGE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/ldb/changes.h"
#include "sidecar/change_source.h"

namespace ctlstore::sidecar {

// A local database in memory: a sequence, the changes after some sequence, and rows with a value.
// Thread-safe.
class FakeChangeSource : public ChangeSource {
 public:
  FakeChangeSource();
  // Ends all waits.
  ~FakeChangeSource() override;

  // The next ledger entries, all in one commit.
  struct Entry {
    // Empty: everything.
    std::string family;
    std::string table;
    // Empty: the whole table.
    std::string key;
    // The row's value; where it is empty, the row is deleted.
    std::string value;
  };
  void Commit(const std::vector<Entry>& entries);
  // Entries that change nothing.
  void CommitNothing(int64_t entries);

  // Forgets the changes up to this sequence.
  void ForgetUpTo(int64_t sequence);
  // Another local database takes its place, with the same changes and rows, or with none.
  void Rebuild();
  void Replace(int64_t sequence);
  // From now on, views fail, or not.
  void SetError(const absl::Status& error);

  // Between the two, those who want a view wait.
  void Block();
  void Unblock();
  // Returns when somebody waits for a view.
  void AwaitBlocked();

  int64_t sequence() const;
  // So often a view was asked for.
  int64_t views() const;
  // Waits under way.
  int64_t waits() const;

  absl::StatusOr<std::unique_ptr<ChangeView>> View() override;
  absl::StatusOr<uint64_t> Wait(int64_t sequence, absl::Time deadline,
                                std::function<void()> done) override;
  bool Cancel(uint64_t wait) override;

 private:
  // Never changes once others can see it.
  struct Contents {
    std::string identity = "first";
    int64_t sequence = 0;
    // Changes after this sequence are kept.
    int64_t begin = 0;
    std::vector<ldb::ChangeEvent> changes;
    // By table and key.
    std::map<std::pair<TableName, std::string>, std::string> rows;
  };
  class FakeView;
  struct Waiting {
    int64_t sequence;
    absl::Time deadline;
    std::function<void()> done;
  };

  void Change(const std::function<void(Contents*)>& change);
  void Run();
  absl::Time NextDeadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Contents> contents_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  int blocked_views_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t views_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Waiting> waits_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_wait_ ABSL_GUARDED_BY(mutex_) = 0;
  // Something that waits depend on has changed.
  bool look_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last: it uses the others.
  std::thread thread_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_FAKE_CHANGE_SOURCE_H_
