// Asking before something is destroyed.

#ifndef CTLSTORE_CLI_CONFIRMATION_H_
#define CTLSTORE_CLI_CONFIRMATION_H_

#include <istream>
#include <ostream>

#include "absl/flags/declare.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Goes on without a question.
ABSL_DECLARE_FLAG(bool, yes);

namespace ctlstore::cli {

// OK where --yes is set, or where the user at the terminal answers "yes" to what is about to be
// done ("drops the table geo.countries"). ABORTED for any other answer; a usage error where there
// is no terminal to ask at.
absl::Status Confirm(absl::string_view what);

// The same for any input; `terminal` tells whether a user is there.
absl::Status ConfirmAt(absl::string_view what, bool yes, bool terminal, std::istream& in,
                       std::ostream& out);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_CONFIRMATION_H_
