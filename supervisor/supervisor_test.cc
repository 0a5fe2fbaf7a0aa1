#include "supervisor/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_test_util.h"
#include "common/schema/errors.h"
#include "common/snapshot/folder.h"
#include "supervisor/supervisor_metrics.h"
#include "supervisor/supervisor_test_util.h"

namespace ctlstore::supervisor {
namespace {

using object_store::testing::FaultyStore;
using object_store::testing::StoreCall;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Is what a test says of it.
class FakeCopy : public Supervisor::Copy {
 public:
  explicit FakeCopy(const TestLdb* ldb) : ldb_(ldb) {}

  absl::Status Readiness() const override {
    absl::MutexLock lock(&mutex_);
    ++looks_;
    const auto goes_on = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !hold_; };
    mutex_.Await(absl::Condition(&goes_on));
    return readiness_;
  }
  int64_t applied_sequence() const override { return ldb_->sequence(); }
  int64_t ledger_sequence() const override { return ldb_->sequence(); }

  void Set(const absl::Status& readiness) {
    absl::MutexLock lock(&mutex_);
    readiness_ = readiness;
  }
  // While it holds, nobody gets to know whether it is ready.
  void Hold(bool hold) {
    absl::MutexLock lock(&mutex_);
    hold_ = hold;
  }
  int looks() const {
    absl::MutexLock lock(&mutex_);
    return looks_;
  }

 private:
  const TestLdb* const ldb_;
  mutable absl::Mutex mutex_;
  absl::Status readiness_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  mutable int looks_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Of one call.
struct Outcome {
  absl::Notification there;
  absl::StatusOr<SnapshotResult> result = absl::UnknownError("not there");
};

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() : ldb_(folder_.Path("ldb.db")), copy_(&ldb_), metrics_(&registry_) {
    options_.interval = absl::ZeroDuration();
    options_.clock = &clock_;
    options_.taker.ldb_path = ldb_.path();
    options_.encode.chunk_bytes = 16 << 10;
    for (const char* name : {"a", "b"}) {
      options_.destinations.push_back(LocationOf(folder_.Path(name)));
    }
  }

  void Start() {
    auto supervisor = Supervisor::Start(
        options_,
        [this](const snapshot::Location& location)
            -> absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> {
          auto store = OpenTestStore(location);
          if (prepare_) prepare_(location.ToString(), store.get());
          stores_.push_back(store.get());
          return store;
        },
        &copy_, &metrics_);
    ASSERT_TRUE(supervisor.ok()) << supervisor.status();
    supervisor_ = *std::move(supervisor);
  }

  std::shared_ptr<Outcome> Ask() {
    auto outcome = std::make_shared<Outcome>();
    supervisor_->TakeSnapshot([outcome](const absl::StatusOr<SnapshotResult>& result) {
      outcome->result = result;
      outcome->there.Notify();
    });
    return outcome;
  }

  absl::StatusOr<SnapshotResult> Take() {
    const auto outcome = Ask();
    EXPECT_TRUE(outcome->there.WaitForNotificationWithTimeout(kPatience));
    return outcome->result;
  }

  // The ids in a destination, newest first; each snapshot is whole.
  std::vector<std::string> Ids(const std::string& name) {
    const auto store =
        object_store::OpenStore(LocationOf(folder_.Path(name)).store, object_store::StoreOptions());
    EXPECT_TRUE(store.ok()) << store.status();
    snapshot::Folder folder(store->get());
    const auto ids = folder.List();
    EXPECT_TRUE(ids.ok()) << ids.status();
    if (!ids.ok()) return {};
    for (const std::string& id : *ids) {
      const auto manifest = folder.ReadManifest(id);
      if (absl::IsNotFound(manifest.status())) continue;  // Removed since.
      EXPECT_TRUE(manifest.ok()) << manifest.status();
      if (!manifest.ok()) continue;
      const absl::Status whole = folder.Verify(*manifest);
      EXPECT_TRUE(whole.ok() || absl::IsNotFound(whole)) << whole;
    }
    return *ids;
  }

  void WaitForIds(const std::string& name, size_t count) {
    WaitUntil([&] { return Ids(name).size() >= count; });
  }

