#include "common/rpc/client_flags.h"

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
ABSL_FLAG(std::string, writer, "", "The name of the writer in whose name is written.");
ABSL_FLAG(std::string, writer_secret_file, "",
          "A file with the writer's secret. Empty: the secret is taken from the environment "
          "variable CTLSTORE_WRITER_SECRET.");

namespace ctlstore::rpc {
namespace {

constexpr char kSecretVariable[] = "CTLSTORE_WRITER_SECRET";

}  // namespace

std::string ExecutiveAddressFromFlags() { return absl::GetFlag(FLAGS_executive); }

std::string SidecarAddressFromFlags() { return absl::GetFlag(FLAGS_sidecar); }

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
