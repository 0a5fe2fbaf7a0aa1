// The audit log: who changed what of a ctldb's schema, limits and writers.

#ifndef CTLSTORE_EXECUTIVE_AUDIT_H_
#define CTLSTORE_EXECUTIVE_AUDIT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/caller.h"

namespace ctlstore::executive {

// Logs one line `event=audit`. `action` is a word ("create_table"), `target` what it was done to
// ("geo.countries", a writer's name); `sequence` is the ledger sequence of the change, 0 where it
// has none. The outcome is OK, or the error's reason.
void Audit(const rpc::Caller& caller, absl::string_view action, absl::string_view target,
           const absl::Status& outcome, int64_t sequence);

// The line's text without its end, for tests.
std::string AuditLine(const rpc::Caller& caller, absl::string_view action, absl::string_view target,
                      const absl::Status& outcome, int64_t sequence);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_AUDIT_H_
