#include "common/ctldb/writers.h"

#include <array>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

constexpr size_t kMaxWritersPerQuery = 64;

constexpr char kWriteCookieSql[] =
    "UPDATE mutators SET cookie = ?, clock = clock + 1 WHERE writer = ?";

}  // namespace

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

absl::StatusOr<absl::flat_hash_map<std::string, std::string>> ReadCookies(
    Connection* connection, absl::Span<const absl::string_view> writers) {
  absl::flat_hash_map<std::string, std::string> wanted;
  for (const absl::string_view writer : writers) wanted.try_emplace(writer);
  std::vector<ValueView> names;
  names.reserve(wanted.size());
  for (const auto& [writer, cookie] : wanted) names.push_back(writer);

  absl::flat_hash_map<std::string, std::string> found;
  absl::Span<const ValueView> rest = names;
  std::vector<ValueView> parameters;
  while (!rest.empty()) {
    const absl::Span<const ValueView> part = rest.subspan(0, kMaxWritersPerQuery);
    rest.remove_prefix(part.size());
    // Filled up to a power of two, so that few different statements are prepared.
    size_t count = 1;
    while (count < part.size()) count *= 2;
    parameters.assign(part.begin(), part.end());
    parameters.resize(count, part.back());
    std::string sql = "SELECT writer, cookie FROM mutators WHERE writer IN (?";
    for (size_t i = 1; i < count; ++i) sql += ",?";
    absl::StrAppend(&sql, ")",
                    connection->in_transaction() ? connection->dialect().ForUpdate() : "");
    absl::Status status = connection->Query(sql, parameters, [&](absl::Span<const ValueView> row) {
      // A table that another program has made may compare names without case.
      if (!wanted.contains(row[0].data())) return absl::OkStatus();
      found.insert_or_assign(std::string(row[0].data()), std::string(row[1].data()));
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
  }
  return found;
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
      connection->Execute(kWriteCookieSql, {ValueView::Bytes(cookie), writer});
  if (!changed.ok()) return changed.status();
  if (*changed == 0) return absl::NotFoundError("there is no such writer");
  return absl::OkStatus();
}

absl::Status WriteCookies(Connection* connection, absl::Span<const WriterCookie> cookies) {
  std::vector<std::array<ValueView, 2>> parameters;
  parameters.reserve(cookies.size());
  for (const WriterCookie& cookie : cookies) {
    parameters.push_back({ValueView::Bytes(cookie.cookie), cookie.writer});
  }
  const std::vector<absl::Span<const ValueView>> rows(parameters.begin(), parameters.end());
  return connection->ExecuteMany(kWriteCookieSql, rows);
}

}  // namespace ctlstore::ctldb
