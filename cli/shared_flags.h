// Flags that several commands take, and what they need of the shared flags of clients.

#ifndef CTLSTORE_CLI_SHARED_FLAGS_H_
#define CTLSTORE_CLI_SHARED_FLAGS_H_

#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "cli/executive_client.h"

// Output for programs.
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, dry_run);
// The key of a table to create.
ABSL_DECLARE_FLAG(std::string, key);

namespace ctlstore::cli {

// The writer in whose name the commands write, unless --writer says otherwise.
inline constexpr char kDefaultWriter[] = "cli";

// The names of the flags that belong together, for Command::flags.
std::vector<std::string> ChannelFlags();
std::vector<std::string> ExecutiveFlags();
std::vector<std::string> WriterFlags();

// How long one call may take.
absl::Duration CallTimeoutFromFlags();

// A client for calls that need no writer.
ExecutiveClient::Options ExecutiveOptionsFromFlags();

// A client that writes. A usage error where the secret is missing.
absl::StatusOr<ExecutiveClient::Options> WriterOptionsFromFlags();

// Says on standard error where a secret sent with these options can be read on its way.
void WarnWhereSecretGoesInClear(const ExecutiveClient::Options& options);

// Joins lists of flag names.
std::vector<std::string> Joined(std::vector<std::string> a, const std::vector<std::string>& b);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SHARED_FLAGS_H_
