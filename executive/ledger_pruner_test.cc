#include "executive/ledger_pruner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/folder.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/ledger_test_util.h"
#include "executive/testing/log_capture.h"
#include "executive/testing/manual_clock.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Places as a test wants them. Lives on when the pruner, which owns a view of it, has ended.
class FakePlace {
 public:
  explicit FakePlace(std::string url) : url_(std::move(url)) {}

  // A snapshot that stands at this position.
  std::string Add(const LedgerPosition& position) {
    snapshot::Manifest manifest;
    manifest.id = snapshot::NewSnapshotId(position.sequence, absl::FromUnixSeconds(1700000000));
    manifest.position = position;
    manifest.object = manifest.id + ".db.zst";
    manifest.object_sha256 = manifest.id;
    absl::MutexLock lock(&mutex_);
    manifests_[manifest.id] = manifest;
    return manifest.id;
  }

  void Change(const std::string& id, const std::function<void(snapshot::Manifest*)>& change) {
    absl::MutexLock lock(&mutex_);
    change(&manifests_[id]);
  }
  void Remove(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    manifests_.erase(id);
  }

  // What the calls return; OK unless set.
  absl::Status list_status;
  std::map<std::string, absl::Status> manifest_status;
  std::map<std::string, absl::Status> verify_status;
  std::map<std::string, absl::Status> there_status;
  // Called in each Verify().
  std::function<void()> on_verify;

  std::vector<std::string> verified() const {
    absl::MutexLock lock(&mutex_);
    return verified_;
  }
  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }

  std::unique_ptr<SnapshotPlace> View() {
    absl::MutexLock lock(&mutex_);
    cancelled_ = false;
    return std::make_unique<ViewOfIt>(this);
  }

 private:
  class ViewOfIt final : public SnapshotPlace {
   public:
    explicit ViewOfIt(FakePlace* place) : place_(place) {}

    std::string url() const override { return place_->url_; }

    absl::StatusOr<std::vector<std::string>> List() override {
      absl::MutexLock lock(&place_->mutex_);
      if (!place_->list_status.ok()) return place_->list_status;
      std::vector<std::string> ids;
      for (auto i = place_->manifests_.rbegin(); i != place_->manifests_.rend(); ++i) {
        ids.push_back(i->first);
      }
      return ids;
    }

    absl::StatusOr<snapshot::Manifest> ReadManifest(absl::string_view id) override {
      absl::MutexLock lock(&place_->mutex_);
      const auto status = place_->manifest_status.find(std::string(id));
      if (status != place_->manifest_status.end()) return status->second;
      const auto found = place_->manifests_.find(std::string(id));
      if (found == place_->manifests_.end()) return absl::NotFoundError("no manifest");
      return found->second;
    }

    absl::Status Verify(const snapshot::Manifest& manifest) override {
      if (place_->on_verify) place_->on_verify();
      absl::MutexLock lock(&place_->mutex_);
      place_->verified_.push_back(manifest.id);
      if (place_->cancelled_) return absl::CancelledError("cancelled");
      const auto found = place_->verify_status.find(manifest.id);
      return found == place_->verify_status.end() ? absl::OkStatus() : found->second;
    }

    absl::Status CheckIsThere(const snapshot::Manifest& manifest) override {
      absl::MutexLock lock(&place_->mutex_);
      const auto found = place_->there_status.find(manifest.id);
      return found == place_->there_status.end() ? absl::OkStatus() : found->second;
    }

    void Cancel() override {
      absl::MutexLock lock(&place_->mutex_);
      place_->cancelled_ = true;
    }

   private:
    FakePlace* const place_;
  };

  const std::string url_;
  mutable absl::Mutex mutex_;
  std::map<std::string, snapshot::Manifest> manifests_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> verified_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

class LedgerPrunerTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  LedgerPrunerTest() : ctldb_(GetParam()), connection_(ctldb_.Connect()) {
    options_.enabled = true;
    options_.older_than = absl::Hours(24);
    options_.pause = absl::ZeroDuration();
    options_.batch_entries = 7;
    options_.ctldb = ctldb_.target();
    options_.connect = [this] { return Connect(); };
    options_.clock = &clock_;
  }

  absl::StatusOr<std::unique_ptr<ctldb::Connection>> Connect() {
    return WithFaults(ctldb_.Connect(), &faults_);
  }

  std::unique_ptr<LedgerPruner> NewPruner() {
    std::vector<std::unique_ptr<SnapshotPlace>> places;
    for (FakePlace* place : places_) places.push_back(place->View());
    return std::make_unique<LedgerPruner>(options_, std::move(places), &metrics_);
  }

  // Entries one after the other, each of this age.
  void Put(int64_t entries, absl::Duration age, const std::string& statement = "") {
    const std::string time =
        absl::FormatTime("%Y-%m-%d %H:%M:%S", clock_.Now() - age, absl::UTCTimeZone());
    ASSERT_TRUE(connection_->BeginWrite().ok());
    for (int64_t i = 0; i < entries; ++i) {
      ++last_;
      const absl::Status put =
          connection_
              ->Execute(
                  "INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) VALUES (?, ?, ?)",
                  {last_, time, statement.empty() ? absl::StrCat("statement ", last_) : statement})
              .status();
      ASSERT_TRUE(put.ok()) << put;
    }
    ASSERT_TRUE(connection_->Commit().ok());
  }

  LedgerPosition PositionAt(int64_t sequence) {
    const auto entry = ctldb::ReadLedgerEntry(connection_.get(), sequence);
    EXPECT_TRUE(entry.ok() && entry->has_value());
    return entry.ok() && entry->has_value() ? PositionAfter(**entry) : LedgerPosition();
  }

  ctldb::LedgerBounds Bounds() {
    const auto bounds = ctldb::ReadLedgerBounds(connection_.get());
    EXPECT_TRUE(bounds.ok()) << bounds.status();
    return bounds.value_or(ctldb::LedgerBounds());
  }
  int64_t Count() {
    return ctldb::CountEntries(connection_.get(), 1, int64_t{1} << 60, nullptr).value_or(-1);
  }

  static LedgerPruner::Report MustPrune(LedgerPruner* pruner, bool dry_run = false) {
    absl::StatusOr<LedgerPruner::Report> report = pruner->Prune(dry_run, nullptr);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.value_or(LedgerPruner::Report());
  }

  double Metric(const std::string& name, const std::string& label = "") {
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      if (family.name != name) continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        if (!label.empty() && (metric.label.empty() || metric.label[0].value != label)) continue;
        return family.type == prometheus::MetricType::Gauge ? metric.gauge.value
                                                            : metric.counter.value;
      }
    }
    return 0;
  }

  TestCtldb ctldb_;
  const std::unique_ptr<ctldb::Connection> connection_;
  ManualClock clock_;
  Faults faults_;
  prometheus::Registry registry_;
  PruneMetrics metrics_{&registry_};
  LedgerPruner::Options options_;
  FakePlace near_{"file:///near"};
  FakePlace far_{"s3://bucket/far"};
  std::vector<FakePlace*> places_ = {&near_, &far_};
  int64_t last_ = 0;
};

TEST_P(LedgerPrunerTest, RemovesWhatIsOldAndCoveredEverywhere) {
  LogCapture log;
  Put(100, absl::Hours(48));
  const std::string id = near_.Add(PositionAt(60));
  far_.Add(PositionAt(60));
  far_.Add(PositionAt(80));
  const auto pruner = NewPruner();
  const LedgerPruner::Report report = MustPrune(pruner.get());
  EXPECT_EQ(report.first_sequence, 1);
  EXPECT_EQ(report.last_sequence, 100);
  EXPECT_EQ(report.old_through, 100);
  EXPECT_EQ(report.covered_through, 60);
  EXPECT_EQ(report.pruned_through, 59);
  EXPECT_EQ(report.pruned_entries, 59);
  ASSERT_EQ(report.places.size(), 2);
  EXPECT_EQ(report.places[0].url, "file:///near");
  EXPECT_EQ(report.places[0].snapshot_id, id);
  EXPECT_EQ(report.places[0].sequence, 60);
  EXPECT_EQ(report.places[1].sequence, 80);
  EXPECT_EQ(Bounds().first, 60);
  EXPECT_EQ(Count(), 41);
  EXPECT_THAT(log.Lines("event=ledger_pruned from=1 through=59 entries=59 duration_ms="),
              testing::SizeIs(1));
  EXPECT_EQ(Metric("ctlstore_executive_pruned_entries_total"), 59);
  EXPECT_EQ(Metric("ctlstore_executive_prune_first_sequence"), 60);
  EXPECT_EQ(Metric("ctlstore_executive_prune_covered_sequence"), 60);
  EXPECT_EQ(Metric("ctlstore_executive_prune_last_round_timestamp_seconds"),
            absl::ToUnixSeconds(clock_.Now()));

  // The snapshot can be told to be of this ledger later, too.
  const LedgerPruner::Report again = MustPrune(pruner.get());
  EXPECT_EQ(again.covered_through, 60);
  EXPECT_EQ(again.pruned_through, 0);
  EXPECT_EQ(again.pruned_entries, 0);
  EXPECT_THAT(log.Lines("event=ledger_not_pruned first=60 last=100"), testing::SizeIs(1));
}

