#include "common/base/environment_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "absl/flags/flag.h"
#include "absl/strings/str_join.h"

ABSL_FLAG(int, test_number, 1, "A number for this test.");
ABSL_FLAG(std::string, test_text, "default", "A text for this test.");

namespace ctlstore {
namespace {

// Parses in a process of its own, and shows the result on standard error.
[[noreturn]] void Parse(std::vector<std::string> arguments, const char* variable = nullptr,
                        const char* value = nullptr) {
  if (variable != nullptr) setenv(variable, value, 1);
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  const std::vector<std::string> rest =
      ParseFlags("The usage.", static_cast<int>(argv.size()), argv.data());
  std::cerr << absl::GetFlag(FLAGS_test_number) << "|" << absl::GetFlag(FLAGS_test_text) << "|"
            << absl::StrJoin(rest, ",") << "|";
  std::exit(7);
}

TEST(EnvironmentFlagsDeathTest, TheCommandLineWinsOverTheEnvironment) {
  EXPECT_EXIT(Parse({}), testing::ExitedWithCode(7), "1.default..");
  EXPECT_EXIT(Parse({}, "CTLSTORE_TEST_NUMBER", "5"), testing::ExitedWithCode(7), "5.default..");
  EXPECT_EXIT(Parse({"--test_number=6"}, "CTLSTORE_TEST_NUMBER", "5"), testing::ExitedWithCode(7),
              "6.default..");
  EXPECT_EXIT(Parse({"--test_text=x y"}, "CTLSTORE_TEST_NUMBER", "5"), testing::ExitedWithCode(7),
              "5.x y..");
}

TEST(EnvironmentFlagsDeathTest, WhatIsNoFlagIsGivenBack) {
  EXPECT_EXIT(Parse({"one", "--test_number=2", "two", "--", "--three"}), testing::ExitedWithCode(7),
              "2.default.one,two,--three.");
}

TEST(EnvironmentFlagsDeathTest, WhatCannotBeParsedEndsTheProgram) {
  EXPECT_EXIT(Parse({}, "CTLSTORE_TEST_NUMBER", "many"), testing::ExitedWithCode(2),
              "CTLSTORE_TEST_NUMBER");
  EXPECT_EXIT(Parse({"--test_number=many"}), testing::ExitedWithCode(2), "test_number");
  EXPECT_EXIT(Parse({"--no_such_flag=1"}), testing::ExitedWithCode(2), "no_such_flag");
}

TEST(EnvironmentFlagsDeathTest, HelpIsNoError) {
  EXPECT_EXIT(Parse({"--help"}), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(Parse({"--helpfull"}), testing::ExitedWithCode(0), "");
}

class ReadSecretTest : public testing::Test {
 protected:
  ReadSecretTest() : folder_(testing::TempDir() + "/secret-XXXXXX") {
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
  }
  ~ReadSecretTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& content) {
    const std::string path = folder_ + "/secret";
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::string folder_;
};

TEST_F(ReadSecretTest, ComesFromTheFileWithoutItsLineEnd) {
  EXPECT_EQ(*ReadSecret(File("s3cret\n"), "TEST_SECRET"), "s3cret");
  EXPECT_EQ(*ReadSecret(File("s3cret\r\n"), "TEST_SECRET"), "s3cret");
  EXPECT_EQ(*ReadSecret(File(" s3 cret "), "TEST_SECRET"), " s3 cret ");
  EXPECT_EQ(*ReadSecret(File(std::string("a\0b\n", 4)), "TEST_SECRET"), std::string("a\0b", 3));
  EXPECT_EQ(*ReadSecret(File(""), "TEST_SECRET"), "");
}

TEST_F(ReadSecretTest, ComesFromTheEnvironmentWhereThereIsNoFile) {
  unsetenv("TEST_SECRET");
  EXPECT_EQ(*ReadSecret("", "TEST_SECRET"), "");
  setenv("TEST_SECRET", "from the environment", 1);
  EXPECT_EQ(*ReadSecret("", "TEST_SECRET"), "from the environment");
  EXPECT_EQ(*ReadSecret(File("file"), "TEST_SECRET"), "file");
  unsetenv("TEST_SECRET");
}

TEST_F(ReadSecretTest, AFileThatCannotBeReadIsAnError) {
  for (const std::string& path : {folder_ + "/nothing", folder_}) {
    EXPECT_EQ(ReadSecret(path, "TEST_SECRET").status().code(), absl::StatusCode::kInvalidArgument)
        << path;
  }
}

}  // namespace
}  // namespace ctlstore
