#include "reflector/reflector_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_DECLARE_FLAG(int64_t, poll_interval_ms);
ABSL_DECLARE_FLAG(double, poll_jitter);
ABSL_DECLARE_FLAG(int64_t, max_entries_per_query);
ABSL_DECLARE_FLAG(int64_t, max_bytes_per_query);
ABSL_DECLARE_FLAG(int64_t, max_read_ahead_bytes);
ABSL_DECLARE_FLAG(int64_t, max_commit_entries);
ABSL_DECLARE_FLAG(int64_t, max_commit_bytes);
ABSL_DECLARE_FLAG(int64_t, max_commit_ms);
ABSL_DECLARE_FLAG(int64_t, checkpoint_wal_bytes);
ABSL_DECLARE_FLAG(int64_t, max_wal_bytes);
ABSL_DECLARE_FLAG(int64_t, change_history_bytes);
ABSL_DECLARE_FLAG(int64_t, changelog_max_bytes);
ABSL_DECLARE_FLAG(int64_t, ledger_first_sequence);
ABSL_DECLARE_FLAG(std::string, upstream);
ABSL_DECLARE_FLAG(std::string, ctldb);
ABSL_DECLARE_FLAG(std::string, ldb);
ABSL_DECLARE_FLAG(std::string, ldbs);
ABSL_DECLARE_FLAG(std::string, families);
ABSL_DECLARE_FLAG(std::string, changelog_path);

namespace ctlstore::reflector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReflectorFlagsTest : public ::testing::Test {
 protected:
  // Puts the flags back.
  absl::FlagSaver saver_;
};

TEST_F(ReflectorFlagsTest, DefaultsAreThoseOfTheClasses) {
  ReflectorRunner::Options options;
  const absl::Status status = ReadReflectorFlags(&options);
  ASSERT_TRUE(status.ok()) << status;
  const ReflectorRunner::Options defaults;
  EXPECT_EQ(options.poll_interval, defaults.poll_interval);
  EXPECT_EQ(options.poll_jitter, defaults.poll_jitter);
  EXPECT_EQ(options.reflector.max_entries_per_query, defaults.reflector.max_entries_per_query);
  EXPECT_EQ(options.reflector.max_bytes_per_query, defaults.reflector.max_bytes_per_query);
  EXPECT_EQ(options.writer.checkpoint_wal_bytes, defaults.writer.checkpoint_wal_bytes);
  EXPECT_EQ(options.reflector.max_queue_bytes, defaults.reflector.max_queue_bytes);
  EXPECT_EQ(options.writer.max_commit_entries, defaults.writer.max_commit_entries);
  EXPECT_EQ(options.writer.max_commit_bytes, defaults.writer.max_commit_bytes);
  EXPECT_EQ(options.writer.max_commit_time, defaults.writer.max_commit_time);
  EXPECT_EQ(options.writer.max_wal_bytes, defaults.writer.max_wal_bytes);
  EXPECT_EQ(options.writer.change_history_bytes, defaults.writer.change_history_bytes);
  EXPECT_EQ(options.changelog_max_bytes, defaults.changelog_max_bytes);
  EXPECT_EQ(options.ledger_first_sequence, defaults.ledger_first_sequence);
  EXPECT_EQ(options.reflector.ready_within, absl::Minutes(1));
}

TEST_F(ReflectorFlagsTest, TakesWhatTheFlagsSay) {
  absl::SetFlag(&FLAGS_poll_interval_ms, 20);
  absl::SetFlag(&FLAGS_poll_jitter, 0.5);
  absl::SetFlag(&FLAGS_max_entries_per_query, 30);
  absl::SetFlag(&FLAGS_max_bytes_per_query, 40);
  absl::SetFlag(&FLAGS_checkpoint_wal_bytes, 50);
  absl::SetFlag(&FLAGS_max_read_ahead_bytes, 60);
  absl::SetFlag(&FLAGS_max_commit_entries, 70);
  absl::SetFlag(&FLAGS_max_commit_bytes, 80);
  absl::SetFlag(&FLAGS_max_commit_ms, 90);
  absl::SetFlag(&FLAGS_max_wal_bytes, 100);
  absl::SetFlag(&FLAGS_change_history_bytes, 0);
  absl::SetFlag(&FLAGS_changelog_max_bytes, 110);
  absl::SetFlag(&FLAGS_ledger_first_sequence, 120);
  ReflectorRunner::Options options;
  const absl::Status status = ReadReflectorFlags(&options);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(options.poll_interval, absl::Milliseconds(20));
  EXPECT_EQ(options.poll_jitter, 0.5);
  EXPECT_EQ(options.reflector.max_entries_per_query, 30);
  EXPECT_EQ(options.reflector.max_bytes_per_query, 40);
  EXPECT_EQ(options.writer.checkpoint_wal_bytes, 50);
  EXPECT_EQ(options.reflector.max_queue_bytes, 60);
  EXPECT_EQ(options.writer.max_commit_entries, 70);
  EXPECT_EQ(options.writer.max_commit_bytes, 80);
  EXPECT_EQ(options.writer.max_commit_time, absl::Milliseconds(90));
  EXPECT_EQ(options.writer.max_wal_bytes, 100);
  EXPECT_EQ(options.writer.change_history_bytes, 0);
  EXPECT_EQ(options.changelog_max_bytes, 110);
  EXPECT_EQ(options.ledger_first_sequence, 120);
}