TEST_P(LedgerPrunerTest, WhatIsWithinTheRetentionTimeStays) {
  Put(30, absl::Hours(25));
  Put(30, absl::Hours(23));
  for (FakePlace* place : places_) place->Add(PositionAt(60));
  const auto pruner = NewPruner();
  LedgerPruner::Report report = MustPrune(pruner.get());
  EXPECT_EQ(report.old_through, 30);
  EXPECT_EQ(report.covered_through, 60);
  EXPECT_EQ(report.pruned_through, 30);
  EXPECT_EQ(Bounds().first, 31);
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(MustPrune(pruner.get()).pruned_through, 0);
  clock_.Advance(absl::Minutes(2));
  // The last entry stays, and that of the snapshot.
  report = MustPrune(pruner.get());
  EXPECT_EQ(report.old_through, 60);
  EXPECT_EQ(report.pruned_through, 59);
  EXPECT_EQ(Bounds().first, 60);
  // Sequences go on without a gap.
  EXPECT_EQ(AppendToLedger(connection_.get(), {"next"}), 61);
}

TEST_P(LedgerPrunerTest, AYoungEntryKeepsAllThatFollowsIt) {
  Put(20, absl::Hours(48));
  Put(1, absl::Hours(1));
  Put(60, absl::Hours(47));
  for (FakePlace* place : places_) place->Add(PositionAt(81));
  const LedgerPruner::Report report = MustPrune(NewPruner().get());
  EXPECT_EQ(report.old_through, 20);
  EXPECT_EQ(report.pruned_through, 20);
  EXPECT_EQ(Bounds().first, 21);
}

TEST_P(LedgerPrunerTest, ALedgerTransactionStaysWhole) {
  Put(10, absl::Hours(48));
  Put(1, absl::Hours(48), kBeginMarker);
  Put(3, absl::Hours(48));
  Put(1, absl::Hours(48), kCommitMarker);
  Put(1, absl::Hours(1));
  for (FakePlace* place : places_) place->Add(PositionAt(15));
  EXPECT_EQ(MustPrune(NewPruner().get()).pruned_through, 10);
  EXPECT_EQ(Bounds().first, 11);
}

