#include "reflector/reflector_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_DECLARE_FLAG(int64_t, poll_interval_ms);
ABSL_DECLARE_FLAG(double, poll_jitter);
ABSL_DECLARE_FLAG(int64_t, max_entries_per_query);
ABSL_DECLARE_FLAG(int64_t, max_bytes_per_query);
ABSL_DECLARE_FLAG(int64_t, checkpoint_wal_bytes);

namespace ctlstore::reflector {
namespace {

using ::testing::HasSubstr;

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
  EXPECT_EQ(options.reflector.poll_interval, defaults.reflector.poll_interval);
  EXPECT_EQ(options.reflector.poll_jitter, defaults.reflector.poll_jitter);
  EXPECT_EQ(options.reflector.max_entries_per_query, defaults.reflector.max_entries_per_query);
  EXPECT_EQ(options.reflector.max_bytes_per_query, defaults.reflector.max_bytes_per_query);
  EXPECT_EQ(options.writer.checkpoint_wal_bytes, defaults.writer.checkpoint_wal_bytes);
  EXPECT_EQ(options.ready_within, absl::Minutes(1));
}

TEST_F(ReflectorFlagsTest, TakesWhatTheFlagsSay) {
  absl::SetFlag(&FLAGS_poll_interval_ms, 20);
  absl::SetFlag(&FLAGS_poll_jitter, 0.5);
  absl::SetFlag(&FLAGS_max_entries_per_query, 30);
  absl::SetFlag(&FLAGS_max_bytes_per_query, 40);
  absl::SetFlag(&FLAGS_checkpoint_wal_bytes, 50);
  ReflectorRunner::Options options;
  const absl::Status status = ReadReflectorFlags(&options);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(options.reflector.poll_interval, absl::Milliseconds(20));
  EXPECT_EQ(options.reflector.poll_jitter, 0.5);
  EXPECT_EQ(options.reflector.max_entries_per_query, 30);
  EXPECT_EQ(options.reflector.max_bytes_per_query, 40);
  EXPECT_EQ(options.writer.checkpoint_wal_bytes, 50);
}

TEST_F(ReflectorFlagsTest, WhoLooksSeldomIsReadyAllTheSame) {
  absl::SetFlag(&FLAGS_poll_interval_ms, 100 * 1000);
  ReflectorRunner::Options options;
  const absl::Status status = ReadReflectorFlags(&options);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(options.ready_within, absl::Seconds(300));
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
}

}  // namespace
}  // namespace ctlstore::reflector
