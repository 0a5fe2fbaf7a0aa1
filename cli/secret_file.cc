#include "cli/secret_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/environment_flags.h"
#include "common/schema/names.h"

namespace ctlstore::cli {
namespace {

constexpr size_t kRandomBytes = 32;

absl::Status SystemError(const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", strerror(errno)));
}

// Appears under its name only when it is whole.
absl::Status Create(const std::string& path) {
  char random[kRandomBytes];
  if (getrandom(random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    return SystemError(path);
  }
  const std::string line =
      absl::StrCat(absl::BytesToHexString(absl::string_view(random, sizeof(random))), "\n");
  const std::string temporary = absl::StrCat(path, ".", getpid());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError(temporary);
  const bool written =
      write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(fd) == 0;
  close(fd);
  if (!written || rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status error = SystemError(path);
    unlink(temporary.c_str());
    return error;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadOrCreateSecret(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 && errno == ENOENT) {
    absl::Status created = Create(path);
    if (!created.ok()) return created;
  }
  absl::StatusOr<std::string> secret = ReadSecret(path, "");
  if (!secret.ok()) return absl::UnavailableError(secret.status().message());
  if (!CheckWriterSecret("secret", *secret).ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " does not hold a secret of 3 to 100 bytes"));
  }
  return secret;
}

}  // namespace ctlstore::cli
