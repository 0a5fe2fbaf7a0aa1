#include "bindings/c/ctlstore.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bindings/c/handles.h"

namespace {

using ctlstore::FieldTypeName;
using ctlstore::TableSchema;
using ctlstore::Value;
using ctlstore::ValueView;
using ctlstore::bindings::BadArgument;
using ctlstore::bindings::Free;
using ctlstore::bindings::Guarded;
using ctlstore::bindings::Key;
using ctlstore::bindings::SharedReader;
using ctlstore::bindings::SharedSnapshot;
using ctlstore::bindings::ToC;
using ctlstore::bindings::ToKey;
using ctlstore::ldb::ListOptions;
using ctlstore::ldb::Position;
using ctlstore::ldb::ReaderOptions;
using ctlstore::ldb::ReaderStats;
using ctlstore::ldb::RowIterator;

#define CTLSTORE_REQUIRE(argument)                                       \
  do {                                                                   \
    if ((argument) == nullptr) return BadArgument(#argument " is NULL"); \
  } while (false)

#define CTLSTORE_RETURN_IF_ERROR(expression) \
  do {                                       \
    absl::Status status_ = (expression);     \
    if (!status_.ok()) return status_;       \
  } while (false)

// Structs may be shorter or longer than this library's own: what both have is copied.
template <typename Struct>
void CopyOut(Struct from, Struct* to) {
  const size_t size = std::min(to->struct_size, sizeof(Struct));
  if (size <= sizeof(size_t)) return;
  std::memcpy(reinterpret_cast<char*>(to) + sizeof(size_t),
              reinterpret_cast<const char*>(&from) + sizeof(size_t), size - sizeof(size_t));
}

template <typename Struct>
void CopyIn(const Struct* from, Struct* to) {
  if (from != nullptr) std::memcpy(to, from, std::min(from->struct_size, sizeof(Struct)));
}

// Of a reader or a snapshot.
template <typename Source>
absl::Status GetRow(const std::shared_ptr<SharedReader>& shared, Source* source, const char* family,
                    const char* table, const ctlstore_value* key, size_t key_size,
                    ctlstore_row** row) {
  CTLSTORE_REQUIRE(row);
  if (*row != nullptr) (*row)->view = nullptr;
  CTLSTORE_REQUIRE(family);
  CTLSTORE_REQUIRE(table);
  CTLSTORE_RETURN_IF_ERROR(shared->CheckProcess());
  Key views;
  CTLSTORE_RETURN_IF_ERROR(ToKey("key", key, key_size, &views));
  absl::StatusOr<ctlstore::ldb::Row> found = source->GetRow(family, table, views);
  if (!found.ok()) {
    if (*row != nullptr) (*row)->row.reset();
    return found.status();
  }
  if (*row == nullptr) *row = new ctlstore_row;
  ctlstore_row* const to = *row;
  if (to->shared != shared) {
    to->row.reset();
    to->shared = shared;
  }
  to->row = *std::move(found);
  to->view = &*to->row;
  return absl::OkStatus();
}

template <typename Source>
absl::Status ListRows(const std::shared_ptr<SharedReader>& shared,
                      const std::shared_ptr<SharedSnapshot>& snapshot, Source* source,
                      const char* family, const char* table, const ctlstore_value* prefix,
                      size_t prefix_size, const ctlstore_list_options* options,
                      ctlstore_rows** rows) {
  CTLSTORE_REQUIRE(family);
  CTLSTORE_REQUIRE(table);
  CTLSTORE_REQUIRE(rows);
  CTLSTORE_RETURN_IF_ERROR(shared->CheckProcess());
  ctlstore_list_options chosen;
  ctlstore_list_options_init(&chosen, sizeof(chosen));
  CopyIn(options, &chosen);
  Key prefix_views, after_views;
  CTLSTORE_RETURN_IF_ERROR(ToKey("prefix", prefix, prefix_size, &prefix_views));
  CTLSTORE_RETURN_IF_ERROR(ToKey("after", chosen.after, chosen.after_size, &after_views));
  ListOptions list;
  list.limit = chosen.limit < 0 ? ctlstore::ldb::kNoLimit : chosen.limit;
  list.after = after_views;
  RowIterator iterator = source->ListRows(family, table, prefix_views, list);
  if (!iterator.status().ok()) return iterator.status();
  *rows = new ctlstore_rows{shared, snapshot, std::move(iterator)};
  return absl::OkStatus();
}

int64_t Nanos(const absl::optional<absl::Time>& time) {
  return time.has_value() ? absl::ToUnixNanos(*time) : CTLSTORE_UNKNOWN;
}

}  // namespace

extern "C" {

int32_t ctlstore_abi_version(void) { return CTLSTORE_ABI_VERSION; }

const char* ctlstore_version(void) { return "1.0"; }

void ctlstore_options_init(ctlstore_options* options, size_t struct_size) {
  if (options == nullptr) return;
  const ReaderOptions defaults;
  options->struct_size = struct_size;
  CopyOut({0, defaults.cache_bytes, defaults.page_cache_bytes,
           absl::ToInt64Milliseconds(defaults.max_hold)},
          options);
}

int32_t ctlstore_open(const char* path, const ctlstore_options* options, ctlstore_reader** reader,
                      ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    ctlstore_options chosen;
    ctlstore_options_init(&chosen, sizeof(chosen));
    CopyIn(options, &chosen);
    if (chosen.max_hold_ms <= 0) {
      return BadArgument(
          absl::StrCat("options.max_hold_ms is ", chosen.max_hold_ms, "; it must be above 0"));
    }
    ReaderOptions reader_options;
    reader_options.cache_bytes = chosen.cache_bytes;
    reader_options.page_cache_bytes = chosen.page_cache_bytes;
    reader_options.max_hold = absl::Milliseconds(chosen.max_hold_ms);
    *reader = new ctlstore_reader{SharedReader::Open(path, reader_options)};
    return absl::OkStatus();
  });
}

