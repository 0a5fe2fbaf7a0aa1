#include "common/ctldb/ctldb_flags.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/base/environment_flags.h"

ABSL_FLAG(
    std::string, ctldb, "",
    "The control data's system of record: sqlite:///absolute/path for a file of this host, or "
    "mysql://user@host:port/database for MariaDB and MySQL (port 3306 where left out; "
    "?socket=/path for a Unix socket). Never holds a password.");
ABSL_FLAG(std::string, ctldb_password_file, "",
          "The file that holds the password for a mysql:// ctldb; a line end at its end does not "
          "count. Where empty, the environment variable CTLSTORE_CTLDB_PASSWORD is used.");
ABSL_FLAG(std::string, ctldb_tls, "off",
          "TLS to a mysql:// ctldb: off (default), required (encrypted, but whoever answers is "
          "believed), or verify (the server's certificate and name are checked as well).");
ABSL_FLAG(std::string, ctldb_tls_ca_file, "",
          "With --ctldb_tls=verify, the PEM file of the authorities that may have signed the "
          "server's certificate. Where empty, the system's.");
ABSL_FLAG(std::string, ctldb_tls_cert_file, "",
          "The PEM file of this client's certificate, for a server that asks for one. Needs "
          "--ctldb_tls_key_file.");
ABSL_FLAG(std::string, ctldb_tls_key_file, "",
          "The PEM file of the private key that belongs to --ctldb_tls_cert_file.");
ABSL_FLAG(int64_t, ctldb_connect_timeout_ms, 5000,
          "How long connecting to the ctldb may take, in milliseconds; rounded up to seconds. "
          "Default 5000.");
ABSL_FLAG(
    int64_t, ctldb_io_timeout_ms, 30000,
    "How long a mysql:// ctldb may take to answer one statement before the connection is given "
    "up, in milliseconds; rounded up to seconds. Must be more than --ctldb_lock_timeout_ms. "
    "Default 30000.");
ABSL_FLAG(int64_t, ctldb_lock_timeout_ms, 10000,
          "How long a statement waits for another transaction's lock before its caller gets "
          "UNAVAILABLE, in milliseconds; rounded up to seconds on mysql://. Default 10000.");
ABSL_FLAG(int64_t, ledger_first_sequence, 1,
          "The sequence of the ledger's first entry. A ledger that begins later has lost its "
          "beginning, and no local database can be built from it; set this only for a ledger "
          "of the Go ctlstore whose first transactions were rolled back.");

namespace ctlstore::ctldb {
namespace {

absl::Status Invalid(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

absl::StatusOr<ConnectionOptions::Tls> ParseTls(const std::string& text) {
  if (text == "off") return ConnectionOptions::Tls::kOff;
  if (text == "required") return ConnectionOptions::Tls::kRequired;
  if (text == "verify") return ConnectionOptions::Tls::kVerify;
  return Invalid("ctldb_tls", "must be off, required or verify");
}

absl::StatusOr<absl::Duration> Timeout(absl::string_view flag, int64_t milliseconds) {
  constexpr int64_t kDay = 24 * 3600 * 1000;
  if (milliseconds < 1 || milliseconds > kDay) {
    return Invalid(flag, absl::StrCat("must be 1 to ", kDay, " milliseconds, is ", milliseconds));
  }
  return absl::Milliseconds(milliseconds);
}

}  // namespace

absl::StatusOr<Target> TargetFromFlags() {
  const std::string url = absl::GetFlag(FLAGS_ctldb);
  if (url.empty()) {
    return Invalid("ctldb",
                   "not set; name the system of record with --ctldb=sqlite:///var/lib/ctlstore/"
                   "ctldb.db or --ctldb=mysql://user@host:3306/database, or set the environment "
                   "variable CTLSTORE_CTLDB to such a URL");
  }
  absl::StatusOr<Target> target = ParseTarget(url);
  if (!target.ok()) return Invalid("ctldb", target.status().message());
  return target;
}

absl::StatusOr<ConnectionOptions> ConnectionOptionsFromFlags() {
  ConnectionOptions options;
  absl::StatusOr<std::string> password =
      ReadSecret(absl::GetFlag(FLAGS_ctldb_password_file), "CTLSTORE_CTLDB_PASSWORD");
  if (!password.ok()) return Invalid("ctldb_password_file", password.status().message());
  options.password = *std::move(password);

  absl::StatusOr<ConnectionOptions::Tls> tls = ParseTls(absl::GetFlag(FLAGS_ctldb_tls));
  if (!tls.ok()) return tls.status();
  options.tls = *tls;
  options.tls_ca_file = absl::GetFlag(FLAGS_ctldb_tls_ca_file);
  options.tls_cert_file = absl::GetFlag(FLAGS_ctldb_tls_cert_file);
  options.tls_key_file = absl::GetFlag(FLAGS_ctldb_tls_key_file);
  if (!options.tls_ca_file.empty() && options.tls != ConnectionOptions::Tls::kVerify) {
    return Invalid("ctldb_tls_ca_file", "is only used with --ctldb_tls=verify");
  }
  if (!options.tls_cert_file.empty() && options.tls == ConnectionOptions::Tls::kOff) {
    return Invalid("ctldb_tls_cert_file", "is not used with --ctldb_tls=off");
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return Invalid(options.tls_cert_file.empty() ? "ctldb_tls_cert_file" : "ctldb_tls_key_file",
                   "a certificate and its key are set together");
  }

  absl::StatusOr<absl::Duration> connect_timeout =
      Timeout("ctldb_connect_timeout_ms", absl::GetFlag(FLAGS_ctldb_connect_timeout_ms));
  if (!connect_timeout.ok()) return connect_timeout.status();
  options.connect_timeout = *connect_timeout;
  absl::StatusOr<absl::Duration> io_timeout =
      Timeout("ctldb_io_timeout_ms", absl::GetFlag(FLAGS_ctldb_io_timeout_ms));
  if (!io_timeout.ok()) return io_timeout.status();
  options.io_timeout = *io_timeout;
  absl::StatusOr<absl::Duration> lock_timeout =
      Timeout("ctldb_lock_timeout_ms", absl::GetFlag(FLAGS_ctldb_lock_timeout_ms));
  if (!lock_timeout.ok()) return lock_timeout.status();
  options.lock_timeout = *lock_timeout;
  if (options.io_timeout <= options.lock_timeout) {
    return Invalid("ctldb_io_timeout_ms", "must be more than --ctldb_lock_timeout_ms");
  }
  return options;
}

absl::StatusOr<int64_t> LedgerFirstSequenceFromFlags() {
  const int64_t sequence = absl::GetFlag(FLAGS_ledger_first_sequence);
  if (sequence < 1) {
    return Invalid("ledger_first_sequence", absl::StrCat("must be at least 1, is ", sequence));
  }
  return sequence;
}

}  // namespace ctlstore::ctldb
