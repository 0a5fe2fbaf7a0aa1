// The errors that callers can act on, as absl::Status values with machine-readable details.
//
// A status carries its details as payloads, so that they travel through every layer untouched; the
// servers (common/rpc) turn them into google.rpc details and HTTP statuses. The mapping from kinds
// of errors to codes is the table in docs/architecture.md.

#ifndef CTLSTORE_COMMON_SCHEMA_ERRORS_H_
#define CTLSTORE_COMMON_SCHEMA_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore {

// Stable reasons: part of the API (google.rpc.ErrorInfo.reason). Never rename one.
namespace reason {
inline constexpr char kInvalidName[] = "INVALID_NAME";
inline constexpr char kInvalidSchema[] = "INVALID_SCHEMA";
inline constexpr char kInvalidValue[] = "INVALID_VALUE";
inline constexpr char kInvalidRequest[] = "INVALID_REQUEST";
inline constexpr char kInvalidKey[] = "INVALID_KEY";
inline constexpr char kTooLarge[] = "TOO_LARGE";
inline constexpr char kUnknownField[] = "UNKNOWN_FIELD";
inline constexpr char kFamilyNotFound[] = "FAMILY_NOT_FOUND";
inline constexpr char kTableNotFound[] = "TABLE_NOT_FOUND";
// There is no row with a key, where an answer cannot say so by itself.
inline constexpr char kRowNotFound[] = "ROW_NOT_FOUND";
// A list has more rows or bytes than one answer may have.
inline constexpr char kListTooLong[] = "LIST_TOO_LONG";
inline constexpr char kTableDiffers[] = "TABLE_DIFFERS";
inline constexpr char kFieldDiffers[] = "FIELD_DIFFERS";
inline constexpr char kWriterDiffers[] = "WRITER_DIFFERS";
inline constexpr char kBadCredentials[] = "BAD_CREDENTIALS";
inline constexpr char kCookieMismatch[] = "COOKIE_MISMATCH";
inline constexpr char kCtldbUnavailable[] = "CTLDB_UNAVAILABLE";
inline constexpr char kCtldbBusy[] = "CTLDB_BUSY";
inline constexpr char kOutcomeUnknown[] = "OUTCOME_UNKNOWN";
inline constexpr char kLdbUnavailable[] = "LDB_UNAVAILABLE";
// A writer has used up its rows for the period.
inline constexpr char kRateLimited[] = "RATE_LIMITED";
// A table is over its maximum size.
inline constexpr char kTableFull[] = "TABLE_FULL";
// More requests wait than the server takes.
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kLimitNotFound[] = "LIMIT_NOT_FOUND";
// Destructive changes are not enabled on this executive.
inline constexpr char kDestructiveDisabled[] = "DESTRUCTIVE_DISABLED";
// The call needs a role, and no valid proof of any came with it.
inline constexpr char kNoRole[] = "NO_ROLE";
// The caller is known, but its role does not allow the call.
inline constexpr char kRoleMissing[] = "ROLE_MISSING";
// Too many wrong secrets came before.
inline constexpr char kTooManyFailures[] = "TOO_MANY_FAILURES";
// The entries right after a position are not in the ledger any more.
inline constexpr char kLedgerPruned[] = "LEDGER_PRUNED";
// The ledger does not reach to a position.
inline constexpr char kLedgerBehind[] = "LEDGER_BEHIND";
// The ledger has another entry at a position.
inline constexpr char kLedgerDiverged[] = "LEDGER_DIVERGED";
// A listener took entries more slowly than they came.
inline constexpr char kSlowReader[] = "SLOW_READER";
inline constexpr char kTooManyListeners[] = "TOO_MANY_LISTENERS";
// A ledger entry cannot be applied.
inline constexpr char kEntryFailed[] = "ENTRY_FAILED";
// The file at the local database's path is another one than was opened, or none.
inline constexpr char kLdbReplaced[] = "LDB_REPLACED";
// The local database was made for other families.
inline constexpr char kFamiliesDiffer[] = "FAMILIES_DIFFER";
// The WAL is as large as it may be, and a reader keeps it from being emptied.
inline constexpr char kWalFull[] = "WAL_FULL";
// A state of the local database was held for longer than it may be.
inline constexpr char kSnapshotExpired[] = "SNAPSHOT_EXPIRED";
// Changes so long ago are not kept (any more).
inline constexpr char kChangesGone[] = "CHANGES_GONE";
// A reader was opened before the process was forked.
inline constexpr char kForked[] = "FORKED";
// A struct that rows are read into does not fit the table.
inline constexpr char kStructDiffers[] = "STRUCT_DIFFERS";
// No place has a snapshot that fits.
inline constexpr char kSnapshotNotFound[] = "SNAPSHOT_NOT_FOUND";
// A snapshot is not what its manifest says, or is damaged in itself.
inline constexpr char kSnapshotDamaged[] = "SNAPSHOT_DAMAGED";
// A snapshot is being fetched, and nothing can be done before that.
inline constexpr char kFetchingSnapshot[] = "FETCHING_SNAPSHOT";
// An object is another one than it was before.
inline constexpr char kObjectChanged[] = "OBJECT_CHANGED";
// The ledger is not pruned by this executive.
inline constexpr char kPruningDisabled[] = "PRUNING_DISABLED";
}  // namespace reason

// INVALID_ARGUMENT about one field of a request. `field` is its path as the caller wrote it
// ("mutations[3].values.code"); `message` says what is wrong, the limit and the value's size, and
// begins without the path, which is put in front of it.
absl::Status InvalidField(absl::string_view field, absl::string_view error_reason,
                          absl::string_view message);

// A status of any other code with a stable reason.
absl::Status ErrorWithReason(absl::StatusCode code, absl::string_view error_reason,
                             absl::string_view message);

// `status` with `prefix` put in front of its field path and its message; statuses without a field
// path are returned unchanged. For callers that know where in a request the checked part stands:
// InvalidField("code", ...) under "mutations[3].values." names "mutations[3].values.code".
absl::Status UnderField(absl::string_view prefix, const absl::Status& status);

// `status` with the advice to try again after `delay`.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

// The details, where the status has them.
absl::optional<std::string> ErrorReason(const absl::Status& status);
// Whether that is its reason.
bool HasReason(const absl::Status& status, absl::string_view error_reason);
absl::optional<std::string> ErrorField(const absl::Status& status);
absl::optional<absl::Duration> RetryDelay(const absl::Status& status);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_ERRORS_H_