void ctlstore_close(ctlstore_reader* reader) { delete reader; }

const char* ctlstore_path(const ctlstore_reader* reader) {
  return reader == nullptr ? nullptr : reader->shared->get()->path().c_str();
}

int32_t ctlstore_get_row(ctlstore_reader* reader, const char* family, const char* table,
                         const ctlstore_value* key, size_t key_size, ctlstore_row** row,
                         ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    return GetRow(reader->shared, reader->shared->get(), family, table, key, key_size, row);
  });
}

int32_t ctlstore_row_exists(const ctlstore_row* row) {
  return row != nullptr && row->view != nullptr && row->view->exists() ? 1 : 0;
}

size_t ctlstore_row_size(const ctlstore_row* row) {
  return row == nullptr || row->view == nullptr ? 0 : row->view->size();
}

const char* ctlstore_row_name(const ctlstore_row* row, size_t column) {
  if (column >= ctlstore_row_size(row)) return nullptr;
  // A TableShape's name, which is a std::string.
  return row->view->name(column).data();
}

int32_t ctlstore_row_value(const ctlstore_row* row, size_t column, ctlstore_value* value) {
  if (value == nullptr) return CTLSTORE_INVALID_ARGUMENT;
  if (column >= ctlstore_row_size(row)) return CTLSTORE_OUT_OF_RANGE;
  *value = ToC(row->view->value(column));
  return CTLSTORE_OK;
}

int32_t ctlstore_row_get(const ctlstore_row* row, const char* column, ctlstore_value* value) {
  if (column == nullptr || value == nullptr) return CTLSTORE_INVALID_ARGUMENT;
  const size_t size = ctlstore_row_size(row);
  for (size_t i = 0; i < size; ++i) {
    if (!absl::EqualsIgnoreCase(row->view->name(i), column)) continue;
    *value = ToC(row->view->value(i));
    return CTLSTORE_OK;
  }
  return CTLSTORE_NOT_FOUND;
}

void ctlstore_row_clear(ctlstore_row* row) {
  if (row == nullptr) return;
  row->view = nullptr;
  row->row.reset();
}

void ctlstore_row_free(ctlstore_row* row) {
  if (row != nullptr) Free(row, *row->shared);
}

