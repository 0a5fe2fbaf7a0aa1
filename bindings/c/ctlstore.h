/* Reads control data from this host's local database, in-process, from C and from every language
 * that can call C. Link with -lctlstore; example.c beside this file is a whole program.
 *
 *   ctlstore_reader* reader = NULL;
 *   ctlstore_row* row = NULL;
 *   ctlstore_value key = ctlstore_text("NZ");
 *   ctlstore_error error;
 *   if (ctlstore_open(NULL, NULL, &reader, &error) != CTLSTORE_OK ||
 *       ctlstore_get_row(reader, "geo", "countries", &key, 1, &row, &error) != CTLSTORE_OK) {
 *     fprintf(stderr, "%s\n", error.message);
 *   }
 *   ctlstore_row_free(row);
 *   ctlstore_close(reader);
 *
 * Calls. What can fail returns CTLSTORE_OK (0) or an error's code, and then fills in `*error`. That
 * may be NULL, and is left alone on success, as the other results are on failure. Nothing is
 * thrown, and nothing is kept between calls but in the objects below.
 *
 * Ownership. Who gets an object frees it, by the function that its type names; to free NULL does
 * nothing. Objects may be freed in any order: what a row, a list or a snapshot needs of its reader
 * stays until they are freed. What a function returns as a pointer into an object is valid for as
 * long as it says.
 *
 * Threads. A reader may be used by any number of threads at once, but nobody may use it while it is
 * closed. All else belongs to one thread at a time; a snapshot and the lists in it count as one.
 *
 * fork(). A child must open a reader of its own: calls on what its parent opened fail with
 * CTLSTORE_FAILED_PRECONDITION (FORKED). Freeing it is harmless, and frees nothing.
 *
 * Text. Names of families, tables and columns end with a NUL, here and there; they are taken in any
 * case. Values do not: text and bytes have a size, and nothing stands behind them. Text is UTF-8.
 * Sizes are in bytes. */

#ifndef CTLSTORE_BINDINGS_C_CTLSTORE_H_
#define CTLSTORE_BINDINGS_C_CTLSTORE_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when functions or fields are added; programs that were built for a lower one go on. What
 * would break them gets another library name (libctlstore.so.1). */
#define CTLSTORE_ABI_VERSION 1
/* Of the library that is loaded. */
int32_t ctlstore_abi_version(void);
/* Of the same, for people: "1.0". */
const char* ctlstore_version(void);

/* The numbers are gRPC's. Which error means what is documented beside the calls. */
enum {
  CTLSTORE_OK = 0,
  CTLSTORE_INVALID_ARGUMENT = 3,
  CTLSTORE_DEADLINE_EXCEEDED = 4,
  CTLSTORE_NOT_FOUND = 5,
  CTLSTORE_RESOURCE_EXHAUSTED = 8,
  CTLSTORE_FAILED_PRECONDITION = 9,
  CTLSTORE_ABORTED = 10,
  CTLSTORE_OUT_OF_RANGE = 11,
  CTLSTORE_INTERNAL = 13,
  CTLSTORE_UNAVAILABLE = 14,
  CTLSTORE_DATA_LOSS = 15
};

/* Errors of all calls that read:
 *   UNAVAILABLE (LDB_UNAVAILABLE)      there is no local database (yet), or it cannot be read
 *   NOT_FOUND (TABLE_NOT_FOUND)        it has no such table
 *   INVALID_ARGUMENT (INVALID_KEY)     a key of the wrong length, or a value of the wrong type
 *   INVALID_ARGUMENT (INVALID_REQUEST) an argument that must not be NULL is, or the like
 *   DATA_LOSS                          the file is damaged
 *   FAILED_PRECONDITION (FORKED)       opened by the parent process
 *   RESOURCE_EXHAUSTED                 out of memory */