TEST_P(LedgerPrunerTest, OnePlaceThatDoesNotCoverKeepsEverything) {
  Put(50, absl::Hours(48));
  const LedgerPosition position = PositionAt(40);
  near_.Add(position);
  const std::string id = far_.Add(position);
  const auto pruner = NewPruner();
  const auto expect_reason = [&](const std::string& words) {
    for (const bool dry_run : {true, false}) {
      const LedgerPruner::Report report = MustPrune(pruner.get(), dry_run);
      EXPECT_EQ(report.covered_through, 0) << words;
      EXPECT_EQ(report.pruned_through, 0) << words;
      ASSERT_EQ(report.places.size(), 2);
      EXPECT_TRUE(report.places[0].error.ok()) << report.places[0].error;
      EXPECT_THAT(std::string(report.places[1].error.message()), HasSubstr(words));
      EXPECT_THAT(report.places[1].snapshot_id, IsEmpty());
    }
    EXPECT_EQ(Count(), 50);
  };

  far_.list_status = absl::UnavailableError("no answer");
  expect_reason("no answer");
  far_.list_status = absl::OkStatus();

  far_.Remove(id);
  expect_reason("there is no snapshot");
  EXPECT_EQ(Metric("ctlstore_executive_prune_errors_total", "SNAPSHOT_NOT_FOUND"), 1);

  const std::string partial = far_.Add(position);
  far_.Change(partial, [](snapshot::Manifest* manifest) { manifest->families = {"some"}; });
  expect_reason("some of the families");

  const auto with_position = [&](const LedgerPosition& other) {
    far_.Change(partial, [&](snapshot::Manifest* manifest) {
      manifest->families.clear();
      manifest->position = other;
    });
  };
  with_position({40, std::string(16, 'x')});
  expect_reason("of another ledger");
  EXPECT_EQ(Metric("ctlstore_executive_prune_errors_total", "LEDGER_DIVERGED"), 1);
  with_position({40, ""});
  expect_reason("does not tell which ledger");
  with_position(PositionAt(41));
  expect_reason("its manifest is of the sequence 41");

  with_position(position);
  far_.manifest_status[partial] = absl::UnavailableError("no manifest now");
  expect_reason("no manifest now");
  far_.manifest_status[partial] =
      ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, "half a manifest");
  expect_reason("half a manifest");
  EXPECT_THAT(far_.verified(), IsEmpty());
  far_.manifest_status.clear();

  far_.verify_status[partial] = absl::UnavailableError("connection lost");
  expect_reason("connection lost");
  far_.verify_status[partial] = absl::NotFoundError("the object is gone");
  expect_reason("the object is gone");
  far_.verify_status[partial] =
      ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, "chunk 3 differs");
  expect_reason("chunk 3 differs");
  EXPECT_EQ(Metric("ctlstore_executive_prune_errors_total", "SNAPSHOT_DAMAGED"), 2);

  // Ahead of the ledger: it was restored from an older state, or is another one.
  far_.Remove(partial);
  far_.Add({51, std::string(16, 'x')});
  expect_reason("has no entry 51");

  far_.verify_status.clear();
  far_.Add(PositionAt(30));
  EXPECT_EQ(MustPrune(pruner.get()).pruned_through, 29);
}

TEST_P(LedgerPrunerTest, AnOlderGoodSnapshotCoversLess) {
  LogCapture log;
  Put(50, absl::Hours(48));
  places_ = {&near_};
  const std::string newest = near_.Add(PositionAt(40));
  near_.Add(PositionAt(30));
  near_.verify_status[newest] = absl::DataLossError("flipped bits");
  const auto pruner = NewPruner();
  const LedgerPruner::Report report = MustPrune(pruner.get());
  EXPECT_TRUE(report.places[0].error.ok());
  EXPECT_EQ(report.covered_through, 30);
  EXPECT_EQ(report.pruned_through, 29);
  EXPECT_THAT(log.Lines("event=snapshot_damaged url=file:///near"), testing::SizeIs(1));
  // Nor is it read again and again to find it damaged.
  MustPrune(pruner.get());
  EXPECT_EQ(near_.verified().size(), 2);
}

TEST_P(LedgerPrunerTest, ASnapshotIsReadOnceInAWhile) {
  Put(20, absl::Hours(48));
  Put(30, absl::Hours(1));
  places_ = {&near_};
  const std::string first = near_.Add(PositionAt(30));
  const auto pruner = NewPruner();
  EXPECT_EQ(MustPrune(pruner.get(), /*dry_run=*/true).covered_through, 30);
  EXPECT_EQ(MustPrune(pruner.get()).pruned_through, 20);
  EXPECT_THAT(near_.verified(), ElementsAre(first));
  // One that was read lately is enough for what is old, so that the newer one need not be read.
  const std::string second = near_.Add(PositionAt(45));
  EXPECT_EQ(MustPrune(pruner.get()).covered_through, 30);
  EXPECT_THAT(near_.verified(), ElementsAre(first));
  // When its object is gone, that is seen at once.
  near_.there_status[first] = absl::NotFoundError("gone");
  EXPECT_EQ(MustPrune(pruner.get()).covered_through, 45);
  EXPECT_THAT(near_.verified(), ElementsAre(first, second));
  clock_.Advance(absl::Hours(23));
  EXPECT_EQ(MustPrune(pruner.get()).covered_through, 45);
  EXPECT_EQ(near_.verified().size(), 2);
  // What has become old since needs the newer one.
  EXPECT_EQ(Bounds().first, 21);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(MustPrune(pruner.get()).pruned_through, 44);
  EXPECT_THAT(near_.verified(), ElementsAre(first, second, second));
  // Another object under the same name.
  near_.Change(second, [](snapshot::Manifest* manifest) { manifest->object_sha256 = "other"; });
  MustPrune(pruner.get());
  EXPECT_EQ(near_.verified().size(), 4);
}