void ctlstore_list_options_init(ctlstore_list_options* options, size_t struct_size) {
  if (options == nullptr) return;
  options->struct_size = struct_size;
  CopyOut({0, -1, nullptr, 0}, options);
}

int32_t ctlstore_list_rows(ctlstore_reader* reader, const char* family, const char* table,
                           const ctlstore_value* prefix, size_t prefix_size,
                           const ctlstore_list_options* options, ctlstore_rows** rows,
                           ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    return ListRows(reader->shared, nullptr, reader->shared->get(), family, table, prefix,
                    prefix_size, options, rows);
  });
}

int32_t ctlstore_rows_next(ctlstore_rows* rows, const ctlstore_row** row, ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(row);
    *row = nullptr;
    CTLSTORE_REQUIRE(rows);
    absl::Status status;
    rows->row.view = nullptr;
    if (rows->Next(&status)) {
      rows->row.view = &rows->iterator.row();
      *row = &rows->row;
    }
    return status;
  });
}

int32_t ctlstore_rows_key(ctlstore_rows* rows, const ctlstore_value** key, size_t* key_size) {
  return Guarded(nullptr, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(rows);
    CTLSTORE_REQUIRE(key);
    CTLSTORE_REQUIRE(key_size);
    if (rows->row.view == nullptr) return absl::OutOfRangeError("at no row");
    rows->key = rows->iterator.key();
    rows->c_key.clear();
    for (const Value& value : rows->key) rows->c_key.push_back(ToC(value.view()));
    *key = rows->c_key.data();
    *key_size = rows->c_key.size();
    return absl::OkStatus();
  });
}

void ctlstore_rows_close(ctlstore_rows* rows) {
  if (rows != nullptr) Free(rows, *rows->shared);
}

int32_t ctlstore_snapshot_begin(ctlstore_reader* reader, ctlstore_snapshot** snapshot,
                                ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_REQUIRE(snapshot);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    absl::StatusOr<ctlstore::ldb::Snapshot> begun = reader->shared->get()->GetSnapshot();
    if (!begun.ok()) return begun.status();
    *snapshot = new ctlstore_snapshot{
        std::shared_ptr<SharedSnapshot>(new SharedSnapshot{reader->shared, *std::move(begun)})};
    return absl::OkStatus();
  });
}

int64_t ctlstore_snapshot_sequence(const ctlstore_snapshot* snapshot) {
  return snapshot == nullptr ? 0 : snapshot->shared->snapshot.sequence();
}

int32_t ctlstore_snapshot_get_row(ctlstore_snapshot* snapshot, const char* family,
                                  const char* table, const ctlstore_value* key, size_t key_size,
                                  ctlstore_row** row, ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(snapshot);
    return GetRow(snapshot->shared->reader, &snapshot->shared->snapshot, family, table, key,
                  key_size, row);
  });
}

int32_t ctlstore_snapshot_list_rows(ctlstore_snapshot* snapshot, const char* family,
                                    const char* table, const ctlstore_value* prefix,
                                    size_t prefix_size, const ctlstore_list_options* options,
                                    ctlstore_rows** rows, ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(snapshot);
    return ListRows(snapshot->shared->reader, snapshot->shared, &snapshot->shared->snapshot, family,
                    table, prefix, prefix_size, options, rows);
  });
}

void ctlstore_snapshot_end(ctlstore_snapshot* snapshot) {
  if (snapshot != nullptr) Free(snapshot, *snapshot->shared->reader);
}

int32_t ctlstore_get_table(ctlstore_reader* reader, const char* family, const char* table,
                           ctlstore_tables** tables, ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_REQUIRE(family);
    CTLSTORE_REQUIRE(table);
    CTLSTORE_REQUIRE(tables);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    absl::StatusOr<TableSchema> schema = reader->shared->get()->GetTable(family, table);
    if (!schema.ok()) return schema.status();
    *tables = new ctlstore_tables{{{*std::move(schema)}}};
    return absl::OkStatus();
  });
}