typedef struct ctlstore_error {
  int32_t code;
  /* For programs: stable, in capitals; empty where there is none. Ends with a NUL. */
  char reason[64];
  /* For people. Ends with a NUL; a longer one is cut. */
  char message[512];
} ctlstore_error;

/* ---- Values ---- */

enum {
  CTLSTORE_NULL = 0,
  CTLSTORE_INTEGER = 1,
  CTLSTORE_DECIMAL = 2,
  CTLSTORE_TEXT = 3,
  CTLSTORE_BYTES = 4
};

typedef struct ctlstore_value {
  /* Which of the others counts; those that do not are 0 in what this library returns. */
  int32_t type;
  int64_t integer;
  double decimal;
  /* Text and bytes, without a NUL behind them. May be NULL where the size is 0. */
  const char* data;
  size_t size;
} ctlstore_value;

/* Values for keys. Text and bytes are not copied. */
static inline ctlstore_value ctlstore_integer(int64_t integer) {
  ctlstore_value value = {CTLSTORE_INTEGER, integer, 0, NULL, 0};
  return value;
}
static inline ctlstore_value ctlstore_text(const char* text) {
  ctlstore_value value = {CTLSTORE_TEXT, 0, 0, text, strlen(text)};
  return value;
}
static inline ctlstore_value ctlstore_bytes(const void* data, size_t size) {
  ctlstore_value value = {CTLSTORE_BYTES, 0, 0, (const char*)data, size};
  return value;
}

/* ---- Readers ---- */

typedef struct ctlstore_reader ctlstore_reader;

typedef struct ctlstore_options {
  /* Of this struct, as the caller knows it; set by ctlstore_options_init. */
  size_t struct_size;
  /* Memory for rows that were read last, which answers most reads; 0 for none. Default: 64 MiB. */
  size_t cache_bytes;
  /* Memory that each thread's connection takes for pages of the file at most. Default: 16 MiB. */
  size_t page_cache_bytes;
  /* How long a snapshot or a list may hold one state of the database. Default: 10,000. */
  int64_t max_hold_ms;
} ctlstore_options;

/* Sets the defaults. `struct_size` is sizeof(ctlstore_options). */
void ctlstore_options_init(ctlstore_options* options, size_t struct_size);

/* `path`: the local database's file, or a folder with versions of it; NULL for `ldb.db` in the
 * folder that the environment variable CTLSTORE_PATH names, or in /var/spool/ctlstore. It need not
 * be there yet: reads are UNAVAILABLE until it is. `options` may be NULL. To be opened once and
 * used by all threads; freed by ctlstore_close. */
int32_t ctlstore_open(const char* path, const ctlstore_options* options, ctlstore_reader** reader,
                      ctlstore_error* error);
void ctlstore_close(ctlstore_reader* reader);
/* Valid until the reader is closed. */
const char* ctlstore_path(const ctlstore_reader* reader);

/* ---- Rows ---- */

typedef struct ctlstore_row ctlstore_row;

/* Reads the row with this key, which has a value for each key field, in key order. That there is
 * none is no error: see ctlstore_row_exists.
 *
 * `*row` is NULL, and receives a row to be freed by ctlstore_row_free; or it is a row from an
 * earlier call, which then shows this one, so that nothing is allocated. On failure it shows none.
 * A row keeps memory of its reader while it shows something: do not keep many, or for long. */
int32_t ctlstore_get_row(ctlstore_reader* reader, const char* family, const char* table,
                         const ctlstore_value* key, size_t key_size, ctlstore_row** row,
                         ctlstore_error* error);

