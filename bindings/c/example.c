/* Prints one row, or the rows whose key begins with some values:
 *
 *   example LDB FAMILY TABLE KEY...
 *   example --list LDB FAMILY TABLE [KEY...]
 *
 * Each KEY is a value of the key, as text, or as an integer where the table says so. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/ctlstore.h"

#define MAX_KEY 16

static int fail(const ctlstore_error* error) {
  fprintf(stderr, "%s (%s)\n", error->message, error->reason);
  return 1;
}

static void print_row(const ctlstore_row* row) {
  for (size_t i = 0; i < ctlstore_row_size(row); ++i) {
    ctlstore_value value;
    ctlstore_row_value(row, i, &value);
    printf("%-14s ", ctlstore_row_name(row, i));
    switch (value.type) {
      case CTLSTORE_NULL:
        printf("null\n");
        break;
      case CTLSTORE_INTEGER:
        printf("%" PRId64 "\n", value.integer);
        break;
      case CTLSTORE_DECIMAL:
        printf("%.17g\n", value.decimal);
        break;
      case CTLSTORE_TEXT:
        /* Not "%s": there is no NUL behind it. */
        fwrite(value.data, 1, value.size, stdout);
        printf("\n");
        break;
      default:
        printf("%zu bytes\n", value.size);
    }
  }
}

/* The key's values as the table's definition has them. */
static int parse_key(ctlstore_reader* reader, const char* family, const char* table, int count,
                     char** words, ctlstore_value* key) {
  ctlstore_tables* tables = NULL;
  ctlstore_error error;
  if (ctlstore_get_table(reader, family, table, &tables, &error) != CTLSTORE_OK) {
    return fail(&error);
  }
  const ctlstore_table* definition = ctlstore_tables_at(tables, 0);
  for (int i = 0; i < count; ++i) {
    const char* name = ctlstore_table_key_name(definition, (size_t)i);
    key[i] = ctlstore_text(words[i]);
    for (size_t field = 0; name != NULL && field < ctlstore_table_size(definition); ++field) {
      if (strcmp(ctlstore_table_field_name(definition, field), name) == 0 &&
          strcmp(ctlstore_table_field_type(definition, field), "integer") == 0) {
        key[i] = ctlstore_integer(strtoll(words[i], NULL, 10));
      }
    }
  }
  ctlstore_tables_free(tables);
  return 0;
}

static int print_one(ctlstore_reader* reader, const char* family, const char* table,
                     const ctlstore_value* key, size_t key_size) {
  ctlstore_row* row = NULL;
  ctlstore_error error;
  if (ctlstore_get_row(reader, family, table, key, key_size, &row, &error) != CTLSTORE_OK) {
    return fail(&error);
  }
  int result = 0;
  if (ctlstore_row_exists(row)) {
    print_row(row);
  } else {
    fprintf(stderr, "There is no such row.\n");
    result = 2;
  }
  ctlstore_row_free(row);
  return result;
}

static int print_list(ctlstore_reader* reader, const char* family, const char* table,
                      const ctlstore_value* prefix, size_t prefix_size) {
  ctlstore_rows* rows = NULL;
  const ctlstore_row* row = NULL;
  ctlstore_error error;
  if (ctlstore_list_rows(reader, family, table, prefix, prefix_size, NULL, &rows, &error) !=
      CTLSTORE_OK) {
    return fail(&error);
  }
  int32_t code;
  while ((code = ctlstore_rows_next(rows, &row, &error)) == CTLSTORE_OK && row != NULL) {
    print_row(row);
    printf("\n");
  }
  ctlstore_rows_close(rows);
  return code == CTLSTORE_OK ? 0 : fail(&error);
}

int main(int argc, char** argv) {
  const int list = argc > 1 && strcmp(argv[1], "--list") == 0;
  if (list) {
    ++argv;
    --argc;
  }
  const int key_size = argc - 4;
  if (key_size < (list ? 0 : 1) || key_size > MAX_KEY) {
    fprintf(stderr, "Usage: example [--list] LDB FAMILY TABLE KEY...\n");
    return 1;
  }
  ctlstore_reader* reader = NULL;
  ctlstore_error error;
  if (ctlstore_open(argv[1], NULL, &reader, &error) != CTLSTORE_OK) return fail(&error);
  ctlstore_value key[MAX_KEY];
  int result = parse_key(reader, argv[2], argv[3], key_size, argv + 4, key);
  if (result == 0) {
    result = (list ? print_list : print_one)(reader, argv[2], argv[3], key, (size_t)key_size);
  }
  ctlstore_close(reader);
  return result;
}
