// Changes of the schema that were begun, as rows of ctlstore_schema_intents.

#ifndef CTLSTORE_COMMON_CTLDB_SCHEMA_INTENTS_H_
#define CTLSTORE_COMMON_CTLDB_SCHEMA_INTENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"

namespace ctlstore::ctldb {

struct SchemaIntent {
  // Never used twice.
  int64_t id = 0;
  // What the change appends to the ledger. The row has them one per line.
  std::vector<std::string> statements;
};

// All of these but IntentExists() are called in a LedgerTransaction.

// Returns the new intent's id. There must be no other intent.
absl::StatusOr<int64_t> AddIntent(Connection* connection, absl::Span<const std::string> statements);

// The intent to be completed first; NOT_FOUND where there is none.
absl::StatusOr<SchemaIntent> ReadOldestIntent(Connection* connection);

// Whether the intent is still to be completed. Waits for a transaction that is removing it, so it
// must not be called over another connection than that transaction's by whoever waits for it.
absl::StatusOr<bool> IntentExists(Connection* connection, int64_t id);

absl::Status RemoveIntent(Connection* connection, int64_t id);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_SCHEMA_INTENTS_H_