TEST_P(LedgerPrunerTest, ADryRunTellsWhatARunThenDoes) {
  Put(40, absl::Hours(48));
  Put(1, absl::Hours(48), kBeginMarker);
  Put(3, absl::Hours(48));
  Put(1, absl::Hours(48), kCommitMarker);
  Put(20, absl::Hours(1));
  for (FakePlace* place : places_) place->Add(PositionAt(65));
  options_.enabled = false;
  const LedgerPruner::Report dry = MustPrune(NewPruner().get(), /*dry_run=*/true);
  EXPECT_EQ(dry.pruned_through, 45);
  EXPECT_EQ(dry.pruned_entries, 45);
  EXPECT_EQ(Count(), 65);
  EXPECT_EQ(Metric("ctlstore_executive_pruned_entries_total"), 0);
  options_.enabled = true;
  const LedgerPruner::Report report = MustPrune(NewPruner().get());
  EXPECT_EQ(report.pruned_through, dry.pruned_through);
  EXPECT_EQ(report.pruned_entries, dry.pruned_entries);
  EXPECT_EQ(report.old_through, dry.old_through);
  EXPECT_EQ(report.covered_through, dry.covered_through);
  EXPECT_EQ(Count(), 20);
}

TEST_P(LedgerPrunerTest, NothingGoesWithoutPermissionOrPlaces) {
  Put(50, absl::Hours(48));
  near_.Add(PositionAt(40));
  far_.Add(PositionAt(40));
  options_.enabled = false;
  absl::Status status = NewPruner()->Prune(/*dry_run=*/false, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorReason(status), reason::kPruningDisabled);
  options_.enabled = true;
  places_.clear();
  for (const bool dry_run : {true, false}) {
    status = NewPruner()->Prune(dry_run, nullptr).status();
    EXPECT_EQ(ErrorReason(status), reason::kPruningDisabled) << status;
  }
  EXPECT_EQ(Count(), 50);
}

TEST_P(LedgerPrunerTest, AnEmptyLedgerAndOneOfASingleEntryStay) {
  const auto pruner = NewPruner();
  EXPECT_EQ(MustPrune(pruner.get()).pruned_through, 0);
  Put(1, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(1));
  EXPECT_EQ(MustPrune(pruner.get()).pruned_through, 0);
  EXPECT_EQ(Count(), 1);
}

TEST_P(LedgerPrunerTest, OfTwoExecutivesOneWorks) {
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(40));
  absl::Notification verifying;
  absl::Notification go_on;
  near_.on_verify = [&] {
    if (verifying.HasBeenNotified()) return;
    verifying.Notify();
    go_on.WaitForNotification();
  };
  const auto pruner = NewPruner();
  const auto other = NewPruner();
  LedgerPruner::Report report;
  std::thread first([&] { report = MustPrune(pruner.get()); });
  verifying.WaitForNotification();
  for (LedgerPruner* refused : {pruner.get(), other.get()}) {
    const absl::Status status = refused->Prune(/*dry_run=*/false, nullptr).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy);
  }
  // That is how it should be.
  EXPECT_EQ(Metric("ctlstore_executive_prune_errors_total"), 0);
  EXPECT_EQ(MustPrune(other.get(), /*dry_run=*/true).pruned_through, 39);
  go_on.Notify();
  first.join();
  EXPECT_EQ(report.pruned_entries, 39);
  EXPECT_EQ(MustPrune(other.get()).pruned_entries, 0);
  EXPECT_EQ(Count(), 11);
}