  ldb::TestFolder folder_;
  TestLdb ldb_;
  TestClock clock_;
  FakeCopy copy_;
  prometheus::Registry registry_;
  SupervisorMetrics metrics_;
  Supervisor::Options options_;
  std::function<void(const std::string& url, TestStore* store)> prepare_;
  // In the order of the destinations; live as long as the supervisor.
  std::vector<TestStore*> stores_;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, ASnapshotThatIsAskedForIsInEveryDestinationWhenItIsAnswered) {
  Start();
  const auto taken = Take();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->snapshot.sequence, ldb_.sequence());
  EXPECT_EQ(taken->snapshot.rows, 100);
  EXPECT_EQ(taken->snapshot.tables, 1);
  ASSERT_THAT(taken->destinations, SizeIs(2));
  for (const DestinationResult& each : taken->destinations) {
    EXPECT_TRUE(each.status.ok()) << each.status;
  }
  for (const char* name : {"a", "b"}) {
    EXPECT_THAT(Ids(name), ElementsAre(taken->snapshot.id));
  }
  const SupervisorStatus status = supervisor_->Status();
  EXPECT_FALSE(status.next_snapshot.has_value());
  ASSERT_TRUE(status.destinations[1].last_snapshot.has_value());
  EXPECT_EQ(status.destinations[1].last_snapshot->id, taken->snapshot.id);
  EXPECT_EQ(status.destinations[1].failures, 0);
}

