#include "executive/limit_admin.h"

#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "common/schema/names.h"
#include "executive/limit_conversion.h"

namespace ctlstore::executive {
namespace {

using Lease = ctldb::ConnectionPool::Lease;

// Lets the book know of a change that was made.
absl::Status Change(ctldb::ConnectionPool* pool, LimitBook* book, absl::Time deadline,
                    absl::FunctionRef<absl::Status(ctldb::Connection*)> change) {
  {
    // Given back before the book takes one.
    absl::StatusOr<Lease> lease = pool->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::Status status = change(lease->get());
    if (!status.ok()) return status;
  }
  // Where that fails, the book has logged it and tries again by itself; the change is made.
  (void)book->RefreshLimits(deadline);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TableLimits> LimitAdmin::ListTableLimits(absl::Time deadline) {
  absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
  if (!lease.ok()) return lease.status();
  absl::StatusOr<std::vector<ctldb::TableLimit>> tables = ctldb::ListTableLimits(lease->get());
  if (!tables.ok()) return tables.status();
  return TableLimits{book_->options().default_table_limit, *std::move(tables)};
}

absl::Status LimitAdmin::SetTableLimit(absl::string_view family, absl::string_view table,
                                       const ctldb::TableSizeLimit& limit, absl::Time deadline) {
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  absl::Status status = CheckTableSizeLimit("limit.warn_bytes", "limit.max_bytes", limit);
  if (!status.ok()) return status;
  return Change(pool_, book_, deadline, [&](ctldb::Connection* connection) {
    return ctldb::SetTableLimit(connection, {*name, limit});
  });
}

absl::Status LimitAdmin::DeleteTableLimit(absl::string_view family, absl::string_view table,
                                          absl::Time deadline) {
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  return Change(pool_, book_, deadline, [&](ctldb::Connection* connection) {
    return ctldb::DeleteTableLimit(connection, *name);
  });
}

absl::StatusOr<WriterLimits> LimitAdmin::ListWriterLimits(absl::Time deadline) {
  absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
  if (!lease.ok()) return lease.status();
  absl::StatusOr<std::vector<ctldb::WriterLimit>> writers = ctldb::ListWriterLimits(lease->get());
  if (!writers.ok()) return writers.status();
  WriterLimits limits;
  const LimitBook::Options& options = book_->options();
  if (options.default_writer_rows > 0) {
    limits.default_limit = RateLimit{options.default_writer_rows, options.writer_period};
  }
  limits.writers = *std::move(writers);
  return limits;
}

absl::Status LimitAdmin::SetWriterLimit(absl::string_view writer, const RateLimit& limit,
                                        absl::Time deadline) {
  absl::Status status = CheckWriterName("writer", writer);
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> rows_per_minute =
      RowsPerMinute("limit.rows", limit.rows, "limit.period", limit.period);
  if (!rows_per_minute.ok()) return rows_per_minute.status();
  return Change(pool_, book_, deadline, [&](ctldb::Connection* connection) {
    return ctldb::SetWriterLimit(connection, {std::string(writer), *rows_per_minute});
  });
}

absl::Status LimitAdmin::DeleteWriterLimit(absl::string_view writer, absl::Time deadline) {
  absl::Status status = CheckWriterName("writer", writer);
  if (!status.ok()) return status;
  return Change(pool_, book_, deadline, [&](ctldb::Connection* connection) {
    return ctldb::DeleteWriterLimit(connection, writer);
  });
}

}  // namespace ctlstore::executive
