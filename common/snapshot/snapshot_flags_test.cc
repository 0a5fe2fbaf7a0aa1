#include "common/snapshot/snapshot_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"

ABSL_DECLARE_FLAG(std::string, snapshot_urls);

namespace ctlstore::snapshot {
namespace {

using ::testing::HasSubstr;

class SnapshotFlagsTest : public ::testing::Test {
 protected:
  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(SnapshotFlagsTest, ThereAreNoSnapshotsUnlessTheirPlaceIsNamed) {
  const auto locations = LocationsFromFlags();
  ASSERT_TRUE(locations.ok()) << locations.status();
  EXPECT_TRUE(locations->empty());
}

TEST_F(SnapshotFlagsTest, NamesSeveralPlaces) {
  absl::SetFlag(&FLAGS_snapshot_urls, "file:///backup/a,s3://bucket/ldb.db.gz");
  const auto locations = LocationsFromFlags();
  ASSERT_TRUE(locations.ok()) << locations.status();
  ASSERT_EQ(locations->size(), 2u);
  EXPECT_EQ((*locations)[0].form, Location::Form::kFolder);
  EXPECT_EQ((*locations)[1].form, Location::Form::kSingleObject);
}

TEST_F(SnapshotFlagsTest, ErrorsNameTheFlag) {
  absl::SetFlag(&FLAGS_snapshot_urls, "file:///backup/a,backup/b");
  const absl::Status status = LocationsFromFlags().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--snapshot_urls: URL 2 of 2: "));
}

}  // namespace
}  // namespace ctlstore::snapshot
