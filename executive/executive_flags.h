// The executive's flags, and the executive as a process.

#ifndef CTLSTORE_EXECUTIVE_EXECUTIVE_FLAGS_H_
#define CTLSTORE_EXECUTIVE_EXECUTIVE_FLAGS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "executive/executive_server.h"

namespace ctlstore::executive {

// Where an executive serves unless it is told otherwise.
inline constexpr char kDefaultListen[] = "127.0.0.1:3000";
// And where it serves HTTP, unless --http_port does.
inline constexpr int kDefaultHttpPort = 3080;

// What the flags say: those of the ctldb (common/ctldb), of every server (common/rpc) and the
// executive's own. To be called after the flags are parsed. INVALID_ARGUMENT names the flag.
absl::StatusOr<ExecutiveServer::Options> ExecutiveOptionsFromFlags();

// The executive's own flags alone, for who has set the ctldb and the server's addresses already.
absl::Status ReadExecutiveFlags(ExecutiveServer::Options* options);

// Serves as the flags say until SIGTERM or SIGINT, and returns the process's exit status: 0 after
// an orderly end, 1 with a message on standard error where it could not start. To be called from
// main() before any thread is started, with flags parsed and logging set up.
int RunExecutive();

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_EXECUTIVE_FLAGS_H_
