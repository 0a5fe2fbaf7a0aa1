#include "supervisor/reflector_copy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/schema/errors.h"

namespace ctlstore::supervisor {
namespace {

absl::Status NotReady(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLdbUnavailable, message);
}

}  // namespace

absl::Status ReflectorCopy::Readiness() const {
  const reflector::LdbStatus status = reflector_->Status().front();
  switch (status.state) {
    case reflector::ReplicationState::kCurrent:
    case reflector::ReplicationState::kCatchingUp:
    // What it had a moment ago is still a state of the ctldb; its readiness says for how long.
    case reflector::ReplicationState::kUpstreamUnavailable:
      break;
    default:
      return NotReady(absl::StrCat(
          "the supervisor's copy is in the state ", reflector::ReplicationStateName(status.state),
          status.error.ok() ? std::string() : absl::StrCat(": ", status.error.message())));
  }
  if (!status.readiness.ok()) {
    return NotReady(
        absl::StrCat("the supervisor's copy is not up to date: ", status.readiness.message()));
  }
  if (status.applied_sequence < 1) return NotReady("the ledger has no entry yet");
  return absl::OkStatus();
}

int64_t ReflectorCopy::applied_sequence() const {
  return reflector_->Status().front().applied_sequence;
}

int64_t ReflectorCopy::ledger_sequence() const {
  return reflector_->Status().front().ledger_sequence;
}

}  // namespace ctlstore::supervisor