/* Whether there is such a row (1 or 0). Where not, it has no columns. */
int32_t ctlstore_row_exists(const ctlstore_row* row);
/* The number of columns. */
size_t ctlstore_row_size(const ctlstore_row* row);
/* The names and values below are valid until the row is read into again, cleared or freed. */
/* The column's name; NULL where there are not so many columns. */
const char* ctlstore_row_name(const ctlstore_row* row, size_t column);
/* The column's value. OUT_OF_RANGE where there are not so many columns. */
int32_t ctlstore_row_value(const ctlstore_row* row, size_t column, ctlstore_value* value);
/* By name. NOT_FOUND where there is no such column, and where there is no row. */
int32_t ctlstore_row_get(const ctlstore_row* row, const char* column, ctlstore_value* value);
/* Shows nothing any more, but can be read into. */
void ctlstore_row_clear(ctlstore_row* row);
void ctlstore_row_free(ctlstore_row* row);

/* ---- Lists ---- */

typedef struct ctlstore_rows ctlstore_rows;

typedef struct ctlstore_list_options {
  /* Of this struct, as the caller knows it; set by ctlstore_list_options_init. */
  size_t struct_size;
  /* At most so many rows; -1 for all. */
  int64_t limit;
  /* A whole key: only the rows behind it, to go on where an earlier list ended. It begins with the
   * prefix, and need not be a row's. NULL for none. */
  const ctlstore_value* after;
  size_t after_size;
} ctlstore_list_options;

/* No limit, from the beginning. `struct_size` is sizeof(ctlstore_list_options). */
void ctlstore_list_options_init(ctlstore_list_options* options, size_t struct_size);

/* The rows whose key begins with these values, in key order (by their bytes), all of one state of
 * the database; all rows where `prefix_size` is 0. `options` may be NULL. What the arguments point
 * at is not needed after the call. Freed by ctlstore_rows_close. */
int32_t ctlstore_list_rows(ctlstore_reader* reader, const char* family, const char* table,
                           const ctlstore_value* prefix, size_t prefix_size,
                           const ctlstore_list_options* options, ctlstore_rows** rows,
                           ctlstore_error* error);
/* Goes to the next row. `*row` is the list's own, is not freed, and valid until the next call; NULL
 * at the end, and on failure. ABORTED (SNAPSHOT_EXPIRED): see max_hold_ms; `after` takes the list
 * up again. */
int32_t ctlstore_rows_next(ctlstore_rows* rows, const ctlstore_row** row, ctlstore_error* error);
/* The key of the row that ctlstore_rows_next went to, for `after`; valid until it is called again.
 * OUT_OF_RANGE where it is at none. */
int32_t ctlstore_rows_key(ctlstore_rows* rows, const ctlstore_value** key, size_t* key_size);
void ctlstore_rows_close(ctlstore_rows* rows);

/* ---- Snapshots ---- */

/* Several reads of one state of the database, which is that after some whole ledger transaction.
 * After max_hold_ms calls fail with ABORTED (SNAPSHOT_EXPIRED). */
typedef struct ctlstore_snapshot ctlstore_snapshot;

/* The newest state. Freed by ctlstore_snapshot_end. */
int32_t ctlstore_snapshot_begin(ctlstore_reader* reader, ctlstore_snapshot** snapshot,
                                ctlstore_error* error);
/* The last ledger sequence that is applied in it. */
int64_t ctlstore_snapshot_sequence(const ctlstore_snapshot* snapshot);
/* As the reader's. */
int32_t ctlstore_snapshot_get_row(ctlstore_snapshot* snapshot, const char* family,
                                  const char* table, const ctlstore_value* key, size_t key_size,
                                  ctlstore_row** row, ctlstore_error* error);
int32_t ctlstore_snapshot_list_rows(ctlstore_snapshot* snapshot, const char* family,
                                    const char* table, const ctlstore_value* prefix,
                                    size_t prefix_size, const ctlstore_list_options* options,
                                    ctlstore_rows** rows, ctlstore_error* error);
/* The state is let go of when the lists in it are closed, too. */
void ctlstore_snapshot_end(ctlstore_snapshot* snapshot);

/* ---- Tables ---- */

/* Tables' definitions as they were when they were read. Never changes. */
typedef struct ctlstore_tables ctlstore_tables;
typedef struct ctlstore_table ctlstore_table;