TEST_F(ReflectorFlagsTest, WhoLooksSeldomIsReadyAllTheSame) {
  absl::SetFlag(&FLAGS_poll_interval_ms, 100 * 1000);
  ReflectorRunner::Options options;
  const absl::Status status = ReadReflectorFlags(&options);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(options.reflector.ready_within, absl::Seconds(300));
}

TEST_F(ReflectorFlagsTest, WhatCannotBeUsedIsNamed) {
  ReflectorRunner::Options options;
  absl::SetFlag(&FLAGS_max_bytes_per_query, 0);
  EXPECT_THAT(ReadReflectorFlags(&options).ToString(), HasSubstr("--max_bytes_per_query"));
  absl::SetFlag(&FLAGS_max_bytes_per_query, 1);
  absl::SetFlag(&FLAGS_poll_interval_ms, -1);
  EXPECT_THAT(ReadReflectorFlags(&options).ToString(), HasSubstr("--poll_interval_ms"));
  absl::SetFlag(&FLAGS_poll_interval_ms, 1);
  absl::SetFlag(&FLAGS_poll_jitter, 1.5);
  EXPECT_THAT(ReadReflectorFlags(&options).ToString(), HasSubstr("--poll_jitter"));
  absl::SetFlag(&FLAGS_poll_jitter, 0);
  absl::SetFlag(&FLAGS_max_wal_bytes, 1000);
  EXPECT_THAT(ReadReflectorFlags(&options).ToString(), HasSubstr("--max_wal_bytes"));
  absl::SetFlag(&FLAGS_max_wal_bytes, int64_t{2} << 30);
  absl::SetFlag(&FLAGS_change_history_bytes, -1);
  EXPECT_THAT(ReadReflectorFlags(&options).ToString(), HasSubstr("--change_history_bytes"));
}

TEST_F(ReflectorFlagsTest, OneLdbIsWhatItsOwnFlagsSay) {
  absl::SetFlag(&FLAGS_ctldb, "sqlite:///ctldb.db");
  absl::SetFlag(&FLAGS_ldb, "/some/ldb.db");
  absl::SetFlag(&FLAGS_families, "geo, Flags,geo");
  absl::SetFlag(&FLAGS_changelog_path, "/some/changes");
  const auto options = ReflectorOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->ctldb.path, "/ctldb.db");
  EXPECT_THAT(options->upstreams, IsEmpty());
  ASSERT_THAT(options->ldbs, SizeIs(1));
  EXPECT_EQ(options->ldbs[0].path, "/some/ldb.db");
  EXPECT_THAT(options->ldbs[0].families, ElementsAre("flags", "geo"));
  EXPECT_EQ(options->ldbs[0].changelog_path, "/some/changes");
  absl::SetFlag(&FLAGS_families, "geo,,x");
  EXPECT_THAT(ReflectorOptionsFromFlags().status().ToString(), HasSubstr("--families"));
}

TEST_F(ReflectorFlagsTest, UpstreamsTakeThePlaceOfTheCtldb) {
  EXPECT_THAT(ReflectorOptionsFromFlags().status().ToString(), HasSubstr("--ctldb"));
  absl::SetFlag(&FLAGS_upstream, "grpc://localhost:3000,mysql://user@replica/ctldb");
  const auto options = ReflectorOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_THAT(options->upstreams, SizeIs(2));
  EXPECT_EQ(options->upstreams[0].ToString(), "grpc://localhost:3000");
  EXPECT_EQ(options->upstreams[1].ctldb.host, "replica");
  absl::SetFlag(&FLAGS_upstream, "http://localhost:3000");
  EXPECT_THAT(ReflectorOptionsFromFlags().status().ToString(), HasSubstr("--upstream"));
}

TEST_F(ReflectorFlagsTest, SeveralLdbsHaveTheirOwnFamiliesAndChangelogs) {
  absl::SetFlag(&FLAGS_ctldb, "sqlite:///ctldb.db");
  absl::SetFlag(&FLAGS_ldbs, "/a.db, /b.db?families=geo+flags&changelog=/b.changes");
  const auto options = ReflectorOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_THAT(options->ldbs, SizeIs(2));
  EXPECT_EQ(options->ldbs[0].path, "/a.db");
  EXPECT_THAT(options->ldbs[0].families, IsEmpty());
  EXPECT_EQ(options->ldbs[0].changelog_path, "");
  EXPECT_EQ(options->ldbs[1].path, "/b.db");
  EXPECT_THAT(options->ldbs[1].families, ElementsAre("flags", "geo"));
  EXPECT_EQ(options->ldbs[1].changelog_path, "/b.changes");
  absl::SetFlag(&FLAGS_families, "geo");
  EXPECT_THAT(ReflectorOptionsFromFlags().status().ToString(), HasSubstr("--families"));
}

TEST_F(ReflectorFlagsTest, LdbsThatCannotBeAreNamed) {
  for (const auto& [text, wanted] :
       {std::make_pair("/a,", "local database 2: has no path"),
        std::make_pair("/a?families=", "families= names none"),
        std::make_pair("/a?families=geo+x y", "family"),
        std::make_pair("/a?changelog=", "changelog= has no path"),
        std::make_pair("/a?colour=red", "\"colour\""),
        std::make_pair("/a,/b,/a", "local database 3: its path is there twice"),
        std::make_pair("/a?changelog=/c,/b?changelog=/c", "same changelog")}) {
    const auto ldbs = ParseLdbs(text);
    EXPECT_EQ(ldbs.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(ldbs.status().message()), HasSubstr(wanted)) << text;
  }
}

}  // namespace
}  // namespace ctlstore::reflector
