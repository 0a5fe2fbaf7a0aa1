// What the tests of fetching have in common.

#ifndef CTLSTORE_COMMON_SNAPSHOT_FETCH_TEST_UTIL_H_
#define CTLSTORE_COMMON_SNAPSHOT_FETCH_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_test_util.h"
#include "common/object_store/object_store.h"
#include "common/object_store/testing/faulty_store.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

std::string ReadBytes(const std::string& path);
void WriteBytes(const std::string& path, absl::string_view bytes);

// A local database as a snapshot, and as the object that is to be put somewhere.
struct TestSnapshot {
  Manifest manifest;
  std::string file_path;
  std::string object_path;
};

// Snapshots in folders of the test's own, behind stores that can be made to fail.
class FetchTest : public testing::Test {
 protected:
  using FaultyStore = object_store::testing::FaultyStore;
  using StoreCall = object_store::testing::StoreCall;

  FetchTest();

  struct TakeOptions {
    // Ledger entries after the one that makes the table, so that the sequence is one more.
    int rows = 300;
    // Other contents of the rows, of the same size.
    int seed = 0;
    std::vector<std::string> families;
    Compression compression = Compression::kZstd;
    int64_t chunk_bytes = 8192;
    absl::Time taken_at = absl::FromUnixSeconds(1772496000);
  };
  // Rows have contents that cannot be compressed much, and differ with the number of rows.
  TestSnapshot Take(const TakeOptions& options);
  TestSnapshot Take(int rows) {
    TakeOptions options;
    options.rows = rows;
    return Take(options);
  }

  // `place` is the name of a folder, in which this is the snapshot that is published.
  void Publish(const std::string& place, const TestSnapshot& snapshot);
  std::string PathIn(const std::string& place, absl::string_view name) const;
  std::string ObjectIn(const std::string& place, const TestSnapshot& snapshot) const {
    return PathIn(place, snapshot.manifest.object);
  }
  Location LocationOf(const std::string& place) const;

  // From folders by their names and single objects as "folder/object.db", with options_.
  absl::StatusOr<FetchedSnapshot> Fetch(const std::vector<std::string>& places);
  // The store of a place in the last Fetch(), by the folder's name.
  FaultyStore& store(const std::string& place) { return *stores_.at(place); }
  // Opens it as Fetch() does.
  absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> OpenFaulty(
      const object_store::StoreUrl& url);
  int64_t bytes_read() const;

  std::string target() const { return root_.Path("fetch"); }
  std::vector<std::string> FilesInTarget() const;
  // That this is what was fetched, and that nothing else is left.
  void ExpectFetched(const absl::StatusOr<FetchedSnapshot>& fetched, const TestSnapshot& snapshot);
  // That there is no file that could be taken for one that was fetched.
  void ExpectNoFile();

  ldb::TestFolder root_;
  FetchOptions options_;
  // Makes a store fail, when it is opened for a Fetch().
  std::function<void(const std::string& place, FaultyStore* store)> configure_;

 private:
  int taken_ = 0;
  std::map<std::string, std::shared_ptr<FaultyStore>> stores_;
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_FETCH_TEST_UTIL_H_
