#include "common/base/logging.h"

#include <glog/logging.h>

#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/string_view.h"

ABSL_FLAG(std::string, log_level, "info",
          "The least severe messages that are logged: info, warning or error.");

namespace ctlstore {
namespace {

int SeverityOf(absl::string_view level) {
  if (level == "error") return google::GLOG_ERROR;
  if (level == "warning") return google::GLOG_WARNING;
  return google::GLOG_INFO;
}

}  // namespace

void InitLogging(const char* program) {
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = SeverityOf(absl::GetFlag(FLAGS_log_level));
  google::InitGoogleLogging(program);
}

}  // namespace ctlstore
