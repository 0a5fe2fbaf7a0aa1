#include "cli/command_flags.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/types/optional.h"
#include "cli/exit_status.h"

ABSL_FLAG(std::string, test_text, "t",
          "A text, described in a sentence that is long enough to be "
          "broken into several lines of output.");
ABSL_FLAG(bool, test_switch, false, "A switch.");
ABSL_FLAG(int64_t, test_number, 5, "A number.");
ABSL_FLAG(bool, test_foreign, false, "Not the command's.");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

class CommandFlagsTest : public testing::Test {
 protected:
  CommandFlagsTest() {
    command_.name = "try";
    command_.flags = {"test_text", "test_switch", "test_number"};
  }
  ~CommandFlagsTest() override { unsetenv("CTLSTORE_TEST_NUMBER"); }

  Arguments Parse(const Arguments& arguments) {
    absl::StatusOr<ParsedArguments> parsed = ParseArguments(command_, arguments);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed.ok() ? parsed->positional : Arguments();
  }

  std::string Error(const Arguments& arguments) {
    const absl::Status status = ParseArguments(command_, arguments).status();
    EXPECT_TRUE(IsUsageError(status)) << status;
    return std::string(status.message());
  }

  absl::FlagSaver saver_;
  Command command_;
};

TEST_F(CommandFlagsTest, TakesFlagsAnywhereAmongTheArguments) {
  EXPECT_EQ(Parse({"a", "--test_text=x=y", "b", "--test_number", "7", "-test_switch", "c"}),
            (Arguments{"a", "b", "c"}));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_text), "x=y");
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 7);
  EXPECT_TRUE(absl::GetFlag(FLAGS_test_switch));
  Parse({"--notest_switch"});
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_switch));
}

TEST_F(CommandFlagsTest, KeysThatLookLikeFlagsAreArguments) {
  EXPECT_EQ(Parse({"-5", "-", "-.5", "--", "--test_switch", "-x", "--help"}),
            (Arguments{"-5", "-", "-.5", "--test_switch", "-x", "--help"}));
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_switch));
}

TEST_F(CommandFlagsTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Error({"--test_txt=x"}),
            "'ctlstore try' has no flag --test_txt; did you mean --test_text?");
  EXPECT_TRUE(absl::StrContains(Error({"--test_foreign"}), "no flag --test_foreign"));
  EXPECT_TRUE(absl::StrContains(Error({"--notest_text"}), "no flag"));
  EXPECT_TRUE(absl::StrContains(Error({"--test_number"}), "needs a value"));
  EXPECT_TRUE(absl::StartsWith(Error({"--test_number=x"}), "--test_number: "));
}

TEST_F(CommandFlagsTest, TheCommandLineWinsOverTheEnvironmentAndThatOverTheCommandsDefaults) {
  command_.flag_defaults = {{"test_number", "11"}, {"test_text", "own"}};
  Parse({});
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 11);
  EXPECT_EQ(absl::GetFlag(FLAGS_test_text), "own");
  setenv("CTLSTORE_TEST_NUMBER", "12", 1);
  Parse({});
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 12);
  Parse({"--test_number=13"});
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 13);
  setenv("CTLSTORE_TEST_NUMBER", "x", 1);
  EXPECT_TRUE(absl::StrContains(Error({}), "CTLSTORE_TEST_NUMBER"));
}

TEST_F(CommandFlagsTest, HelpIsAFlagOfEveryCommand) {
  setenv("CTLSTORE_TEST_NUMBER", "x", 1);
  for (const char* help : {"--help", "-h"}) {
    absl::StatusOr<ParsedArguments> parsed = ParseArguments(command_, Arguments{"a", help});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_TRUE(parsed->help);
  }
}

TEST_F(CommandFlagsTest, DescribesItsOwnFlagsOnly) {
  command_.flag_defaults = {{"test_number", "11"}};
  const std::string described = DescribeFlags(command_);
  EXPECT_TRUE(absl::StrContains(described, "  --test_number (default 11)\n      A number.\n"));
  EXPECT_TRUE(absl::StrContains(described, "  --test_text (default \"t\")\n"));
  EXPECT_FALSE(absl::StrContains(described, "test_foreign"));
}

TEST_F(CommandFlagsTest, TakesTheFlagsOfASourceFile) {
  command_.flags.clear();
  command_.flag_files = {"cli/command_flags_test"};
  Parse({"--test_foreign"});
  EXPECT_TRUE(absl::GetFlag(FLAGS_test_foreign));
}

}  // namespace
}  // namespace ctlstore::cli