TEST_F(SupervisorTest, OneIsTakenAtTheStartAndThenAtEachInterval) {
  options_.interval = absl::Minutes(5);
  Start();
  WaitForIds("a", 1);
  WaitForIds("b", 1);
  ldb_.Write(1);
  clock_.Advance(absl::Minutes(5) - absl::Seconds(1));
  EXPECT_EQ(*supervisor_->Status().next_snapshot, clock_.Now() + absl::Seconds(1));
  EXPECT_THAT(Ids("a"), SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  WaitForIds("a", 2);
  WaitForIds("b", 2);
}

TEST_F(SupervisorTest, TheNextOneCountsFromTheLastBeginning) {
  options_.interval = absl::Minutes(5);
  Start();
  WaitForIds("a", 1);
  clock_.Advance(absl::Minutes(3));
  const absl::Time asked = clock_.Now();
  ASSERT_TRUE(Take().ok());
  EXPECT_EQ(*supervisor_->Status().next_snapshot, asked + absl::Minutes(5));
}

TEST_F(SupervisorTest, AStateThatIsEverywhereIsSkippedByTheScheduleOnly) {
  options_.interval = absl::Minutes(5);
  Start();
  WaitForIds("a", 1);
  WaitForIds("b", 1);
  WaitUntil([&] { return supervisor_->Status().stage == Stage::kIdle; });
  const std::vector<std::string> first = Ids("a");
  clock_.Advance(absl::Minutes(5));
  WaitUntil([&] { return *supervisor_->Status().next_snapshot > clock_.Now(); });
  EXPECT_EQ(Ids("a"), first);
  // Whoever asks gets one.
  ASSERT_TRUE(Take().ok());
  EXPECT_THAT(Ids("a"), SizeIs(2));
  // Not for ever: what is there may be removed by others.
  clock_.Advance(absl::Hours(25));
  WaitForIds("a", 3);
  WaitForIds("b", 3);
}

TEST_F(SupervisorTest, ADestinationThatFailsDoesNotStopTheOthers) {
  Start();
  stores_[0]->Arm(FaultyStore::Fault::kFails, {StoreCall::kPutFile}, 1,
                  absl::PermissionDeniedError("no right to write"), /*once=*/false);
  const auto taken = Take();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_TRUE(absl::IsPermissionDenied(taken->destinations[0].status));
  EXPECT_TRUE(taken->destinations[1].status.ok());
  EXPECT_THAT(Ids("a"), IsEmpty());
  EXPECT_THAT(Ids("b"), ElementsAre(taken->snapshot.id));
  const SupervisorStatus status = supervisor_->Status();
  EXPECT_EQ(status.destinations[0].failures, 1);
  EXPECT_TRUE(absl::IsPermissionDenied(status.destinations[0].last_error));
}

TEST_F(SupervisorTest, ASnapshotThatCameNowhereIsAnError) {
  Start();
  for (TestStore* store : stores_) {
    store->Arm(FaultyStore::Fault::kFails, {StoreCall::kPutFile}, 1,
               absl::UnavailableError("out of order"), /*once=*/false);
  }
  const auto taken = Take();
  EXPECT_TRUE(absl::IsUnavailable(taken.status())) << taken.status();
  EXPECT_TRUE(HasReason(taken.status(), kNotPublishedReason));
  for (const snapshot::Location& destination : options_.destinations) {
    EXPECT_THAT(std::string(taken.status().message()), HasSubstr(destination.ToString()));
  }
}

TEST_F(SupervisorTest, WhatFailedIsMadeUpForWithoutGivingTheOthersTheSameAgain) {
  options_.interval = absl::Minutes(5);
  prepare_ = [](const std::string& url, TestStore* store) {
    if (url.back() == 'a') {
      store->Arm(FaultyStore::Fault::kFails, {StoreCall::kPutFile}, 1,
                 absl::UnavailableError("for once"));
    }
  };
  Start();
  WaitForIds("b", 1);
  WaitUntil([&] { return supervisor_->Status().destinations[0].failures == 1; });
  clock_.Advance(absl::Minutes(5));
  WaitForIds("a", 1);
  EXPECT_THAT(Ids("b"), SizeIs(1));
}

TEST_F(SupervisorTest, ADestinationThatHangsDoesNotDelayTheOthers) {
  options_.interval = absl::Minutes(5);
  prepare_ = [](const std::string& url, TestStore* store) {
    if (url.back() == 'a') store->Hang(true);
  };
  Start();
  for (size_t count = 1; count <= 5; ++count) {
    WaitForIds("b", count);
    ldb_.Write(1);
    clock_.Advance(absl::Minutes(5));
  }
  WaitForIds("b", 6);
  EXPECT_EQ(stores_[0]->hanging(), 1);
  EXPECT_EQ(supervisor_->Status().stage, Stage::kUploading);
  // What waits for it takes no more room than the newest one, beside the one on its way.
  WaitUntil([&] {
    return FilesIn(folder_.Path("ldb.db.snapshots")).size() == 3;  // With the lock.
  });
  stores_[0]->Hang(false);
  WaitForIds("a", 2);
  WaitUntil([&] { return FilesIn(folder_.Path("ldb.db.snapshots")).size() == 1; });
  EXPECT_EQ(Ids("a").front(), Ids("b").front());
}

TEST_F(SupervisorTest, ThoseWhoComeDuringARunShareTheNextOne) {
  Start();
  copy_.Hold(true);
  const auto first = Ask();
  WaitUntil([&] { return copy_.looks() > 0; });
  const auto second = Ask();
  const auto third = Ask();
  copy_.Hold(false);
  for (const auto& outcome : {first, second, third}) {
    ASSERT_TRUE(outcome->there.WaitForNotificationWithTimeout(kPatience));
    ASSERT_TRUE(outcome->result.ok()) << outcome->result.status();
  }
  EXPECT_NE(first->result->snapshot.id, second->result->snapshot.id);
  EXPECT_EQ(second->result->snapshot.id, third->result->snapshot.id);
  EXPECT_THAT(Ids("a"), SizeIs(2));
}

TEST_F(SupervisorTest, CallersAreBounded) {
  options_.max_callers = 2;
  Start();
  copy_.Hold(true);
  std::vector<std::shared_ptr<Outcome>> outcomes = {Ask()};
  WaitUntil([&] { return copy_.looks() > 0; });
  outcomes.push_back(Ask());
  outcomes.push_back(Ask());
  const auto refused = Ask();
  ASSERT_TRUE(refused->there.HasBeenNotified());
  EXPECT_TRUE(HasReason(refused->result.status(), reason::kQueueFull));
  copy_.Hold(false);
  for (const auto& outcome : outcomes) {
    ASSERT_TRUE(outcome->there.WaitForNotificationWithTimeout(kPatience));
    EXPECT_TRUE(outcome->result.ok()) << outcome->result.status();
  }
}

TEST_F(SupervisorTest, ACopyThatIsNotReadyIsRefusedAndWaitedForByTheSchedule) {
  copy_.Set(absl::UnavailableError("is being built"));
  options_.interval = absl::Minutes(5);
  Start();
  const auto refused = Take();
  EXPECT_TRUE(absl::IsUnavailable(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("is being built"));
  EXPECT_THAT(std::string(supervisor_->Status().readiness.message()), HasSubstr("being built"));
  EXPECT_THAT(Ids("a"), IsEmpty());
  copy_.Set(absl::OkStatus());
  clock_.Advance(options_.ready_interval);
  WaitForIds("a", 1);
}

TEST_F(SupervisorTest, ACopyThatCannotBeMadeIsAnErrorAndTheNextOneIsTried) {
  options_.taker.min_free_bytes = int64_t{1} << 60;
  Start();
  EXPECT_TRUE(absl::IsResourceExhausted(Take().status()));
  EXPECT_TRUE(absl::IsResourceExhausted(Take().status()));
  EXPECT_EQ(supervisor_->Status().stage, Stage::kIdle);
}

TEST_F(SupervisorTest, EndsSoonWhileADestinationHangsAndTellsThoseWhoWait) {
  Start();
  for (TestStore* store : stores_) store->Hang(true);
  const auto outcome = Ask();
  WaitUntil([&] { return stores_[0]->hanging() + stores_[1]->hanging() == 2; });
  copy_.Hold(true);
  const int looks = copy_.looks();
  const auto next = Ask();
  WaitUntil([&] { return copy_.looks() > looks; });
  const auto after = Ask();
  copy_.Hold(false);
  supervisor_->Stop();
  for (const auto& each : {outcome, next, after}) {
    ASSERT_TRUE(each->there.WaitForNotificationWithTimeout(kPatience));
    EXPECT_TRUE(absl::IsUnavailable(each->result.status())) << each->result.status();
  }
  EXPECT_THAT(FilesIn(folder_.Path("ldb.db.snapshots")), SizeIs(1));
  EXPECT_THAT(Ids("a"), IsEmpty());
  EXPECT_TRUE(absl::IsUnavailable(Take().status()));
}

TEST_F(SupervisorTest, OldSnapshotsAreRemoved) {
  options_.retention.count = 2;
  Start();
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ldb_.Write(1);
    clock_.Advance(absl::Seconds(2));
    const auto taken = Take();
    ASSERT_TRUE(taken.ok()) << taken.status();
    ids.insert(ids.begin(), taken->snapshot.id);
  }
  WaitUntil([&] { return Ids("a").size() == 2 && Ids("b").size() == 2; });
  EXPECT_THAT(Ids("a"), ElementsAre(ids[0], ids[1]));
}

TEST_F(SupervisorTest, ListsWhatIsThereAndWhatCannotBeAsked) {
  Start();
  const auto first = Take();
  ldb_.Write(1);
  const auto second = Take();
  ASSERT_TRUE(first.ok() && second.ok());
  stores_[1]->Arm(FaultyStore::Fault::kFails, {StoreCall::kList}, 1,
                  absl::UnavailableError("does not answer"), /*once=*/false);
  absl::Notification there;
  std::vector<DestinationList> lists;
  supervisor_->ListSnapshots([&](const std::vector<DestinationList>& found) {
    lists = found;
    there.Notify();
  });
  ASSERT_TRUE(there.WaitForNotificationWithTimeout(kPatience));
  ASSERT_THAT(lists, SizeIs(2));
  ASSERT_THAT(lists[0].snapshots, SizeIs(2));
  EXPECT_EQ(lists[0].snapshots[0].id, second->snapshot.id);
  EXPECT_EQ(lists[0].snapshots[1].id, first->snapshot.id);
  EXPECT_EQ(lists[0].snapshots[1].object_sha256, first->snapshot.object_sha256);
  EXPECT_TRUE(absl::IsUnavailable(lists[1].status));
}

TEST_F(SupervisorTest, SingleObjectsAreCompressedAsTheirNamesSay) {
  for (const char* name : {"go.db.gz", "go.db"}) {
    options_.destinations.push_back(LocationOf(folder_.Path(name)));
  }
  Start();
  for (int i = 0; i < 2; ++i) {
    ldb_.Write(1);
    const auto taken = Take();
    ASSERT_TRUE(taken.ok()) << taken.status();
    for (const DestinationResult& each : taken->destinations) {
      EXPECT_TRUE(each.status.ok()) << each.url << ": " << each.status;
    }
    EXPECT_EQ(taken->snapshot.compression, snapshot::Compression::kZstd);
    const auto original = ldb::OpenPlain(ldb_.path());
    // SQLite leaves files beside what it opens.
    const std::string unpacked = folder_.Path(absl::StrCat("copy", i, ".db"));
    std::filesystem::copy_file(folder_.Path("go.db"), unpacked);
    const auto copy = ldb::OpenPlain(unpacked);
    EXPECT_EQ(ldb::Contents(copy.get()), ldb::Contents(original.get()));
  }
  EXPECT_TRUE(std::filesystem::exists(folder_.Path("go.db.gz")));
}

}  // namespace
}  // namespace ctlstore::supervisor
