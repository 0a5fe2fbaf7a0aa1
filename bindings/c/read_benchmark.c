/* Measures ctlstore_get_row: read_benchmark LDB ROWS
 *
 * The table is bench.items, with the keys key-00000000 and on, and columns code, name and amount.
 * Prints `figure<TAB>value<TAB>unit`. */

#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bindings/c/ctlstore.h"

#define ROUNDS 9
#define READS_PER_ROUND 100000

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void* a, const void* b) {
  const double left = *(const double*)a, right = *(const double*)b;
  return (left > right) - (left < right);
}

/* Reads rows and all of their columns; how long one took, or below 0 for an error. */
static double measure(ctlstore_reader* reader, uint32_t rows, ctlstore_row** row,
                      uint32_t* random) {
  int64_t checksum = 0;
  const double begin = now_ns();
  for (int i = 0; i < READS_PER_ROUND; ++i) {
    *random = *random * 1664525u + 1013904223u;
    char name[] = "key-00000000";
    uint32_t number = (*random >> 4) % rows;
    for (int digit = 11; number > 0; --digit, number /= 10) name[digit] = (char)('0' + number % 10);
    const ctlstore_value key = {CTLSTORE_TEXT, 0, 0, name, sizeof(name) - 1};
    ctlstore_error error;
    ctlstore_value code, text, amount;
    if (ctlstore_get_row(reader, "bench", "items", &key, 1, row, &error) != CTLSTORE_OK) {
      fprintf(stderr, "%s\n", error.message);
      return -1;
    }
    if (ctlstore_row_value(*row, 0, &code) != CTLSTORE_OK ||
        ctlstore_row_value(*row, 1, &text) != CTLSTORE_OK ||
        ctlstore_row_value(*row, 2, &amount) != CTLSTORE_OK) {
      fprintf(stderr, "the row %s was not found\n", name);
      return -1;
    }
    checksum += code.data[0] + text.data[0] + amount.integer;
  }
  /* Nothing was left out. */
  return checksum == 0 ? -1 : (now_ns() - begin) / READS_PER_ROUND;
}

int main(int argc, char** argv) {
  const long rows = argc == 3 ? atol(argv[2]) : 0;
  if (rows <= 0 || rows > 100000000) {
    fprintf(stderr, "Usage: read_benchmark LDB ROWS\n");
    return 1;
  }
  ctlstore_reader* reader = NULL;
  ctlstore_row* row = NULL;
  ctlstore_error error;
  if (ctlstore_open(argv[1], NULL, &reader, &error) != CTLSTORE_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  uint32_t random = 2;
  double times[ROUNDS];
  /* The first rounds are for warming up. */
  for (int round = -4; round < ROUNDS; ++round) {
    const double time = measure(reader, (uint32_t)rows, &row, &random);
    if (time < 0) return 1;
    if (round >= 0) times[round] = time;
  }
  qsort(times, ROUNDS, sizeof(times[0]), compare);
  printf("read.c_api.ns\t%.0f\tns\n", times[ROUNDS / 2]);
  ctlstore_row_free(row);
  ctlstore_close(reader);
  return 0;
}
