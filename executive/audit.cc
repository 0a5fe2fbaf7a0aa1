#include "executive/audit.h"

#include <glog/logging.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

// A request can name many things; a line stays readable.
constexpr size_t kMaxTargetBytes = 500;

std::string Quoted(absl::string_view text) {
  const bool cut = text.size() > kMaxTargetBytes;
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kMaxTargetBytes)), cut ? "..." : "", "\"");
}

}  // namespace

std::string AuditLine(const rpc::Caller& caller, absl::string_view action, absl::string_view target,
                      const absl::Status& outcome, int64_t sequence) {
  return absl::StrCat(
      "event=audit action=", action, " target=", Quoted(target), " who=", Quoted(caller.name),
      " peer=", caller.peer.empty() ? "-" : absl::CEscape(caller.peer), " outcome=",
      outcome.ok() ? "OK" : ErrorReason(outcome).value_or(absl::StatusCodeToString(outcome.code())),
      " sequence=", sequence);
}

void Audit(const rpc::Caller& caller, absl::string_view action, absl::string_view target,
           const absl::Status& outcome, int64_t sequence) {
  LOG(INFO) << AuditLine(caller, action, target, outcome, sequence);
}

}  // namespace ctlstore::executive
