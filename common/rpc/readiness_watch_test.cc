#include "common/rpc/readiness_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace ctlstore::rpc {
namespace {

using ::testing::ElementsAre;

// What a service says of itself, and what was told to others.
class ReadinessWatchTest : public ::testing::Test {
 protected:
  absl::Status Check() {
    absl::MutexLock lock(&mutex_);
    ++looks_;
    return found_;
  }
  void Told(bool ready) {
    absl::MutexLock lock(&mutex_);
    told_.push_back(ready);
  }
  // Returns after looks that have seen `status`.
  void Find(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    found_ = status;
    const int enough = looks_ + 3;
    const auto seen = [this, enough]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return looks_ >= enough; };
    mutex_.Await(absl::Condition(&seen));
  }
  std::vector<bool> told() {
    absl::MutexLock lock(&mutex_);
    return told_;
  }

  ReadinessWatch::Check check_ = [this] { return Check(); };
  ReadinessWatch::OnChange on_change_ = [this](bool ready) { Told(ready); };

  absl::Mutex mutex_;
  absl::Status found_ ABSL_GUARDED_BY(mutex_);
  int looks_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<bool> told_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ReadinessWatchTest, KnowsFromTheBeginning) {
  {
    const ReadinessWatch watch(check_, on_change_, absl::Hours(1));
    EXPECT_TRUE(watch.status().ok());
    EXPECT_THAT(told(), ElementsAre(true));
  }
  {
    absl::MutexLock lock(&mutex_);
    found_ = absl::UnavailableError("away");
  }
  const ReadinessWatch watch(check_, on_change_, absl::Hours(1));
  EXPECT_EQ(watch.status(), absl::UnavailableError("away"));
  EXPECT_THAT(told(), ElementsAre(true, false));
}

TEST_F(ReadinessWatchTest, TellsOfChangesOnly) {
  const ReadinessWatch watch(check_, on_change_, absl::Milliseconds(1));
  Find(absl::OkStatus());
  EXPECT_THAT(told(), ElementsAre(true));
  Find(absl::UnavailableError("away"));
  EXPECT_EQ(watch.status(), absl::UnavailableError("away"));
  Find(absl::DataLossError("damaged"));
  EXPECT_EQ(watch.status(), absl::DataLossError("damaged"));
  EXPECT_THAT(told(), ElementsAre(true, false));
  Find(absl::OkStatus());
  EXPECT_TRUE(watch.status().ok());
  EXPECT_THAT(told(), ElementsAre(true, false, true));
}

TEST_F(ReadinessWatchTest, EndsWithoutWaitingForTheNextLook) {
  const ReadinessWatch watch(check_, on_change_, absl::InfiniteDuration());
}

}  // namespace
}  // namespace ctlstore::rpc
