#include "common/snapshot/single_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/object_store/file_store.h"
#include "common/snapshot/object_encoder.h"

namespace ctlstore::snapshot {
namespace {

class SingleObjectTest : public ::testing::Test {
 protected:
  SingleObjectTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/single_object_XXXXXX");
    root_ = mkdtemp(&pattern[0]);
  }
  ~SingleObjectTest() override { std::filesystem::remove_all(root_); }

  static std::string Contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // What a command of the shell prints, without the line end.
  static std::string OutputOf(const std::string& command) {
    FILE* const pipe = popen(command.c_str(), "r");
    std::string output;
    char buffer[4096];
    for (size_t size; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
      output.append(buffer, size);
    }
    EXPECT_EQ(pclose(pipe), 0) << command;
    while (!output.empty() && output.back() == '\n') output.pop_back();
    return output;
  }

  bool HasExtendedAttributes() const {
    const std::string probe = root_ + "/probe";
    std::ofstream(probe) << "";
    return setxattr(probe.c_str(), "user.probe", "1", 1, 0) == 0;
  }

  std::string root_;
};

TEST_F(SingleObjectTest, IsReadBackByPlainTools) {
  std::string text;
  for (int i = 0; i < 200000; ++i) absl::StrAppend(&text, "row ", i * 7919 % 1000, "\n");
  std::ofstream(root_ + "/from.db", std::ios::binary) << text;
  const auto location = ParseLocation(absl::StrCat("file://", root_, "/out/ldb.db.gz"));
  ASSERT_TRUE(location.ok()) << location.status();
  EncodeOptions options;
  options.compression = location->compression;
  options.file_sha1 = true;
  // So that it takes several.
  options.chunk_bytes = 256 << 10;
  const auto encoded = EncodeObject(root_ + "/from.db", root_ + "/encoded", options, nullptr);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  ASSERT_GT(encoded->chunks.size(), 3u);

  object_store::FileStore store(location->store);
  // Twice: the second is put over the first.
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(PutSingleObject(&store, *location, root_ + "/encoded", encoded->file_sha1),
              absl::OkStatus());
  }
  const std::string object = root_ + "/out/ldb.db.gz";
  EXPECT_EQ(OutputOf(absl::StrCat("gunzip -c '", object, "' | cmp - '", root_, "/from.db'")), "");
  const std::string checksum =
      OutputOf(absl::StrCat("gunzip -c '", object, "' | sha1sum | cut -c 1-40"));
  EXPECT_EQ(absl::BytesToHexString(encoded->file_sha1), checksum);
  if (HasExtendedAttributes()) {
    const auto info = store.Stat("ldb.db.gz");
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->metadata.at(kChecksumMetadata),
              OutputOf(absl::StrCat("openssl dgst -sha1 -binary '", root_,
                                    "/from.db' | openssl base64")));
  }
}

TEST_F(SingleObjectTest, WhatIsNotCompressedIsTheFileItself) {
  std::ofstream(root_ + "/from.db", std::ios::binary) << "hello";
  const auto location = ParseLocation(absl::StrCat("file://", root_, "/out/ldb.db"));
  ASSERT_TRUE(location.ok()) << location.status();
  object_store::FileStore store(location->store);
  ASSERT_EQ(PutSingleObject(&store, *location, root_ + "/from.db", std::string(20, 'x')),
            absl::OkStatus());
  EXPECT_EQ(Contents(root_ + "/out/ldb.db"), "hello");
}

TEST_F(SingleObjectTest, AFolderOrAnotherDigestIsRefused) {
  std::ofstream(root_ + "/from.db", std::ios::binary) << "hello";
  const auto folder = ParseLocation(absl::StrCat("file://", root_, "/out"));
  ASSERT_TRUE(folder.ok()) << folder.status();
  object_store::FileStore store(folder->store);
  EXPECT_EQ(PutSingleObject(&store, *folder, root_ + "/from.db", std::string(20, 'x')).code(),
            absl::StatusCode::kInvalidArgument);
  const auto object = ParseLocation(absl::StrCat("file://", root_, "/out/ldb.db"));
  EXPECT_EQ(PutSingleObject(&store, *object, root_ + "/from.db", std::string(40, 'x')).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/out"));
}

}  // namespace
}  // namespace ctlstore::snapshot
