#include "cli/import/source_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include "cli/import/temporary_file.h"

namespace ctlstore::cli {
namespace {

std::string ReadAll(SourceFile* file) {
  std::string all;
  char buffer[7];
  while (true) {
    const absl::StatusOr<size_t> count = file->Read(buffer, sizeof(buffer));
    EXPECT_TRUE(count.ok()) << count.status();
    if (!count.ok() || *count == 0) return all;
    all.append(buffer, *count);
  }
}

TEST(SourceFileTest, ReadsAFileAgainFromItsBeginning) {
  const TemporaryFile file("0123456789abcdef");
  auto source = SourceFile::Open(file.path());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 16);
  EXPECT_EQ(ReadAll(source->get()), "0123456789abcdef");
  EXPECT_EQ((*source)->position(), 16);
  ASSERT_TRUE((*source)->Rewind().ok());
  EXPECT_EQ((*source)->position(), 0);
  EXPECT_EQ(ReadAll(source->get()), "0123456789abcdef");
}

TEST(SourceFileTest, ReadsAFifoTwice) {
  const TemporaryFile place("");
  unlink(place.path().c_str());
  ASSERT_EQ(mkfifo(place.path().c_str(), 0600), 0);
  const std::string content(300000, 'x');
  std::thread writer([&] { std::ofstream(place.path(), std::ios::binary) << content; });
  auto source = SourceFile::Open(place.path());
  writer.join();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 300000);
  EXPECT_EQ(ReadAll(source->get()), content);
  ASSERT_TRUE((*source)->Rewind().ok());
  EXPECT_EQ(ReadAll(source->get()), content);
}

TEST(SourceFileTest, SaysWhyAFileCannotBeRead) {
  const auto missing = SourceFile::Open(testing::TempDir() + "/no-such-file");
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  const auto folder = SourceFile::Open(testing::TempDir());
  EXPECT_TRUE(absl::IsUnavailable(folder.status())) << folder.status();
  EXPECT_NE(folder.status().message().find("directory"), absl::string_view::npos)
      << folder.status();
}

}  // namespace
}  // namespace ctlstore::cli
