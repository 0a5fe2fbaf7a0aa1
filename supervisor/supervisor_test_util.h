// What the supervisor's tests have in common.

#ifndef CTLSTORE_SUPERVISOR_SUPERVISOR_TEST_UTIL_H_
#define CTLSTORE_SUPERVISOR_SUPERVISOR_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/object_store/open_store.h"
#include "common/object_store/testing/faulty_store.h"
#include "common/snapshot/location.h"

namespace ctlstore::supervisor {

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

inline void WaitUntil(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    ASSERT_LT(absl::Now(), deadline);
    absl::SleepFor(absl::Milliseconds(1));
  }
}

// Time goes on only when it is told to.
class TestClock : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + absl::Hours(500000) + SteadyNow(); }
  absl::Duration SteadyNow() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  bool SleepOrStop(absl::Duration duration, absl::Notification* stop) override {
    const absl::Duration until = SteadyNow() + duration;
    while (SteadyNow() < until) {
      if (stop->WaitForNotificationWithTimeout(absl::Milliseconds(1))) return true;
    }
    return stop->HasBeenNotified();
  }
  bool SleepOrWake(absl::Duration duration, Event* event) override {
    const absl::Duration until = SteadyNow() + duration;
    while (SteadyNow() < until) {
      if (event->Wait(absl::Milliseconds(1))) return true;
    }
    return false;
  }
  void Advance(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    now_ += duration;
  }

 private:
  absl::Mutex mutex_;
  absl::Duration now_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
};

// A local database that is written while it is snapshotted.
class TestLdb {
 public:
  explicit TestLdb(const std::string& path) : path_(path), writer_(ldb::OpenWriter(path)) {
    ledger_.Add(
        "CREATE TABLE fam___rows (id INTEGER NOT NULL, text TEXT, PRIMARY KEY(id)) WITHOUT ROWID");
    Write(100);
  }

  const std::string& path() const { return path_; }

  // Returns the sequence after that.
  int64_t Write(int rows) {
    absl::MutexLock lock(&mutex_);
    for (int i = 0; i < rows; ++i) {
      ledger_.Add(absl::StrCat("REPLACE INTO fam___rows (id, text) VALUES (", next_ % 1000, ", '",
                               std::string(200, static_cast<char>('a' + next_ % 26)), next_, "')"));
      ++next_;
    }
    const absl::Status status = writer_->Apply(ledger_.Take());
    EXPECT_TRUE(status.ok()) << status;
    return writer_->applied_sequence();
  }

  int64_t sequence() const {
    absl::MutexLock lock(&mutex_);
    return writer_->applied_sequence();
  }

 private:
  const std::string path_;
  mutable absl::Mutex mutex_;
  ldb::TestLedger ledger_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ldb::LdbWriter> writer_ ABSL_GUARDED_BY(mutex_);
  int next_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A store whose puts wait while it is told to hang, until it is cancelled.
class TestStore : public object_store::testing::FaultyStore {
 public:
  explicit TestStore(std::unique_ptr<object_store::ObjectStore> base)
      : FaultyStore(std::move(base)) {
    SetHook([this](object_store::testing::StoreCall call, absl::string_view) {
      using object_store::testing::StoreCall;
      if (call != StoreCall::kPutFile) return absl::OkStatus();
      absl::MutexLock lock(&mutex_);
      ++hanging_;
      const auto goes_on = [this]()
                               ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return cancelled_ || !hang_; };
      mutex_.Await(absl::Condition(&goes_on));
      --hanging_;
      return cancelled_ ? absl::CancelledError("cancelled") : absl::OkStatus();
    });
  }

  void Hang(bool hang) {
    absl::MutexLock lock(&mutex_);
    hang_ = hang;
  }
  // Puts that wait.
  int hanging() const {
    absl::MutexLock lock(&mutex_);
    return hanging_;
  }
  void Cancel() override {
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
    }
    FaultyStore::Cancel();
  }

 private:
  mutable absl::Mutex mutex_;
  bool hang_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  int hanging_ ABSL_GUARDED_BY(mutex_) = 0;
};

inline snapshot::Location LocationOf(const std::string& path) {
  const absl::StatusOr<snapshot::Location> location =
      snapshot::ParseLocation(absl::StrCat("file://", path));
  EXPECT_TRUE(location.ok()) << location.status();
  return *location;
}

inline std::unique_ptr<TestStore> OpenTestStore(const snapshot::Location& location) {
  auto store = object_store::OpenStore(location.store, object_store::StoreOptions());
  EXPECT_TRUE(store.ok()) << store.status();
  return std::make_unique<TestStore>(*std::move(store));
}

// Sorted; none where the folder is not there.
inline std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_SUPERVISOR_TEST_UTIL_H_
