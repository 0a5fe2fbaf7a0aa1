#include "common/ldb/ldb_locator.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

class LdbLocatorTest : public testing::Test {
 protected:
  // Makes a file, with its folders.
  std::string Make(const std::string& name) {
    const std::filesystem::path path(folder_.Path(name));
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << "x";
    return path.string();
  }

  TestFolder folder_;
};

TEST_F(LdbLocatorTest, AFileIsItself) {
  const std::string file = Make("ldb.db");
  Make("versioned/1700000000000/ldb.db");
  EXPECT_EQ(LocateLdb(file), file);
}

TEST_F(LdbLocatorTest, OfAFolderTheNewestVersionThatHasItsFile) {
  Make("1700000000000/ldb.db");
  const std::string newest = Make("1700000000001/ldb.db");
  Make("1700000000002/other.db");
  // Names that are no versions, though they come last.
  Make("17000000000030/ldb.db");
  Make("170000000000x/ldb.db");
  Make("newest/ldb.db");
  EXPECT_EQ(LocateLdb(folder_.Path("")), newest);
}

TEST_F(LdbLocatorTest, WhereThereIsNoFileTheVersionsBesideIt) {
  const std::string path = folder_.Path("ldb.db");
  EXPECT_EQ(LocateLdb(path), path);
  const std::string newest = Make("versioned/1700000000001/ldb.db");
  Make("versioned/1700000000000/ldb.db");
  EXPECT_EQ(LocateLdb(path), newest);
}

TEST_F(LdbLocatorTest, AFolderWithoutVersionsIsItself) {
  Make("empty/other");
  EXPECT_EQ(LocateLdb(folder_.Path("empty")), folder_.Path("empty"));
}

}  // namespace
}  // namespace ctlstore::ldb
