#include "cli/secret_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ctlstore::cli {
namespace {

class SecretFileTest : public testing::Test {
 protected:
  SecretFileTest()
      : path_(absl::StrCat(testing::TempDir(), "/secret-", getpid(), "-",
                           testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~SecretFileTest() override { unlink(path_.c_str()); }

  const std::string path_;
};

TEST_F(SecretFileTest, MakesASecretThatOnlyItsOwnerReads) {
  const absl::StatusOr<std::string> secret = ReadOrCreateSecret(path_);
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(secret->size(), 64u);
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(*ReadOrCreateSecret(path_), *secret);
}

TEST_F(SecretFileTest, EachSecretIsAnother) {
  const std::string first = *ReadOrCreateSecret(path_);
  unlink(path_.c_str());
  EXPECT_NE(*ReadOrCreateSecret(path_), first);
}

TEST_F(SecretFileTest, RefusesAFileWithoutASecret) {
  std::ofstream(path_) << "\n";
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadOrCreateSecret(path_).status()));
  EXPECT_TRUE(
      absl::IsUnavailable(ReadOrCreateSecret(testing::TempDir() + "/none/secret").status()));
}

}  // namespace
}  // namespace ctlstore::cli
