/* What the Python package calls besides ctlstore.h: reads that cost one call, whatever a row holds.
 * It comes with the library, and may change with it: not for others. */

#ifndef CTLSTORE_BINDINGS_C_CTLSTORE_PICKLER_H_
#define CTLSTORE_BINDINGS_C_CTLSTORE_PICKLER_H_

#include <stddef.h>
#include <stdint.h>

#include "bindings/c/ctlstore.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Memory that rows are read into, as pickles. One thread at a time; ctlstore.h's rules hold. */
typedef struct ctlstore_pickler ctlstore_pickler;

/* NULL where there is no memory for it. */
ctlstore_pickler* ctlstore_pickler_new(ctlstore_reader* reader);
void ctlstore_pickler_free(ctlstore_pickler* pickler);

/* What the last call left there. The memory has at least `*capacity` bytes, and is at the same
 * place for as long as that is the same. */
const char* ctlstore_pickler_data(const ctlstore_pickler* pickler, size_t* capacity);
/* Why the last call failed. */
const ctlstore_error* ctlstore_pickler_error(const ctlstore_pickler* pickler);

/* Each of these returns the size of the pickle; 0 where there is nothing (more); the error's code
 * below 0. */

/* A dict, of the row that `request` asks for: the family's and the table's name, each with a NUL
 * behind it, and then the key's values. Each of these is a letter, and what belongs to it: `n`,
 * nothing; `i` and `d`, 8 bytes; `t` and `b`, the size in 4 bytes and the data. Little-endian. */
int64_t ctlstore_pickle_row(ctlstore_pickler* pickler, const char* request, size_t request_size);
int64_t ctlstore_pickle_snapshot_row(ctlstore_pickler* pickler, ctlstore_snapshot* snapshot,
                                     const char* request, size_t request_size);

/* A list of the next rows, as dicts: at most so many, and fewer where they are large. */
int64_t ctlstore_pickle_rows(ctlstore_pickler* pickler, ctlstore_rows* rows, size_t max_rows);

#ifdef __cplusplus
}
#endif

#endif /* CTLSTORE_BINDINGS_C_CTLSTORE_PICKLER_H_ */
