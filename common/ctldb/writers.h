// The writers that a ctldb knows, with their secrets' hashes and their cookies.

#ifndef CTLSTORE_COMMON_CTLDB_WRITERS_H_
#define CTLSTORE_COMMON_CTLDB_WRITERS_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"

namespace ctlstore::ctldb {

struct Writer {
  // As stored in `mutators.secret`; common/ctldb does not know how it is made.
  std::string secret_hash;
  std::string cookie;
};

// nullopt where there is no such writer. Writers' names are compared by their bytes. Inside a write
// transaction the row is locked until its end.
absl::StatusOr<absl::optional<Writer>> ReadWriter(Connection* connection, absl::string_view writer);

// The cookies of those writers that are there, in few round trips; a writer may be named more than
// once. Inside a write transaction their rows are locked until its end.
absl::StatusOr<absl::flat_hash_map<std::string, std::string>> ReadCookies(
    Connection* connection, absl::Span<const absl::string_view> writers);

// Adds a writer. False where there is one of this name already, which is left as it is.
absl::StatusOr<bool> AddWriter(Connection* connection, absl::string_view writer,
                               absl::string_view secret_hash);

// Replaces a writer's secret hash, where it is still `old_hash` to the byte, and nothing else of
// it. False where it is not, or where there is no such writer.
absl::StatusOr<bool> ReplaceSecretHash(Connection* connection, absl::string_view writer,
                                       absl::string_view old_hash, absl::string_view new_hash);

// Replaces a writer's cookie and counts its clock up. NOT_FOUND where there is no such writer.
absl::Status WriteCookie(Connection* connection, absl::string_view writer,
                         absl::string_view cookie);

struct WriterCookie {
  absl::string_view writer;
  absl::string_view cookie;
};

// As WriteCookie() for each, in few round trips. Within a transaction that has found the writers by
// ReadCookies(), so that they are there.
absl::Status WriteCookies(Connection* connection, absl::Span<const WriterCookie> cookies);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_WRITERS_H_
