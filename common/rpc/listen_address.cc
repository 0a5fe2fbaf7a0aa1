#include "common/rpc/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ctlstore::rpc {
namespace {

constexpr char kUnixPrefix[] = "unix:";
constexpr size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

// Closes a descriptor that is open.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, kSocketPathMax);
  return address;
}

absl::Status Malformed(absl::string_view text, absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("the address \"", text, "\" ", problem,
                   "; it has to be \"host:port\" or \"unix:/absolute/path\""));
}

std::string ErrorText(int error) { return std::strerror(error); }

}  // namespace

std::string ListenAddress::ToString() const {
  if (is_unix()) return absl::StrCat(kUnixPrefix, socket_path);
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  ListenAddress address;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, kUnixPrefix)) {
    // unix:///path is a common way to write the same.
    absl::ConsumePrefix(&rest, "//");
    if (rest.empty() || rest.front() != '/') return Malformed(text, "has no absolute path");
    if (rest.size() > kSocketPathMax) {
      return Malformed(
          text, absl::StrCat("has a path of ", rest.size(), " bytes, more than ", kSocketPathMax));
    }
    address.socket_path = std::string(rest);
    return address;
  }
  const size_t colon = rest.rfind(':');
  if (colon == absl::string_view::npos) return Malformed(text, "has no port");
  const absl::string_view host = rest.substr(0, colon);
  if (host.empty()) return Malformed(text, "has no host");
  if (host.find(':') != absl::string_view::npos && (host.front() != '[' || host.back() != ']')) {
    return Malformed(text, "has an IPv6 host without brackets");
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port > 65535) {
    return Malformed(text, "has a port that is no number from 0 to 65535");
  }
  address.host = std::string(host);
  address.port = static_cast<uint16_t>(port);
  return address;
}

absl::Status RemoveStaleSocket(const ListenAddress& address) {
  if (!address.is_unix()) return absl::OkStatus();
  const std::string& path = address.socket_path;
  struct stat file = {};
  if (lstat(path.c_str(), &file) != 0) return absl::OkStatus();
  if (!S_ISSOCK(file.st_mode)) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(),
                                               ": a file that is no socket is there"));
  }
  const Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un unix_address = UnixAddress(path);
  const int result =
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&unix_address), sizeof(unix_address));
  // Whatever is not a plain refusal (a full backlog, say) means that somebody may listen.
  if (result != 0 && errno == ECONNREFUSED) {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("cannot remove the unused socket ", path, ": ", ErrorText(errno)));
  }
  if (result != 0 && errno == ENOENT) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address.ToString(), ": another process listens there"));
}

std::string ExplainListenFailure(const ListenAddress& address) {
  if (address.is_unix()) {
    const Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un unix_address = UnixAddress(address.socket_path);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&unix_address), sizeof(unix_address)) !=
        0) {
      return ErrorText(errno);
    }
    unlink(address.socket_path.c_str());
    return "it was not free at that moment";
  }
  absl::string_view host = address.host;
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int lookup =
      getaddrinfo(std::string(host).c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (lookup != 0) return gai_strerror(lookup);
  std::string explanation = "it was not free at that moment";
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const Descriptor fd(socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd.get(), entry->ai_addr, entry->ai_addrlen) != 0 || listen(fd.get(), 1) != 0) {
      explanation = ErrorText(errno);
      break;
    }
  }
  freeaddrinfo(found);
  return explanation;
}

}  // namespace ctlstore::rpc
