// MariaDB's and MySQL's error numbers as statuses.

#ifndef CTLSTORE_COMMON_CTLDB_MARIADB_ERRORS_H_
#define CTLSTORE_COMMON_CTLDB_MARIADB_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ctlstore::ctldb {

struct MariadbError {
  absl::Status status;
  // The connection is of no more use.
  bool connection_broken = false;
  // Whatever transaction was open is to be rolled back and begun anew.
  bool transaction_lost = false;
  // As the answer to a COMMIT: it does not tell whether the commit happened.
  bool outcome_unknown = false;
};

// `code` is a number of the server or of the client library. `message` is repeated for numbers of
// the client library only: the server's messages can hold parts of values. `where` names the
// server, and the user where access was denied; it never holds a secret.
MariadbError ClassifyMariadbError(unsigned int code, absl::string_view message,
                                  absl::string_view where);

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_MARIADB_ERRORS_H_
