// Fetches from an S3 server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/object_store/s3_store.h"
#include "common/object_store/testing/s3_server.h"
#include "common/schema/errors.h"
#include "common/snapshot/fetch_test_util.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/folder.h"

namespace ctlstore::snapshot {
namespace {

using object_store::ObjectStore;
using object_store::StoreUrl;
using object_store::testing::S3Server;

class FetcherS3Test : public FetchTest {
 protected:
  FetcherS3Test() {
    absl::StatusOr<std::unique_ptr<S3Server>> server = S3Server::Start();
    EXPECT_TRUE(server.ok()) << server.status();
    if (!server.ok()) std::abort();
    server_ = *std::move(server);
    store_options_.min_retry_pause = absl::Milliseconds(1);
    store_options_.max_retry_pause = absl::Milliseconds(5);
    location_ = ParseLocation(absl::StrCat("s3://", server_->bucket(), "/snapshots")).value();
    options_.open_store = [this](const StoreUrl& url) { return Open(url); };
  }

  absl::StatusOr<std::unique_ptr<ObjectStore>> Open(const StoreUrl& url) {
    const std::map<std::string, std::string> environment = server_->environment();
    return object_store::OpenS3Store(url, store_options_, [environment](const char* name) {
      const auto found = environment.find(name);
      return found != environment.end() ? found->second : std::string();
    });
  }

  void PublishToS3(const TestSnapshot& snapshot) {
    const absl::StatusOr<std::unique_ptr<ObjectStore>> store = Open(location_.store);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_EQ(Folder(store->get()).Publish(snapshot.manifest, snapshot.object_path),
              absl::OkStatus());
    server_->TakeRequests();
  }

  // The ranges that were asked of the object.
  std::vector<std::string> TakeRanges(const TestSnapshot& snapshot) {
    std::vector<std::string> ranges;
    for (const S3Server::Request& request : server_->TakeRequests()) {
      if (request.method != "GET" || !absl::StrContains(request.url, snapshot.manifest.object)) {
        continue;
      }
      const auto range = request.headers.find("range");
      ranges.push_back(range != request.headers.end() ? range->second : "");
    }
    return ranges;
  }

  std::unique_ptr<S3Server> server_;
  object_store::StoreOptions store_options_;
  Location location_;
};

TEST_F(FetcherS3Test, AnObjectIsFetchedInRangesEachByteOnce) {
  TakeOptions options;
  options.rows = 3000;
  options.chunk_bytes = 16384;
  const TestSnapshot old = Take(100), snapshot = Take(options);
  PublishToS3(old);
  PublishToS3(snapshot);
  options_.parallel_ranges = 4;
  ExpectFetched(FetchNewest({&location_, 1}, target(), options_), snapshot);
  const std::vector<std::string> ranges = TakeRanges(snapshot);
  // Several chunks with each request, but for more than one thread.
  EXPECT_GE(ranges.size(), 4u);
  EXPECT_LT(ranges.size(), snapshot.manifest.chunks.size());
  int64_t bytes = 0;
  for (const std::string& range : ranges) {
    int64_t first = 0, last = 0;
    ASSERT_EQ(sscanf(range.c_str(), "bytes=%ld-%ld", &first, &last), 2) << range;
    bytes += last - first + 1;
  }
  EXPECT_EQ(bytes, snapshot.manifest.object_bytes);
}

TEST_F(FetcherS3Test, AServerThatFailsNowAndThenIsPutUpWith) {
  TakeOptions options;
  options.rows = 3000;
  options.chunk_bytes = 16384;
  const TestSnapshot snapshot = Take(options);
  PublishToS3(snapshot);
  server_->AddFault(R"({"method": "GET", "times": 2, "status": 503})");
  server_->AddFault(R"({"method": "GET", "contains": ".db.zst", "skip": 1, "times": 3,
                        "cutResponseAfter": 5000})");
  ExpectFetched(FetchNewest({&location_, 1}, target(), options_), snapshot);
}

TEST_F(FetcherS3Test, AfterAnOutageTheFetchGoesOn) {
  TakeOptions options;
  options.rows = 3000;
  options.chunk_bytes = 16384;
  const TestSnapshot snapshot = Take(options);
  PublishToS3(snapshot);
  options_.parallel_ranges = 1;
  server_->AddFault(R"({"method": "GET", "contains": ".db.zst", "skip": 2, "times": 1000,
                        "status": 500})");
  const absl::Status status = FetchNewest({&location_, 1}, target(), options_).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  ExpectNoFile();
  server_->ClearFaults();
  server_->TakeRequests();
  ExpectFetched(FetchNewest({&location_, 1}, target(), options_), snapshot);
  const std::vector<std::string> ranges = TakeRanges(snapshot);
  ASSERT_FALSE(ranges.empty());
  EXPECT_FALSE(absl::StartsWith(ranges[0], "bytes=0-")) << ranges[0];
}

TEST_F(FetcherS3Test, WrongCredentialsAreTold) {
  PublishToS3(Take(100));
  options_.open_store = [this](const StoreUrl& url) {
    std::map<std::string, std::string> environment = server_->environment();
    environment["AWS_SECRET_ACCESS_KEY"] = "another one";
    return object_store::OpenS3Store(url, store_options_, [environment](const char* name) {
      const auto found = environment.find(name);
      return found != environment.end() ? found->second : std::string();
    });
  };
  const absl::Status status = FetchNewest({&location_, 1}, target(), options_).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr(location_.ToString()),
                             testing::Not(testing::HasSubstr("another one"))));
}

}  // namespace
}  // namespace ctlstore::snapshot
