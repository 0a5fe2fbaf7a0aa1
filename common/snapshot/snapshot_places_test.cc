#include "common/snapshot/snapshot_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/object_store/file_store.h"
#include "common/object_store/testing/faulty_store.h"
#include "common/snapshot/fetch_test_util.h"
#include "common/snapshot/fetch_watch.h"
#include "common/snapshot/progress_meter.h"

namespace ctlstore::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SnapshotPlacesTest : public FetchTest {
 protected:
  SnapshotPlacesTest() : meter_(Clock::Real()), watch_(&meter_, nullptr, nullptr) {}
  ~SnapshotPlacesTest() override {
    for (const std::unique_ptr<Place>& place : places_) {
      if (place->store != nullptr) watch_.Remove(place->store.get());
    }
  }

  void List(const std::vector<std::string>& names, absl::Duration patience) {
    std::vector<Location> locations;
    for (const std::string& name : names) locations.push_back(LocationOf(name));
    places_ = OpenPlaces(
        locations, [this](const object_store::StoreUrl& url) { return OpenFaulty(url); }, &watch_);
    ListPlaces(places_, patience);
  }

  ProgressMeter meter_;
  std::vector<std::unique_ptr<Place>> places_;
  FetchWatch watch_;
};

TEST_F(SnapshotPlacesTest, APlaceThatDoesNotAnswerIsNotWaitedForWhereAnotherHasSome) {
  const TestSnapshot snapshot = Take(10);
  Publish("good", snapshot);
  configure_ = [](const std::string& place, FaultyStore* store) {
    if (place != "stuck") return;
    store->SetHook([store](StoreCall, absl::string_view) {
      while (!absl::IsCancelled(store->base()->Stat("x").status())) std::this_thread::yield();
      return absl::OkStatus();
    });
  };
  List({"stuck", "good"}, absl::Milliseconds(10));
  EXPECT_TRUE(absl::IsUnavailable(places_[0]->status)) << places_[0]->status;
  EXPECT_THAT(std::string(places_[0]->status.message()), HasSubstr("10ms"));
  EXPECT_EQ(places_[1]->status, absl::OkStatus());
  EXPECT_THAT(places_[1]->ids, ElementsAre(snapshot.manifest.id));
}

TEST_F(SnapshotPlacesTest, AnAnswerThatThereIsNothingIsNoReasonToGiveUpAnother) {
  const TestSnapshot snapshot = Take(10);
  Publish("slow", snapshot);
  configure_ = [](const std::string& place, FaultyStore* store) {
    if (place != "slow") return;
    store->SetHook([](StoreCall, absl::string_view) {
      absl::SleepFor(absl::Milliseconds(100));
      return absl::OkStatus();
    });
  };
  List({"nothing", "slow"}, absl::ZeroDuration());
  EXPECT_EQ(places_[0]->status, absl::OkStatus());
  EXPECT_EQ(places_[1]->status, absl::OkStatus());
  EXPECT_THAT(places_[1]->ids, ElementsAre(snapshot.manifest.id));
}

}  // namespace
}  // namespace ctlstore::snapshot
