#include "common/ctldb/schema_intents.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace ctlstore::ctldb {

absl::StatusOr<int64_t> AddIntent(Connection* connection,
                                  absl::Span<const std::string> statements) {
  absl::StatusOr<int64_t> added =
      connection->Execute("INSERT INTO ctlstore_schema_intents (statements) VALUES (?)",
                          {absl::StrJoin(statements, "\n")});
  if (!added.ok()) return added.status();
  int64_t id = 0;
  absl::Status status = connection->Query("SELECT MAX(id) FROM ctlstore_schema_intents", {},
                                          [&id](absl::Span<const ValueView> row) {
                                            id = row[0].integer();
                                            return absl::OkStatus();
                                          });
  if (!status.ok()) return status;
  return id;
}

absl::StatusOr<SchemaIntent> ReadOldestIntent(Connection* connection) {
  SchemaIntent intent;
  absl::Status status = connection->Query(
      "SELECT id, statements FROM ctlstore_schema_intents ORDER BY id LIMIT 1", {},
      [&intent](absl::Span<const ValueView> row) {
        intent.id = row[0].integer();
        intent.statements = absl::StrSplit(row[1].data(), '\n', absl::SkipEmpty());
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  if (intent.id == 0) return absl::NotFoundError("there is no schema intent");
  return intent;
}

absl::StatusOr<bool> IntentExists(Connection* connection, int64_t id) {
  bool exists = false;
  absl::Status status =
      connection->Query(absl::StrCat("SELECT id FROM ctlstore_schema_intents WHERE id = ?",
                                     connection->dialect().ForUpdate()),
                        {id}, [&exists](absl::Span<const ValueView>) {
                          exists = true;
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return exists;
}

absl::Status RemoveIntent(Connection* connection, int64_t id) {
  return connection->Execute("DELETE FROM ctlstore_schema_intents WHERE id = ?", {id}).status();
}

}  // namespace ctlstore::ctldb
