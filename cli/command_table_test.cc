#include "cli/command_table.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "cli/exit_status.h"

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

class CommandTableTest : public testing::Test {
 protected:
  CommandTableTest() {
    table_.Add("First things", {Make("get", 1, 2), Make("list", 0, 0)});
    table_.Add("Other things", {Make("family create", 1, 1), Make("family list", 0, 0),
                                Make("limits table set", 1, 1), Make("get more", 1, 1)});
  }

  Command Make(const std::string& name, size_t min, size_t max) {
    Command command;
    command.name = name;
    command.arguments = "SOME";
    command.summary = "Does " + name;
    command.description = "More about " + name;
    command.min_arguments = min;
    command.max_arguments = max;
    command.run = [this, name](const Arguments& arguments) {
      ran_ = name;
      arguments_ = arguments;
      return 42;
    };
    return command;
  }

  int Run(const Arguments& arguments) {
    out_.str("");
    err_.str("");
    return table_.Run(arguments, out_, err_);
  }

  CommandTable table_;
  std::ostringstream out_;
  std::ostringstream err_;
  std::string ran_;
  Arguments arguments_;
};

TEST_F(CommandTableTest, RunsTheNamedCommand) {
  EXPECT_EQ(Run({"get", "x"}), 42);
  EXPECT_EQ(ran_, "get");
  EXPECT_EQ(arguments_, (Arguments{"x"}));
  EXPECT_EQ(Run({"family", "create", "x"}), 42);
  EXPECT_EQ(ran_, "family create");
  EXPECT_EQ(arguments_, (Arguments{"x"}));
}

TEST_F(CommandTableTest, RefusesAWrongNumberOfArguments) {
  EXPECT_EQ(Run({"get"}), kExitUsage);
  EXPECT_EQ(Run({"get", "a", "b", "c"}), kExitUsage);
  EXPECT_TRUE(absl::StrContains(err_.str(), "usage: ctlstore get SOME")) << err_.str();
  EXPECT_EQ(ran_, "");
}

TEST_F(CommandTableTest, ANameMayHaveThreeWordsAndBeginAnother) {
  EXPECT_EQ(Run({"limits", "table", "set", "x"}), 42);
  EXPECT_EQ(ran_, "limits table set");
  EXPECT_EQ(arguments_, (Arguments{"x"}));
  EXPECT_EQ(Run({"get", "more", "x"}), 42);
  EXPECT_EQ(ran_, "get more");
  EXPECT_EQ(arguments_, (Arguments{"x"}));
  EXPECT_EQ(Run({"get", "mor"}), 42);
  EXPECT_EQ(ran_, "get");
  EXPECT_EQ(Run({"limits", "table"}), kExitUsage);
  EXPECT_TRUE(absl::StrContains(err_.str(), "'limits' needs one of: table set")) << err_.str();

  for (const Arguments& arguments : {Arguments{"help", "get"}, Arguments{"get", "help"}}) {
    EXPECT_EQ(Run(arguments), kExitOk);
    EXPECT_TRUE(absl::StrContains(out_.str(), "More about get\n")) << out_.str();
    EXPECT_TRUE(absl::StrContains(out_.str(), "ctlstore get more SOME")) << out_.str();
  }
}

TEST_F(CommandTableTest, SuggestsWhatMayHaveBeenMeant) {
  EXPECT_EQ(Run({"gett"}), kExitUsage);
  EXPECT_TRUE(absl::StrContains(err_.str(), "did you mean 'get'?")) << err_.str();
  EXPECT_EQ(Run({"familly", "list"}), kExitUsage);
  EXPECT_TRUE(absl::StrContains(err_.str(), "did you mean 'family'?")) << err_.str();
  EXPECT_EQ(Run({"family"}), kExitUsage);
  EXPECT_TRUE(absl::StrContains(err_.str(), "create, list")) << err_.str();
  EXPECT_EQ(Run({}), kExitUsage);
  EXPECT_EQ(out_.str(), "");
}

TEST_F(CommandTableTest, HelpListsAllCommandsAndExitStatuses) {
  for (const char* help : {"help", "--help", "-h"}) {
    EXPECT_EQ(Run({help}), kExitOk);
    for (const char* part : {"First things", "get", "list", "family create", "Does family list",
                             "Exit status", "not found"}) {
      EXPECT_TRUE(absl::StrContains(out_.str(), part)) << part;
    }
  }
}

TEST_F(CommandTableTest, HelpDescribesOneCommandOrGroup) {
  for (const Arguments& arguments :
       {Arguments{"help", "family", "create"}, Arguments{"family", "create", "--help"}}) {
    EXPECT_EQ(Run(arguments), kExitOk);
    EXPECT_TRUE(absl::StartsWith(out_.str(), "ctlstore family create SOME\n")) << out_.str();
    EXPECT_TRUE(absl::StrContains(out_.str(), "More about family create"));
  }
  EXPECT_EQ(Run({"help", "family"}), kExitOk);
  EXPECT_TRUE(absl::StrContains(out_.str(), "family list"));
  EXPECT_FALSE(absl::StrContains(out_.str(), "get"));
  EXPECT_EQ(Run({"help", "nothing"}), kExitUsage);
  EXPECT_EQ(ran_, "");
}

}  // namespace
}  // namespace ctlstore::cli
