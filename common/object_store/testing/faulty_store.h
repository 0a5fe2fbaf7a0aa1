// An object store that fails when it is told to. For tests.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_TESTING_FAULTY_STORE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_TESTING_FAULTY_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/object_store/object_store.h"

namespace ctlstore::object_store::testing {

enum class StoreCall { kList, kStat, kRead, kPutFile, kPut, kDelete, kRemoveUnfinished };

// Hands calls on to another store, counts them, and makes chosen ones fail. Thread-safe. What keeps
// to ObjectStore's contract can fail like this: puts are whole or not there.
//
//   FaultyStore store(std::make_unique<FileStore>(url));
//   for (int64_t n = 1;; ++n) {
//     store.Arm(FaultyStore::Fault::kFailsAfter, n, absl::UnavailableError("cut"));
//     ... what is to be tested ...
//     if (store.Disarm() == 0) break;  // The n-th call was never made.
//   }
class FaultyStore : public ObjectStore {
 public:
  enum class Fault {
    // Nothing is done.
    kFails,
    // All is done, but the caller is told otherwise: the answer was lost. A read has given all.
    kFailsAfter,
    // A read has given half of what it was to give. Other calls: as kFails.
    kFailsHalfway,
  };

  explicit FaultyStore(std::unique_ptr<ObjectStore> base) : base_(std::move(base)) {}

  // Makes the `countdown`-th call from now on (from 1) fail with `error`, and where not `once`, all
  // calls after it without doing anything, as if the process or the network were gone. In place of
  // what was armed before.
  void Arm(Fault fault, int64_t countdown, absl::Status error, bool once = true);
  // The same, where only the calls of these kinds count and fail.
  void Arm(Fault fault, std::set<StoreCall> calls, int64_t countdown, absl::Status error,
           bool once = true);
  // No call fails any more. Returns how many have failed since Arm().
  int64_t Disarm();

  // From now on the byte at `offset` of the object is read as another one. -1: as it is.
  void CorruptByte(absl::string_view key, int64_t offset);

  // Whether List() is UNIMPLEMENTED, as with web servers.
  void SetCannotList(bool cannot_list);

  // Called before each call is handed on; an error makes it fail. May itself use the store below.
  void SetHook(std::function<absl::Status(StoreCall call, absl::string_view key)> hook);

  int64_t calls() const;
  int64_t calls(StoreCall call) const;
  // The bytes that reads have given.
  int64_t bytes_read() const;
  // All puts and deletes in order, as "put key" and "delete key".
  std::vector<std::string> changes() const;

  ObjectStore* base() { return base_.get(); }

  std::string name() const override { return base_->name(); }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override;
  absl::Status Read(absl::string_view key, const ReadOptions& options, const Sink& sink) override;
  absl::Status PutFile(absl::string_view key, const std::string& path,
                       const PutOptions& options) override;
  absl::Status Put(absl::string_view key, absl::string_view contents,
                   const PutOptions& options) override;
  absl::Status Delete(absl::string_view key) override;
  absl::Status RemoveUnfinished(absl::Time before) override;
  void Cancel() override { base_->Cancel(); }

 private:
  struct Outcome {
    // The error before anything is done.
    absl::Status before;
    // What is answered in place of success.
    absl::Status after;
    bool halfway = false;
  };
  // Counts the call and says what becomes of it.
  Outcome Begin(StoreCall call, absl::string_view key);
  absl::Status Change(StoreCall call, absl::string_view key,
                      const std::function<absl::Status()>& change);

  const std::unique_ptr<ObjectStore> base_;

  mutable absl::Mutex mutex_;
  std::vector<StoreCall> calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> changes_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_read_ ABSL_GUARDED_BY(mutex_) = 0;
  bool armed_ ABSL_GUARDED_BY(mutex_) = false;
  bool once_ ABSL_GUARDED_BY(mutex_) = true;
  Fault fault_ ABSL_GUARDED_BY(mutex_) = Fault::kFails;
  // Those that can fail; all where empty.
  std::set<StoreCall> armed_calls_ ABSL_GUARDED_BY(mutex_);
  int64_t countdown_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<std::string, int64_t>> corrupt_ ABSL_GUARDED_BY(mutex_);
  bool cannot_list_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<absl::Status(StoreCall, absl::string_view)> hook_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::object_store::testing

#endif  // CTLSTORE_COMMON_OBJECT_STORE_TESTING_FAULTY_STORE_H_
