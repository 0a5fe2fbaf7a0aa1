#include "common/ctldb/writers.h"

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {

absl::StatusOr<absl::optional<Writer>> ReadWriter(Connection* connection,
                                                  absl::string_view writer) {
  absl::optional<Writer> result;
  absl::Status status = connection->Query(
      absl::StrCat("SELECT writer, secret, cookie FROM mutators WHERE writer = ?",
                   connection->in_transaction() ? connection->dialect().ForUpdate() : ""),
      {writer}, [&](absl::Span<const ValueView> row) {
        // A table that another program has made may compare names without case.
        if (row[0].data() != writer) return absl::OkStatus();
        // Columns that are NULL have no data.
        result = Writer{std::string(row[1].data()), std::string(row[2].data())};
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<bool> AddWriter(Connection* connection, absl::string_view writer,
                               absl::string_view secret_hash) {
  absl::StatusOr<int64_t> added = connection->Execute(
      "INSERT INTO mutators (writer, secret, cookie, clock) VALUES (?, ?, ?, ?)",
      {writer, secret_hash, ValueView::Bytes(""), 0});
  if (added.ok()) return true;
  if (!absl::IsAlreadyExists(added.status())) return added.status();
  absl::StatusOr<absl::optional<Writer>> existing = ReadWriter(connection, writer);
  if (!existing.ok()) return existing.status();
  if (existing->has_value()) return false;
  return ErrorWithReason(
      absl::StatusCode::kAlreadyExists, reason::kWriterDiffers,
      "there is a writer whose name differs in case, accents or trailing blanks only, and this "
      "ctldb's table mutators, which another program has made, does not keep such names apart");
}

absl::StatusOr<bool> ReplaceSecretHash(Connection* connection, absl::string_view writer,
                                       absl::string_view old_hash, absl::string_view new_hash) {
  // A table that another program has made may compare hashes without case; their bytes differ.
  absl::StatusOr<int64_t> changed = connection->Execute(
      "UPDATE mutators SET secret = ? WHERE writer = ? AND secret = ? AND HEX(secret) = HEX(?)",
      {new_hash, writer, old_hash, old_hash});
  if (!changed.ok()) return changed.status();
  return *changed > 0;
}

absl::Status WriteCookie(Connection* connection, absl::string_view writer,
                         absl::string_view cookie) {
  absl::StatusOr<int64_t> changed =
      connection->Execute("UPDATE mutators SET cookie = ?, clock = clock + 1 WHERE writer = ?",
                          {ValueView::Bytes(cookie), writer});
  if (!changed.ok()) return changed.status();
  if (*changed == 0) return absl::NotFoundError("there is no such writer");
  return absl::OkStatus();
}

}  // namespace ctlstore::ctldb