int32_t ctlstore_list_tables(ctlstore_reader* reader, ctlstore_tables** tables,
                             ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_REQUIRE(tables);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    absl::StatusOr<std::vector<TableSchema>> schemas = reader->shared->get()->ListTables();
    if (!schemas.ok()) return schemas.status();
    auto result = std::make_unique<ctlstore_tables>();
    for (TableSchema& schema : *schemas) result->tables.push_back({std::move(schema)});
    *tables = result.release();
    return absl::OkStatus();
  });
}

size_t ctlstore_tables_size(const ctlstore_tables* tables) {
  return tables == nullptr ? 0 : tables->tables.size();
}

const ctlstore_table* ctlstore_tables_at(const ctlstore_tables* tables, size_t position) {
  return position < ctlstore_tables_size(tables) ? &tables->tables[position] : nullptr;
}

void ctlstore_tables_free(ctlstore_tables* tables) { delete tables; }

const char* ctlstore_table_family(const ctlstore_table* table) {
  return table == nullptr ? nullptr : table->schema.name().family.c_str();
}

const char* ctlstore_table_name(const ctlstore_table* table) {
  return table == nullptr ? nullptr : table->schema.name().table.c_str();
}

size_t ctlstore_table_size(const ctlstore_table* table) {
  return table == nullptr ? 0 : table->schema.fields().size();
}

const char* ctlstore_table_field_name(const ctlstore_table* table, size_t field) {
  if (field >= ctlstore_table_size(table)) return nullptr;
  return table->schema.fields()[field].name.c_str();
}

const char* ctlstore_table_field_type(const ctlstore_table* table, size_t field) {
  if (field >= ctlstore_table_size(table)) return nullptr;
  // One of the constants.
  return FieldTypeName(table->schema.fields()[field].type).data();
}

size_t ctlstore_table_key_size(const ctlstore_table* table) {
  return table == nullptr ? 0 : table->schema.key_positions().size();
}

const char* ctlstore_table_key_name(const ctlstore_table* table, size_t position) {
  if (position >= ctlstore_table_key_size(table)) return nullptr;
  return table->schema.key_field(position).name.c_str();
}

int32_t ctlstore_get_sequence(ctlstore_reader* reader, int64_t* sequence, ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_REQUIRE(sequence);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    absl::StatusOr<int64_t> applied = reader->shared->get()->GetSequence();
    if (!applied.ok()) return applied.status();
    *sequence = *applied;
    return absl::OkStatus();
  });
}

int32_t ctlstore_wait_for_sequence(ctlstore_reader* reader, int64_t sequence, int64_t timeout_ms,
                                   ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    const absl::Time deadline =
        timeout_ms < 0 ? absl::InfiniteFuture() : absl::Now() + absl::Milliseconds(timeout_ms);
    return reader->shared->get()->WaitForSequence(sequence, deadline);
  });
}

int32_t ctlstore_get_position(ctlstore_reader* reader, ctlstore_position* position,
                              ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_REQUIRE(position);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    absl::StatusOr<Position> found = reader->shared->get()->GetPosition();
    if (!found.ok()) return found.status();
    const absl::optional<absl::Duration> lag = found->Lag(absl::Now());
    CopyOut(
        {0, found->applied_sequence, Nanos(found->applied_entry_time), Nanos(found->heartbeat_time),
         lag.has_value() ? absl::ToInt64Nanoseconds(*lag) : CTLSTORE_UNKNOWN},
        position);
    return absl::OkStatus();
  });
}

int32_t ctlstore_get_stats(ctlstore_reader* reader, ctlstore_stats* stats, ctlstore_error* error) {
  return Guarded(error, [&]() -> absl::Status {
    CTLSTORE_REQUIRE(reader);
    CTLSTORE_REQUIRE(stats);
    CTLSTORE_RETURN_IF_ERROR(reader->shared->CheckProcess());
    const ReaderStats found = reader->shared->get()->stats();
    CopyOut({0, found.cache_hits, found.cache_misses, found.cache_rows,
             static_cast<int64_t>(found.cache_bytes), static_cast<int64_t>(found.cache_max_bytes),
             found.cache_evicted, found.cache_invalidated, found.cache_tables_invalidated,
             found.connections, found.files_replaced, found.has_freshness_page ? 1 : 0},
            stats);
    return absl::OkStatus();
  });
}

}  // extern "C"