TEST_P(LedgerPrunerTest, AFailureInTheMiddleIsToldAndTheNextRoundGoesOn) {
  LogCapture log;
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(40));
  int removals = 0;
  faults_.statement = [&](absl::string_view statement) -> absl::Status {
    if (!absl::StartsWith(statement, "DELETE") || ++removals != 3) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, "gone away");
  };
  const auto pruner = NewPruner();
  const absl::Status status = pruner->Prune(/*dry_run=*/false, nullptr).status();
  EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("after 14 entries up to 14 were removed"));
  EXPECT_THAT(log.Lines("event=ledger_pruned from=1 through=14 entries=14"), testing::SizeIs(1));
  EXPECT_EQ(Metric("ctlstore_executive_prune_errors_total", "CTLDB_UNAVAILABLE"), 1);
  EXPECT_EQ(Bounds().first, 15);
  const LedgerPruner::Report report = MustPrune(pruner.get());
  EXPECT_EQ(report.first_sequence, 15);
  EXPECT_EQ(report.pruned_entries, 25);
  EXPECT_EQ(Metric("ctlstore_executive_pruned_entries_total"), 39);
}

TEST_P(LedgerPrunerTest, ACtldbThatDoesNotAnswerIsAnError) {
  Put(5, absl::Hours(48));
  faults_.statement = [](absl::string_view) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable, "away");
  };
  const auto pruner = NewPruner();
  EXPECT_EQ(ErrorReason(pruner->Prune(/*dry_run=*/true, nullptr).status()),
            reason::kCtldbUnavailable);
  options_.connect = [] {
    return absl::StatusOr<std::unique_ptr<ctldb::Connection>>(absl::UnavailableError("closed"));
  };
  EXPECT_TRUE(absl::IsUnavailable(NewPruner()->Prune(/*dry_run=*/false, nullptr).status()));
}

TEST_P(LedgerPrunerTest, AConnectionLostWhileSnapshotsAreReadIsReplaced) {
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(40));
  int opened = 0;
  ctldb::Connection* current = nullptr;
  options_.connect = [&] {
    ++opened;
    absl::StatusOr<std::unique_ptr<ctldb::Connection>> connection = Connect();
    current = connection->get();
    return connection;
  };
  far_.on_verify = [&] { current->Interrupt(); };
  EXPECT_EQ(MustPrune(NewPruner().get()).pruned_entries, 39);
  EXPECT_EQ(opened, 2);
}

TEST_P(LedgerPrunerTest, AnImpatientCallerEndsIt) {
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(40));
  const auto pruner = NewPruner();
  EXPECT_TRUE(absl::IsCancelled(pruner->Prune(false, [] { return true; }).status()));
  EXPECT_EQ(Count(), 50);
  const absl::Status status = pruner->Prune(false, [this] { return Bounds().first > 10; }).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(Bounds().first, 15);
}

TEST_P(LedgerPrunerTest, StopEndsWhatIsUnderWay) {
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(40));
  const auto pruner = NewPruner();
  near_.on_verify = [&] { pruner->Stop(); };
  EXPECT_TRUE(absl::IsCancelled(pruner->Prune(false, nullptr).status()));
  EXPECT_TRUE(near_.cancelled());
  EXPECT_TRUE(far_.cancelled());
  EXPECT_TRUE(absl::IsCancelled(pruner->Prune(true, nullptr).status()));
  EXPECT_EQ(Count(), 50);
}

TEST_P(LedgerPrunerTest, StopEndsAPause) {
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(40));
  options_.pause = absl::Hours(1);
  const auto pruner = NewPruner();
  absl::Status status;
  std::thread round([&] { status = pruner->Prune(false, nullptr).status(); });
  EXPECT_TRUE(Eventually([&] { return Metric("ctlstore_executive_pruned_entries_total") > 0; }));
  pruner->Stop();
  round.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(Bounds().first, 8);
}

TEST_P(LedgerPrunerTest, RoundsComeByThemselves) {
  Put(50, absl::Hours(48));
  for (FakePlace* place : places_) place->Add(PositionAt(20));
  options_.interval = absl::Milliseconds(2);
  const auto pruner = NewPruner();
  pruner->Start();
  EXPECT_TRUE(Eventually([&] { return Bounds().first == 20; }));
  for (FakePlace* place : places_) place->Add(PositionAt(45));
  EXPECT_TRUE(Eventually([&] { return Bounds().first == 45; }));
}

INSTANTIATE_TEST_SUITE_P(BothKinds, LedgerPrunerTest,
                         testing::Values(TestCtldb::Kind::kMariadb, TestCtldb::Kind::kSqlite),
                         [](const testing::TestParamInfo<TestCtldb::Kind>& info) {
                           return KindName(info.param);
                         });

}  // namespace
}  // namespace ctlstore::executive
