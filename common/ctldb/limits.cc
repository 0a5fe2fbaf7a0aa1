#include "common/ctldb/limits.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

// How many counts one call forgets.
constexpr int kMaxDeletedUsages = 500;

// Writers of one query; few different numbers, because statements are prepared once for each text.
constexpr size_t kWritersPerQuery[] = {64, 8, 1};

absl::Status LimitNotFound(absl::string_view whose) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kLimitNotFound,
                         absl::StrCat("the ", whose, " has no limit of its own"));
}

// Whether the table has a row for a writer whose name has the same bytes.
absl::StatusOr<bool> HasWriterLimit(Connection* connection, absl::string_view writer) {
  bool has = false;
  absl::Status status =
      connection->Query("SELECT writer_name FROM max_writer_rates WHERE writer_name = ?", {writer},
                        [&](absl::Span<const ValueView> row) {
                          has = has || row[0].data() == writer;
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return has;
}

std::string UsageQuery(size_t writers) {
  std::string sql =
      "SELECT writer_name, amount FROM writer_usage WHERE bucket = ? AND writer_name IN (?";
  for (size_t i = 1; i < writers; ++i) sql.append(", ?");
  sql.append(")");
  return sql;
}

}  // namespace

absl::StatusOr<std::vector<TableLimit>> ListTableLimits(Connection* connection) {
  std::vector<TableLimit> limits;
  absl::Status status = connection->Query(
      "SELECT family_name, table_name, warn_size_bytes, max_size_bytes FROM max_table_sizes", {},
      [&limits](absl::Span<const ValueView> row) {
        absl::StatusOr<TableName> name = NormalizeName(row[0].data(), row[1].data());
        if (!name.ok() || name->family != row[0].data() || name->table != row[1].data()) {
          return absl::OkStatus();
        }
        limits.push_back({*std::move(name), {row[2].integer(), row[3].integer()}});
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  std::sort(limits.begin(), limits.end(),
            [](const TableLimit& a, const TableLimit& b) { return a.table < b.table; });
  return limits;
}

absl::Status SetTableLimit(Connection* connection, const TableLimit& limit) {
  return connection
      ->Execute(
          "REPLACE INTO max_table_sizes (family_name, table_name, warn_size_bytes, "
          "max_size_bytes) VALUES (?, ?, ?, ?)",
          {limit.table.family, limit.table.table, limit.limit.warn_bytes, limit.limit.max_bytes})
      .status();
}

absl::Status DeleteTableLimit(Connection* connection, const TableName& table) {
  absl::StatusOr<int64_t> deleted =
      connection->Execute("DELETE FROM max_table_sizes WHERE family_name = ? AND table_name = ?",
                          {table.family, table.table});
  if (!deleted.ok()) return deleted.status();
  return *deleted > 0 ? absl::OkStatus() : LimitNotFound("table");
}

absl::StatusOr<std::vector<WriterLimit>> ListWriterLimits(Connection* connection) {
  std::vector<WriterLimit> limits;
  absl::Status status =
      connection->Query("SELECT writer_name, max_rows_per_minute FROM max_writer_rates", {},
                        [&limits](absl::Span<const ValueView> row) {
                          limits.push_back({std::string(row[0].data()), row[1].integer()});
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  std::sort(limits.begin(), limits.end(),
            [](const WriterLimit& a, const WriterLimit& b) { return a.writer < b.writer; });
  return limits;
}

absl::Status SetWriterLimit(Connection* connection, const WriterLimit& limit) {
  // Not REPLACE: where names are folded, it would take another writer's limit away.
  absl::StatusOr<int64_t> added = connection->Execute(
      "INSERT INTO max_writer_rates (writer_name, max_rows_per_minute) VALUES (?, ?)",
      {limit.writer, limit.rows_per_minute});
  if (!absl::IsAlreadyExists(added.status())) return added.status();
  absl::StatusOr<bool> has = HasWriterLimit(connection, limit.writer);
  if (!has.ok()) return has.status();
  if (!*has) {
    return ErrorWithReason(
        absl::StatusCode::kAlreadyExists, reason::kWriterDiffers,
        "there is a limit for a writer whose name differs in case, accents or trailing blanks "
        "only, and this ctldb's table max_writer_rates, which another program has made, does not "
        "keep such names apart");
  }
  return connection
      ->Execute("UPDATE max_writer_rates SET max_rows_per_minute = ? WHERE writer_name = ?",
                {limit.rows_per_minute, limit.writer})
      .status();
}

absl::Status DeleteWriterLimit(Connection* connection, absl::string_view writer) {
  absl::StatusOr<bool> has = HasWriterLimit(connection, writer);
  if (!has.ok()) return has.status();
  if (!*has) return LimitNotFound("writer");
  absl::StatusOr<int64_t> deleted =
      connection->Execute("DELETE FROM max_writer_rates WHERE writer_name = ?", {writer});
  if (!deleted.ok()) return deleted.status();
  return *deleted > 0 ? absl::OkStatus() : LimitNotFound("writer");
}

absl::StatusOr<absl::flat_hash_map<std::string, int64_t>> ReadWriterUsage(
    Connection* connection, int64_t bucket, absl::Span<const std::string> writers) {
  const absl::flat_hash_set<absl::string_view> wanted(writers.begin(), writers.end());
  absl::flat_hash_map<std::string, int64_t> usage;
  bool folded = false;

  std::vector<ValueView> rest(wanted.begin(), wanted.end());
  std::vector<ValueView> parameters;
  while (!rest.empty()) {
    // The smallest query that takes all of the rest, or else the largest.
    size_t size = kWritersPerQuery[0];
    for (const size_t smaller : kWritersPerQuery) {
      if (smaller >= rest.size()) size = smaller;
    }
    parameters.assign(1, bucket);
    for (size_t i = 0; i < size; ++i) {
      parameters.push_back(rest.back());
      // The last one is named again where there are not enough.
      if (rest.size() > 1 || i + 1 == size) rest.pop_back();
    }
    absl::Status status =
        connection->Query(UsageQuery(size), parameters, [&](absl::Span<const ValueView> row) {
          if (wanted.contains(row[0].data())) {
            usage[row[0].data()] = row[1].integer();
          } else {
            folded = true;
          }
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
  }

  if (!folded) return usage;
  // Only the database knows which of the names it takes for the one that it has.
  for (const absl::string_view writer : wanted) {
    if (usage.contains(writer)) continue;
    absl::Status status =
        connection->Query(UsageQuery(1), {bucket, writer}, [&](absl::Span<const ValueView> row) {
          usage[writer] = row[1].integer();
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
  }
  return usage;
}

absl::Status AddWriterUsage(Connection* connection, int64_t bucket,
                            absl::Span<const WriterRows> usage) {
  std::vector<ValueView> parameters;
  parameters.reserve(usage.size() * 3);
  for (const WriterRows& writer : usage) {
    parameters.insert(parameters.end(), {writer.writer, bucket, writer.rows});
  }
  std::vector<absl::Span<const ValueView>> rows;
  for (size_t i = 0; i < usage.size(); ++i) {
    rows.push_back(absl::MakeConstSpan(parameters).subspan(i * 3, 3));
  }
  return connection->ExecuteMany(
      absl::StrCat("INSERT INTO writer_usage (writer_name, bucket, amount) VALUES (?, ?, ?)",
                   connection->dialect().OnDuplicateAdd("writer_name, bucket", "amount")),
      rows);
}

absl::StatusOr<int64_t> DeleteOldWriterUsage(Connection* connection, int64_t bucket) {
  std::vector<std::pair<std::string, int64_t>> old;
  absl::Status status =
      connection->Query("SELECT writer_name, bucket FROM writer_usage WHERE bucket < ? LIMIT ?",
                        {bucket, kMaxDeletedUsages}, [&](absl::Span<const ValueView> row) {
                          old.emplace_back(row[0].data(), row[1].integer());
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  if (old.empty()) return 0;

  std::vector<ValueView> parameters;
  parameters.reserve(old.size() * 2);
  for (const auto& [writer, writer_bucket] : old) {
    parameters.insert(parameters.end(), {writer, writer_bucket});
  }
  std::vector<absl::Span<const ValueView>> rows;
  for (size_t i = 0; i < old.size(); ++i) {
    rows.push_back(absl::MakeConstSpan(parameters).subspan(i * 2, 2));
  }
  status = connection->BeginWrite();
  // By their whole keys, so that no gap beside them is locked.
  if (status.ok()) {
    status = connection->ExecuteMany(
        "DELETE FROM writer_usage WHERE writer_name = ? AND bucket = ?", rows);
  }
  if (status.ok()) status = connection->Commit();
  connection->Rollback();
  if (!status.ok()) return status;
  return static_cast<int64_t>(old.size());
}

absl::StatusOr<absl::flat_hash_map<TableName, int64_t>> MeasureTableSizes(Connection* connection) {
  const Dialect& dialect = connection->dialect();
  if (!dialect.FreshTableSizes().empty()) {
    absl::StatusOr<int64_t> set = connection->Execute(dialect.FreshTableSizes());
    if (!set.ok()) return set.status();
  }
  absl::flat_hash_map<TableName, int64_t> sizes;
  absl::Status status =
      connection->Query(dialect.TableSizesQuery(), {}, [&sizes](absl::Span<const ValueView> row) {
        absl::StatusOr<TableName> name = ParseSqlTableName(row[0].data());
        if (name.ok()) sizes[*std::move(name)] = row[1].integer();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return sizes;
}

}  // namespace ctlstore::ctldb
