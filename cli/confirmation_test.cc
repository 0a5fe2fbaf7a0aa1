#include "cli/confirmation.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "cli/exit_status.h"

namespace ctlstore::cli {
namespace {

constexpr char kWhat[] = "drops the table geo.countries";

absl::Status Answer(const std::string& answer) {
  std::istringstream in(answer);
  std::ostringstream out;
  const absl::Status status = ConfirmAt(kWhat, /*yes=*/false, /*terminal=*/true, in, out);
  EXPECT_TRUE(absl::StrContains(out.str(), kWhat)) << out.str();
  return status;
}

TEST(ConfirmationTest, TheAnswerYesGoesOn) {
  for (const char* answer : {"yes\n", "yes", " YES \r\n"}) EXPECT_TRUE(Answer(answer).ok());
}

TEST(ConfirmationTest, AnyOtherAnswerDoesNot) {
  for (const char* answer : {"", "\n", "y\n", "no\n", "yes please\n", "\nyes\n"}) {
    EXPECT_EQ(ExitStatusFor(Answer(answer)), kExitRefused) << answer;
  }
}

TEST(ConfirmationTest, WithTheFlagNobodyIsAsked) {
  std::istringstream in("no\n");
  std::ostringstream out;
  EXPECT_TRUE(ConfirmAt(kWhat, /*yes=*/true, /*terminal=*/true, in, out).ok());
  EXPECT_TRUE(ConfirmAt(kWhat, /*yes=*/true, /*terminal=*/false, in, out).ok());
  EXPECT_EQ(out.str(), "");
}

TEST(ConfirmationTest, WithoutATerminalTheFlagIsNeeded) {
  std::istringstream in("yes\n");
  std::ostringstream out;
  const absl::Status status = ConfirmAt(kWhat, /*yes=*/false, /*terminal=*/false, in, out);
  EXPECT_EQ(ExitStatusFor(status), kExitUsage);
  EXPECT_TRUE(absl::StrContains(status.message(), "--yes")) << status;
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace ctlstore::cli
