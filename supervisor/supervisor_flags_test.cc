#include "supervisor/supervisor_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "common/schema/errors.h"
#include "supervisor/reflector_copy.h"

ABSL_DECLARE_FLAG(std::string, ctldb);
ABSL_DECLARE_FLAG(std::string, ldb);
ABSL_DECLARE_FLAG(std::string, ldbs);
ABSL_DECLARE_FLAG(std::string, families);
ABSL_DECLARE_FLAG(std::string, snapshot_urls);
ABSL_DECLARE_FLAG(int64_t, snapshot_interval_s);
ABSL_DECLARE_FLAG(int64_t, snapshot_keep_count);
ABSL_DECLARE_FLAG(int64_t, snapshot_keep_hours);
ABSL_DECLARE_FLAG(std::string, snapshot_compression);
ABSL_DECLARE_FLAG(int64_t, snapshot_compression_level);
ABSL_DECLARE_FLAG(int64_t, snapshot_threads);
ABSL_DECLARE_FLAG(std::string, snapshot_work_path);

namespace ctlstore::supervisor {
namespace {

using reflector::ReplicationState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class SupervisorFlagsTest : public ::testing::Test {
 protected:
  SupervisorFlagsTest() {
    absl::SetFlag(&FLAGS_ctldb, "sqlite:///ctldb.db");
    absl::SetFlag(&FLAGS_ldb, "/x/ldb.db");
    absl::SetFlag(&FLAGS_snapshot_urls, "file:///a,s3://bucket/b");
  }

  static void ExpectRefused(const std::string& flag) {
    const auto flags = SupervisorOptionsFromFlags();
    EXPECT_TRUE(absl::IsInvalidArgument(flags.status())) << flags.status();
    EXPECT_THAT(std::string(flags.status().message()), HasSubstr("--" + flag));
  }

  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(SupervisorFlagsTest, DefaultsAreThoseOfTheClasses) {
  const auto flags = SupervisorOptionsFromFlags();
  ASSERT_TRUE(flags.ok()) << flags.status();
  const Supervisor::Options defaults;
  EXPECT_EQ(flags->supervisor.interval, defaults.interval);
  EXPECT_EQ(flags->supervisor.retention.count, defaults.retention.count);
  EXPECT_EQ(flags->supervisor.retention.age, defaults.retention.age);
  EXPECT_EQ(flags->supervisor.encode.compression, defaults.encode.compression);
  EXPECT_EQ(flags->supervisor.encode.level, defaults.encode.level);
  EXPECT_EQ(flags->supervisor.encode.threads, defaults.encode.threads);
  EXPECT_EQ(flags->supervisor.taker.work_path, "");
  EXPECT_EQ(flags->supervisor.taker.ldb_path, "/x/ldb.db");
  EXPECT_THAT(flags->supervisor.taker.instance, HasSubstr("/"));
}

TEST_F(SupervisorFlagsTest, ItsReflectorBeginsFromWhatIsInTheDestinations) {
  absl::SetFlag(&FLAGS_families, "fam");
  const auto flags = SupervisorOptionsFromFlags();
  ASSERT_TRUE(flags.ok()) << flags.status();
  ASSERT_THAT(flags->supervisor.destinations, SizeIs(2));
  EXPECT_EQ(flags->supervisor.destinations[1].ToString(), "s3://bucket/b");
  ASSERT_THAT(flags->reflector.snapshots, SizeIs(2));
  EXPECT_EQ(flags->reflector.snapshots[0].ToString(), "file:///a");
  ASSERT_THAT(flags->reflector.ldbs, SizeIs(1));
  EXPECT_THAT(flags->reflector.ldbs[0].families, ElementsAre("fam"));
}

TEST_F(SupervisorFlagsTest, TakesWhatTheFlagsSay) {
  absl::SetFlag(&FLAGS_snapshot_interval_s, 0);
  absl::SetFlag(&FLAGS_snapshot_keep_count, 3);
  absl::SetFlag(&FLAGS_snapshot_keep_hours, 48);
  absl::SetFlag(&FLAGS_snapshot_compression, "gzip");
  absl::SetFlag(&FLAGS_snapshot_compression_level, 9);
  absl::SetFlag(&FLAGS_snapshot_threads, 2);
  absl::SetFlag(&FLAGS_snapshot_work_path, "/srv/snapshot-work");
  const auto flags = SupervisorOptionsFromFlags();
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->supervisor.interval, absl::ZeroDuration());
  EXPECT_EQ(flags->supervisor.retention.count, 3);
  EXPECT_EQ(flags->supervisor.retention.age, absl::Hours(48));
  EXPECT_EQ(flags->supervisor.encode.compression, snapshot::Compression::kGzip);
  EXPECT_EQ(flags->supervisor.encode.level, 9);
  EXPECT_EQ(flags->supervisor.encode.threads, 2);
  EXPECT_EQ(flags->supervisor.taker.work_path, "/srv/snapshot-work");
}

TEST_F(SupervisorFlagsTest, NamesTheFlagThatCannotBeUsed) {
  const std::pair<absl::Flag<int64_t>*, std::vector<int64_t>> numbers[] = {
      {&FLAGS_snapshot_interval_s, {-1}},
      {&FLAGS_snapshot_keep_count, {0, -1, int64_t{1} << 40}},
      {&FLAGS_snapshot_keep_hours, {-1}},
      {&FLAGS_snapshot_compression_level, {-1, 20}},
      {&FLAGS_snapshot_threads, {-1, 1000}}};
  for (const auto& [flag, values] : numbers) {
    const int64_t before = absl::GetFlag(*flag);
    for (const int64_t value : values) {
      absl::SetFlag(flag, value);
      ExpectRefused(std::string(absl::GetFlagReflectionHandle(*flag).Name()));
    }
    absl::SetFlag(flag, before);
  }
  absl::SetFlag(&FLAGS_snapshot_compression, "lzma");
  ExpectRefused("snapshot_compression");
  absl::SetFlag(&FLAGS_snapshot_compression, "gzip");
  absl::SetFlag(&FLAGS_snapshot_compression_level, 10);
  ExpectRefused("snapshot_compression_level");
}

TEST_F(SupervisorFlagsTest, PlacesHaveToBeWritableAndDifferent) {
  for (const char* urls :
       {"", "https://host/path", "file:///a,file:///a", "file:///a,ftp://host/b"}) {
    absl::SetFlag(&FLAGS_snapshot_urls, urls);
    ExpectRefused("snapshot_urls");
  }
}

TEST_F(SupervisorFlagsTest, KeepsOneLocalDatabase) {
  absl::SetFlag(&FLAGS_ldb, "");
  absl::SetFlag(&FLAGS_ldbs, "/x/a.db,/x/b.db");
  ExpectRefused("ldbs");
}

// A reflector that is how a test says.
class FakeReflector : public reflector::ReflectorControl {
 public:
  std::vector<reflector::LdbStatus> Status() const override { return {status}; }
  absl::Status SkipEntry(absl::string_view, int64_t) override { return absl::OkStatus(); }
  absl::Status Rebuild(absl::string_view) override { return absl::OkStatus(); }