/* One table, at position 0; or all, sorted by family and name. Freed by ctlstore_tables_free. */
int32_t ctlstore_get_table(ctlstore_reader* reader, const char* family, const char* table,
                           ctlstore_tables** tables, ctlstore_error* error);
int32_t ctlstore_list_tables(ctlstore_reader* reader, ctlstore_tables** tables,
                             ctlstore_error* error);
size_t ctlstore_tables_size(const ctlstore_tables* tables);
/* NULL where there are not so many. This, and what is returned below, lives as long as `tables`. */
const ctlstore_table* ctlstore_tables_at(const ctlstore_tables* tables, size_t position);
void ctlstore_tables_free(ctlstore_tables* tables);

const char* ctlstore_table_family(const ctlstore_table* table);
const char* ctlstore_table_name(const ctlstore_table* table);
size_t ctlstore_table_size(const ctlstore_table* table);
/* Both NULL where there are not so many fields. The type: "string", "integer", "decimal", "text",
 * "binary" or "bytestring". */
const char* ctlstore_table_field_name(const ctlstore_table* table, size_t field);
const char* ctlstore_table_field_type(const ctlstore_table* table, size_t field);
/* How many fields the key has, and which they are, in key order; NULL where there are not so many.
 */
size_t ctlstore_table_key_size(const ctlstore_table* table);
const char* ctlstore_table_key_name(const ctlstore_table* table, size_t position);

/* ---- How current the local database is ---- */

/* The last ledger sequence that is applied; 0 before the first. */
int32_t ctlstore_get_sequence(ctlstore_reader* reader, int64_t* sequence, ctlstore_error* error);

/* Returns once everything up to `sequence` is applied, as a Mutate's answer names it. After
 * `timeout_ms`: DEADLINE_EXCEEDED where it is not, UNAVAILABLE where there is still no local
 * database. Below 0 it waits for as long as it takes. */
int32_t ctlstore_wait_for_sequence(ctlstore_reader* reader, int64_t sequence, int64_t timeout_ms,
                                   ctlstore_error* error);

#define CTLSTORE_UNKNOWN INT64_MIN

typedef struct ctlstore_position {
  /* Of this struct, as the caller knows it; set by the caller. */
  size_t struct_size;
  /* The last ledger sequence that is applied; 0 before the first. */
  int64_t applied_sequence;
  /* When the system of record took that entry, and when the last heartbeat that has arrived was
   * sent: nanoseconds since 1970 (UTC), or CTLSTORE_UNKNOWN. */
  int64_t applied_entry_time_ns;
  int64_t heartbeat_time_ns;
  /* How old the copy is at most: the time from the newest of the two to now, or CTLSTORE_UNKNOWN.
   */
  int64_t lag_ns;
} ctlstore_position;

int32_t ctlstore_get_position(ctlstore_reader* reader, ctlstore_position* position,
                              ctlstore_error* error);

/* Since the reader was opened. */
typedef struct ctlstore_stats {
  /* Of this struct, as the caller knows it; set by the caller. */
  size_t struct_size;
  /* Reads of one row that the row cache answered, and the others. */
  int64_t cache_hits;
  int64_t cache_misses;
  int64_t cache_rows;
  int64_t cache_bytes;
  int64_t cache_max_bytes;
  int64_t cache_evicted;
  int64_t cache_invalidated;
  int64_t cache_tables_invalidated;
  /* Connections to the file that are open now. */
  int64_t connections;
  /* How often another file has taken the place of the one that was read. */
  int64_t files_replaced;
  /* Whether the reflector's freshness page is used (1 or 0); without it nothing is cached. */
  int64_t has_freshness_page;
} ctlstore_stats;

int32_t ctlstore_get_stats(ctlstore_reader* reader, ctlstore_stats* stats, ctlstore_error* error);

#ifdef __cplusplus
}
#endif

#endif /* CTLSTORE_BINDINGS_C_CTLSTORE_H_ */
