// Connections to a real database that fail when a test tells them to.

#ifndef CTLSTORE_EXECUTIVE_TESTING_FAULTY_CONNECTION_H_
#define CTLSTORE_EXECUTIVE_TESTING_FAULTY_CONNECTION_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/ctldb/connection.h"

namespace ctlstore::executive {

// What goes wrong. Shared by all connections of a test; the functions may be called by any thread.
// Those that are not set let everything pass.
struct Faults {
  // Asked before a connection is opened.
  std::function<absl::Status()> open;
  // Asked before each statement, with its text, and before "BEGIN". An error is the call's answer;
  // the statement is not run.
  std::function<absl::Status(absl::string_view statement)> statement;
  // Called instead of each commit; may commit `connection`, or roll it back, or keep it. An
  // answer of CTLDB_UNAVAILABLE or OUTCOME_UNKNOWN makes the connection a broken one.
  std::function<absl::Status(std::unique_ptr<ctldb::Connection>* connection)> commit;
};

// `connection` with faults, which must outlive it.
std::unique_ptr<ctldb::Connection> WithFaults(std::unique_ptr<ctldb::Connection> connection,
                                              const Faults* faults);

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_FAULTY_CONNECTION_H_
