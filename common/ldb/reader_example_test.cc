// README's example of the reader is a file that is built and run here.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

using testing::HasSubstr;

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// What the example prints, and with what status it ends.
std::string RunExample(int* status) {
  FILE* const output = popen("common/ldb/reader_example 2>&1", "r");
  if (output == nullptr) return "cannot be run";
  std::string text;
  for (int c; (c = std::fgetc(output)) != EOF;) text.push_back(static_cast<char>(c));
  *status = pclose(output);
  return text;
}

TEST(ReaderExampleTest, ReadmeShowsTheFileAsItIs) {
  EXPECT_THAT(
      FileText("README.md"),
      HasSubstr(absl::StrCat("\n```c++\n", FileText("common/ldb/reader_example.cc"), "```\n")))
      << "README.md's example of the reader is not common/ldb/reader_example.cc";
}

TEST(ReaderExampleTest, TheExampleReadsALocalDatabase) {
  TestFolder folder;
  ASSERT_EQ(setenv("CTLSTORE_PATH", folder.Path("").c_str(), 1), 0);
  int status = 0;
  EXPECT_THAT(RunExample(&status), HasSubstr("UNAVAILABLE"));
  EXPECT_NE(status, 0);

  TestLedger ledger;
  ledger.Add(
      R"(CREATE TABLE shop___flags ("name" VARCHAR(191), "enabled" INTEGER, PRIMARY KEY("name"));)");
  ledger.Add(R"(REPLACE INTO shop___flags ("name","enabled") VALUES('new_cart',1))");
  ledger.Add(R"(REPLACE INTO shop___flags ("name","enabled") VALUES('dark_mode',0))");
  std::unique_ptr<LdbWriter> writer = OpenWriter(folder.Path("ldb.db"));
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  EXPECT_EQ(RunExample(&status), "new_cart is on\ndark_mode\nnew_cart\n");
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ctlstore::ldb
