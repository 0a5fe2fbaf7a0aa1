#include "common/base/logging.h"

#include <glog/logging.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"

ABSL_DECLARE_FLAG(std::string, log_level);

namespace ctlstore {
namespace {

[[noreturn]] void LogAt(const char* level) {
  absl::SetFlag(&FLAGS_log_level, level);
  InitLogging("program");
  LOG(INFO) << "event=one";
  LOG(WARNING) << "event=two";
  LOG(ERROR) << "event=three";
  std::exit(7);
}

TEST(LoggingDeathTest, LinesGoToStandardErrorFromTheGivenLevel) {
  EXPECT_EXIT(LogAt("info"), testing::ExitedWithCode(7),
              "event=one(.|\n)*event=two(.|\n)*event=three");
  EXPECT_EXIT(LogAt("warning"), testing::ExitedWithCode(7), "^W[^\n]*event=two\n");
  EXPECT_EXIT(LogAt("error"), testing::ExitedWithCode(7), "^E[^\n]*event=three\n");
}

}  // namespace
}  // namespace ctlstore
