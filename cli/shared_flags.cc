#include "cli/shared_flags.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/flags/flag.h"
#include "cli/exit_status.h"
#include "common/rpc/client_flags.h"

ABSL_FLAG(bool, json, false,
          "Write JSON, for programs: 64-bit integers with all their digits, bytes as base64.");
ABSL_FLAG(bool, dry_run, false, "Show what would be done, and change nothing.");
ABSL_FLAG(std::string, key, "",
          "The names of the fields that make up the new table's key, in order.");
ABSL_FLAG(int64_t, call_timeout_ms, 30000,
          "How long the server may take to answer one call, in milliseconds.");
ABSL_FLAG(bool, register, true,
          "Register the writer with its secret when the executive does not know it. A writer that "
          "exists with another secret is left as it is, and refused.");

namespace ctlstore::cli {

std::vector<std::string> Joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string> ChannelFlags() {
  return {"client_tls", "client_tls_ca_file", "client_tls_cert_file", "client_tls_key_file",
          "token_file"};
}

std::vector<std::string> ExecutiveFlags() {
  return Joined({"executive", "call_timeout_ms", "json"}, ChannelFlags());
}

std::vector<std::string> WriterFlags() {
  return Joined(ExecutiveFlags(), {"writer", "writer_secret_file", "register"});
}

absl::Duration CallTimeoutFromFlags() {
  return absl::Milliseconds(std::max<int64_t>(1, absl::GetFlag(FLAGS_call_timeout_ms)));
}

ExecutiveClient::Options ExecutiveOptionsFromFlags() {
  ExecutiveClient::Options options;
  options.address = rpc::ExecutiveAddressFromFlags();
  options.channel = rpc::ChannelOptionsFromFlags();
  options.timeout = CallTimeoutFromFlags();
  return options;
}

void WarnWhereSecretGoesInClear(const ExecutiveClient::Options& options) {
  if (!rpc::GoesInClear(options.address, options.channel)) return;
  std::cerr << "warning: the writer's secret goes in clear to " << options.address
            << "; set --client_tls, so that nobody reads it\n";
}

absl::StatusOr<ExecutiveClient::Options> WriterOptionsFromFlags() {
  ExecutiveClient::Options options = ExecutiveOptionsFromFlags();
  absl::StatusOr<rpc::WriterCredentials> credentials =
      rpc::WriterCredentialsFromFlags(kDefaultWriter);
  if (!credentials.ok()) return UsageError(credentials.status().message());
  WarnWhereSecretGoesInClear(options);
  options.writer = credentials->writer;
  options.secret = credentials->secret;
  options.register_writer = absl::GetFlag(FLAGS_register);
  return options;
}

}  // namespace ctlstore::cli