  reflector::LdbStatus status;
};

TEST(ReflectorCopyTest, IsReadyWhereTheReflectorIsAndKeepsItsFile) {
  FakeReflector reflector;
  reflector.status.applied_sequence = 7;
  reflector.status.ledger_sequence = 8;
  const ReflectorCopy copy(&reflector);
  EXPECT_EQ(copy.applied_sequence(), 7);
  EXPECT_EQ(copy.ledger_sequence(), 8);
  for (const ReplicationState state : {ReplicationState::kCurrent, ReplicationState::kCatchingUp,
                                       ReplicationState::kUpstreamUnavailable}) {
    reflector.status.state = state;
    EXPECT_TRUE(copy.Readiness().ok()) << copy.Readiness();
  }
  reflector.status.applied_sequence = 0;
  EXPECT_THAT(std::string(copy.Readiness().message()), HasSubstr("no entry yet"));
  reflector.status.applied_sequence = 7;
  reflector.status.readiness = absl::UnavailableError("is behind for 2m");
  EXPECT_THAT(std::string(copy.Readiness().message()), HasSubstr("is behind for 2m"));
  reflector.status.readiness = absl::OkStatus();
  for (const ReplicationState state :
       {ReplicationState::kStarting, ReplicationState::kLedgerBehind,
        ReplicationState::kNeedsSnapshot, ReplicationState::kEntryFailed,
        ReplicationState::kLdbUnavailable, ReplicationState::kRebuilding,
        ReplicationState::kFetchingSnapshot}) {
    reflector.status.state = state;
    EXPECT_TRUE(HasReason(copy.Readiness(), reason::kLdbUnavailable));
    EXPECT_THAT(std::string(copy.Readiness().message()),
                HasSubstr(std::string(reflector::ReplicationStateName(state))));
  }
}

}  // namespace
}  // namespace ctlstore::supervisor
