#include "common/snapshot/snapshot_candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/time/time.h"
#include "common/snapshot/folder.h"

namespace ctlstore::snapshot {
namespace {

using ::testing::ElementsAre;

const absl::Time kTaken = absl::FromUnixSeconds(1772496000);

std::vector<std::string> Ids(const std::vector<Candidate>& candidates) {
  std::vector<std::string> ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  return ids;
}

TEST(SnapshotCandidatesTest, TheNewestComesFirstWithAllItsPlaces) {
  const std::string a = NewSnapshotId(9, kTaken), b = NewSnapshotId(10, kTaken),
                    c = NewSnapshotId(10, kTaken + absl::Seconds(1)),
                    d = NewSnapshotId(1000000, kTaken - absl::Hours(1));
  const std::vector<FolderListing> folders = {
      {"file:///1", {a, c}}, {"file:///2", {}}, {"file:///3", {b, c, d, "rubbish", c}}};
  size_t found = 0;
  const std::vector<Candidate> candidates = OrderCandidates(folders, -1, {}, &found);
  EXPECT_EQ(found, 4u);
  EXPECT_THAT(Ids(candidates), ElementsAre(d, c, b, a));
  EXPECT_THAT(candidates[0].places, ElementsAre(2));
  EXPECT_THAT(candidates[1].places, ElementsAre(0, 2));
  EXPECT_EQ(candidates[3].sequence, 9);
}

TEST(SnapshotCandidatesTest, WhatIsNotAboveOrIsExcludedIsLeftOut) {
  const std::string a = NewSnapshotId(9, kTaken), b = NewSnapshotId(10, kTaken),
                    c = NewSnapshotId(11, kTaken);
  const std::vector<FolderListing> folders = {{"file:///1", {a, b, c}}, {"file:///2", {a, b, c}}};
  size_t found = 0;
  EXPECT_THAT(Ids(OrderCandidates(folders, 9, {}, &found)), ElementsAre(c, b));
  EXPECT_EQ(found, 3u);
  EXPECT_THAT(Ids(OrderCandidates(folders, 9, {FolderKey("file:///2", c)}, nullptr)),
              ElementsAre(b));
  EXPECT_THAT(Ids(OrderCandidates(folders, 9, {FolderKey("file:///3", c)}, nullptr)),
              ElementsAre(c, b));
}

TEST(SnapshotCandidatesTest, TheOrderDoesNotDependOnWhereTheyAre) {
  std::mt19937 random(1);
  std::vector<std::string> ids;
  for (int i = 0; i < 50; ++i) {
    ids.push_back(NewSnapshotId(random() % 20, kTaken + absl::Seconds(random() % 3)));
  }
  std::vector<std::string> expected = ids;
  std::sort(expected.rbegin(), expected.rend());
  for (int i = 0; i < 20; ++i) {
    std::vector<FolderListing> folders = {{"file:///1", {}}, {"file:///2", {}}, {"file:///3", {}}};
    std::shuffle(ids.begin(), ids.end(), random);
    for (const std::string& id : ids) folders[random() % 3].ids.push_back(id);
    EXPECT_EQ(Ids(OrderCandidates(folders, -1, {}, nullptr)), expected);
  }
}

TEST(SnapshotCandidatesTest, AllFamiliesHaveEachFamily) {
  EXPECT_TRUE(HasFamilies({}, {}));
  EXPECT_TRUE(HasFamilies({}, {"a"}));
  EXPECT_FALSE(HasFamilies({"a"}, {}));
  EXPECT_TRUE(HasFamilies({"a", "b", "c"}, {"a", "c"}));
  EXPECT_FALSE(HasFamilies({"a", "c"}, {"a", "b"}));
}

}  // namespace
}  // namespace ctlstore::snapshot
