#include "common/ldb/ldb_flags.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/flags/flag.h"

namespace ctlstore::ldb {
namespace {

TEST(LdbFlagsTest, TheFlagIsThePath) {
  absl::SetFlag(&FLAGS_ldb, "/a/b.db");
  EXPECT_EQ(LdbPathFromFlags(), "/a/b.db");
}

TEST(LdbFlagsTest, WithoutTheFlagItIsTheDefaultPath) {
  absl::SetFlag(&FLAGS_ldb, "");
  setenv("CTLSTORE_PATH", "/elsewhere", 1);
  EXPECT_EQ(LdbPathFromFlags(), "/elsewhere/ldb.db");
}

}  // namespace
}  // namespace ctlstore::ldb
