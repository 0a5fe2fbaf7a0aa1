/* A C11 program can use the whole interface, and what it does wrong gets an error instead of a
 * crash. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/ctlstore.h"
#include "bindings/c/ctlstore_pickler.h"

static int failures = 0;

#define EXPECT(condition)                                                     \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                             \
    }                                                                         \
  } while (0)

static void expect_null_is_refused(ctlstore_reader* reader) {
  ctlstore_error error;
  ctlstore_row* row = NULL;
  const ctlstore_row* listed = NULL;
  ctlstore_rows* rows = NULL;
  ctlstore_snapshot* snapshot = NULL;
  ctlstore_tables* tables = NULL;
  ctlstore_value value = ctlstore_text("x");
  int64_t sequence = 0;
  const ctlstore_value* key = NULL;
  size_t size = 0;

  EXPECT(ctlstore_open("x", NULL, NULL, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(strcmp(error.reason, "INVALID_REQUEST") == 0);
  EXPECT(strstr(error.message, "reader") != NULL);
  EXPECT(ctlstore_get_row(NULL, "f", "t", &value, 1, &row, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_row(reader, NULL, "t", &value, 1, &row, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_row(reader, "f", NULL, &value, 1, &row, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_row(reader, "f", "t", NULL, 1, &row, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_row(reader, "f", "t", &value, 1, NULL, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_row(reader, "f", "t", &value, 1, NULL, NULL) == CTLSTORE_INVALID_ARGUMENT);
  value.data = NULL;
  EXPECT(ctlstore_get_row(reader, "f", "t", &value, 1, &row, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(strcmp(error.message, "key[0].data is NULL, with a size of 1") == 0);
  value.type = 77;
  EXPECT(ctlstore_get_row(reader, "f", "t", &value, 1, &row, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(row == NULL);
  EXPECT(ctlstore_list_rows(reader, NULL, "t", NULL, 0, NULL, &rows, &error) ==
         CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_list_rows(reader, "f", "t", NULL, 0, NULL, NULL, &error) ==
         CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_rows_next(NULL, &listed, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_rows_key(NULL, &key, &size) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_snapshot_begin(NULL, &snapshot, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_snapshot_begin(reader, NULL, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_snapshot_get_row(NULL, "f", "t", NULL, 0, &row, &error) ==
         CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_snapshot_list_rows(NULL, "f", "t", NULL, 0, NULL, &rows, &error) ==
         CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_snapshot_sequence(NULL) == 0);
  EXPECT(ctlstore_get_table(reader, "f", NULL, &tables, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_list_tables(reader, NULL, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_sequence(NULL, &sequence, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_wait_for_sequence(NULL, 1, 0, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_position(reader, NULL, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_get_stats(reader, NULL, &error) == CTLSTORE_INVALID_ARGUMENT);

  EXPECT(ctlstore_path(NULL) == NULL);
  EXPECT(ctlstore_row_exists(NULL) == 0);
  EXPECT(ctlstore_row_size(NULL) == 0);
  EXPECT(ctlstore_row_name(NULL, 0) == NULL);
  EXPECT(ctlstore_row_value(NULL, 0, &value) == CTLSTORE_OUT_OF_RANGE);
  EXPECT(ctlstore_row_value(NULL, 0, NULL) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(ctlstore_row_get(NULL, "x", &value) == CTLSTORE_NOT_FOUND);
  EXPECT(ctlstore_tables_size(NULL) == 0);
  EXPECT(ctlstore_tables_at(NULL, 0) == NULL);
  EXPECT(ctlstore_table_family(NULL) == NULL);
  EXPECT(ctlstore_table_name(NULL) == NULL);
  EXPECT(ctlstore_table_size(NULL) == 0);
  EXPECT(ctlstore_table_field_name(NULL, 0) == NULL);
  EXPECT(ctlstore_table_field_type(NULL, 0) == NULL);
  EXPECT(ctlstore_table_key_size(NULL) == 0);
  EXPECT(ctlstore_table_key_name(NULL, 0) == NULL);
  ctlstore_options_init(NULL, 0);
  ctlstore_list_options_init(NULL, 0);
  ctlstore_close(NULL);
  ctlstore_row_clear(NULL);
  ctlstore_row_free(NULL);
  ctlstore_rows_close(NULL);
  ctlstore_snapshot_end(NULL);
  ctlstore_tables_free(NULL);
  ctlstore_pickler_free(NULL);
}

/* A program that was built for a shorter struct, or for a longer one. */
static void expect_structs_can_grow(ctlstore_reader* reader) {
  struct {
    ctlstore_options options;
    char behind[16];
  } longer;
  memset(&longer, 7, sizeof(longer));
  ctlstore_options_init(&longer.options, sizeof(longer));
  EXPECT(longer.options.struct_size == sizeof(longer));
  EXPECT(longer.options.cache_bytes == (size_t)64 << 20);
  EXPECT(longer.options.max_hold_ms == 10000);
  EXPECT(longer.behind[0] == 7 && longer.behind[15] == 7);

  ctlstore_options shorter;
  memset(&shorter, 7, sizeof(shorter));
  const int64_t untouched = shorter.max_hold_ms;
  ctlstore_options_init(&shorter, offsetof(ctlstore_options, max_hold_ms));
  EXPECT(shorter.cache_bytes == (size_t)64 << 20);
  EXPECT(shorter.max_hold_ms == untouched);

  ctlstore_stats stats;
  memset(&stats, 7, sizeof(stats));
  stats.struct_size = offsetof(ctlstore_stats, cache_misses);
  EXPECT(ctlstore_get_stats(reader, &stats, NULL) == CTLSTORE_OK);
  EXPECT(stats.cache_hits == 0);
  EXPECT(stats.cache_misses != 0);
  stats.struct_size = 0;
  EXPECT(ctlstore_get_stats(reader, &stats, NULL) == CTLSTORE_OK);
}

int main(void) {
  const char* folder = getenv("TEST_TMPDIR");
  char path[4096];
  snprintf(path, sizeof(path), "%s/none.db", folder == NULL ? "/tmp" : folder);
  EXPECT(ctlstore_abi_version() == CTLSTORE_ABI_VERSION);
  EXPECT(strlen(ctlstore_version()) > 0);

  ctlstore_options options;
  ctlstore_options_init(&options, sizeof(options));
  options.max_hold_ms = 0;
  ctlstore_reader* reader = NULL;
  ctlstore_error error;
  EXPECT(ctlstore_open(path, &options, &reader, &error) == CTLSTORE_INVALID_ARGUMENT);
  EXPECT(reader == NULL);
  options.max_hold_ms = 1000;
  EXPECT(ctlstore_open(path, &options, &reader, &error) == CTLSTORE_OK);
  EXPECT(strcmp(ctlstore_path(reader), path) == 0);

  ctlstore_row* row = NULL;
  const ctlstore_value key = ctlstore_text("x");
  EXPECT(ctlstore_get_row(reader, "fam", "tab", &key, 1, &row, &error) == CTLSTORE_UNAVAILABLE);
  EXPECT(error.code == CTLSTORE_UNAVAILABLE);
  EXPECT(strcmp(error.reason, "LDB_UNAVAILABLE") == 0);
  EXPECT(ctlstore_wait_for_sequence(reader, 1, 1, &error) == CTLSTORE_UNAVAILABLE);

  expect_null_is_refused(reader);
  expect_structs_can_grow(reader);
  ctlstore_close(reader);
  return failures == 0 ? 0 : 1;
}
