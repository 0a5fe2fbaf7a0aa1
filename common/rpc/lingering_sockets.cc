#include "common/rpc/lingering_sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/time/clock.h"

namespace ctlstore::rpc {
namespace {

constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr size_t kSocketsMax = 64;
// Of one socket in one turn, so that none keeps the others waiting.
constexpr int kReadsPerTurn = 16;

// Whether more may come.
bool ThrowAway(int fd) {
  char buffer[16 << 10];
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ssize_t count = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count > 0) continue;
    return count < 0 && (errno == EAGAIN || errno == EINTR);
  }
  return true;
}

}  // namespace

LingeringSockets::LingeringSockets() : wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

LingeringSockets::~LingeringSockets() {
  for (const Socket& socket : sockets_) close(socket.fd);
  if (wake_fd_ >= 0) close(wake_fd_);
}

void LingeringSockets::Add(int fd) {
  {
    absl::MutexLock lock(&mutex_);
    if (sockets_.size() >= kSocketsMax) return;
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return;
    // So that the client sees the end of the answer, and stops to send where it is able to.
    shutdown(copy, SHUT_WR);
    sockets_.push_back({copy, absl::Now() + kLinger});
  }
  Wake();
}

void LingeringSockets::Drain(absl::Duration timeout) {
  absl::Time wait_until = absl::Now() + timeout;
  std::vector<pollfd> waited{{wake_fd_, POLLIN, 0}};
  {
    absl::MutexLock lock(&mutex_);
    for (const Socket& socket : sockets_) {
      waited.push_back({socket.fd, POLLIN, 0});
      wait_until = std::min(wait_until, socket.until);
    }
  }
  const int64_t wait_ms = absl::ToInt64Milliseconds(
      absl::Ceil(std::max(wait_until - absl::Now(), absl::ZeroDuration()), absl::Milliseconds(1)));
  if (poll(waited.data(), waited.size(), static_cast<int>(wait_ms)) > 0 && waited[0].revents != 0) {
    uint64_t count = 0;
    // Nothing is lost where this fails: the next wait is shorter.
    if (read(wake_fd_, &count, sizeof(count)) < 0) errno = 0;
  }
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  const auto ended = [now](const Socket& socket) {
    if (now < socket.until && ThrowAway(socket.fd)) return false;
    close(socket.fd);
    return true;
  };
  sockets_.erase(std::remove_if(sockets_.begin(), sockets_.end(), ended), sockets_.end());
}

void LingeringSockets::Wake() {
  const uint64_t one = 1;
  // Only fails where it is to wake up already.
  if (write(wake_fd_, &one, sizeof(one)) < 0) errno = 0;
}

}  // namespace ctlstore::rpc
