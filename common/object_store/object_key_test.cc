#include "common/object_store/object_key.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"

namespace ctlstore::object_store {
namespace {

TEST(ObjectKeyTest, TakesNamesInFolders) {
  for (const std::string& key :
       {std::string("a"), std::string("a/b.db"), std::string("..."), std::string("a b/%20"),
        std::string("gr\xc3\xb6\xc3\x9f"
                    "e"),
        std::string(1024, 'x')}) {
    EXPECT_EQ(CheckObjectKey(key), absl::OkStatus()) << key;
  }
}

TEST(ObjectKeyTest, RefusesWhatLeadsElsewhereOrIsNoName) {
  for (const std::string& key :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("."),
        std::string(".."), std::string("../a"), std::string("a/../b"), std::string("a/.."),
        std::string("a\nb"), std::string("a\0b", 3), std::string("\xff"), std::string("\x7f"),
        std::string(1025, 'x')}) {
    EXPECT_EQ(CheckObjectKey(key).code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

}  // namespace
}  // namespace ctlstore::object_store
