#include "common/rpc/client_flags.h"

#include <cstdlib>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/environment_flags.h"
#include "common/schema/names.h"

ABSL_FLAG(std::string, executive, "127.0.0.1:3000",
          "Where the executive is: \"host:port\" or \"unix:/absolute/path\".");
ABSL_FLAG(std::string, sidecar, "127.0.0.1:1331",
          "Where the sidecar is: \"host:port\" or \"unix:/absolute/path\".");
ABSL_FLAG(std::string, reflector, "127.0.0.1:1332",
          "Where the reflector is: \"host:port\" or \"unix:/absolute/path\".");
ABSL_FLAG(std::string, supervisor, "127.0.0.1:1333",
          "Where the supervisor is: \"host:port\" or \"unix:/absolute/path\".");
ABSL_FLAG(std::string, writer, "", "The name of the writer in whose name is written.");
ABSL_FLAG(std::string, writer_secret_file, "",
          "A file with the writer's secret. Empty: the secret is taken from the environment "
          "variable CTLSTORE_WRITER_SECRET.");
ABSL_FLAG(bool, client_tls, false,
          "Speak TLS with servers, but for Unix sockets. The server's certificate is verified, for "
          "the host in its address too.");
ABSL_FLAG(std::string, client_tls_ca_file, "",
          "The authorities of servers' certificates, in PEM. Empty: the system's.");
ABSL_FLAG(std::string, client_tls_cert_file, "",
          "The client's own certificate, in PEM, for servers that ask for one.");
ABSL_FLAG(std::string, client_tls_key_file, "",
          "The private key of --client_tls_cert_file, in PEM, without a password.");
ABSL_FLAG(std::string, token_file, "",
          "A file with the bearer token that proves a role to servers. Empty: the token is taken "
          "from the environment variable CTLSTORE_TOKEN, where it is set. Sent over TLS or to this "
          "machine only.");

namespace ctlstore::rpc {
namespace {

constexpr char kSecretVariable[] = "CTLSTORE_WRITER_SECRET";
constexpr char kTokenVariable[] = "CTLSTORE_TOKEN";

}  // namespace

std::string ExecutiveAddressFromFlags() { return absl::GetFlag(FLAGS_executive); }

std::string SidecarAddressFromFlags() { return absl::GetFlag(FLAGS_sidecar); }

std::string ReflectorAddressFromFlags() { return absl::GetFlag(FLAGS_reflector); }

std::string SupervisorAddressFromFlags() { return absl::GetFlag(FLAGS_supervisor); }

ChannelOptions ChannelOptionsFromFlags() {
  ChannelOptions options;
  options.tls.enabled = absl::GetFlag(FLAGS_client_tls);
  options.tls.ca_file = absl::GetFlag(FLAGS_client_tls_ca_file);
  options.tls.cert_file = absl::GetFlag(FLAGS_client_tls_cert_file);
  options.tls.key_file = absl::GetFlag(FLAGS_client_tls_key_file);
  options.token_file = absl::GetFlag(FLAGS_token_file);
  if (options.token_file.empty()) {
    const char* token = std::getenv(kTokenVariable);
    options.token = token == nullptr ? "" : token;
  }
  return options;
}

absl::StatusOr<WriterCredentials> WriterCredentialsFromFlags(absl::string_view default_writer) {
  WriterCredentials credentials;
  credentials.writer = absl::GetFlag(FLAGS_writer);
  if (credentials.writer.empty()) credentials.writer = std::string(default_writer);
  if (credentials.writer.empty()) {
    return absl::InvalidArgumentError("no writer is named: set --writer");
  }
  absl::Status status = CheckWriterName("--writer", credentials.writer);
  if (!status.ok()) return status;

  const std::string file = absl::GetFlag(FLAGS_writer_secret_file);
  absl::StatusOr<std::string> secret = ReadSecret(file, kSecretVariable);
  if (!secret.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--writer_secret_file: ", secret.status().message()));
  }
  if (file.empty() && secret->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the writer's secret is not set: name its file with --writer_secret_file, or "
                     "set the environment variable ",
                     kSecretVariable));
  }
  status = CheckWriterSecret(file.empty() ? kSecretVariable : "--writer_secret_file", *secret);
  if (!status.ok()) return status;
  credentials.secret = *std::move(secret);
  return credentials;
}

}  // namespace ctlstore::rpc
