#include "common/rpc/testing/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ctlstore::rpc::testing {
namespace {

constexpr int kBacklog = 128;
// What is read ahead of a receiver that does not take it.
constexpr size_t kMaxWaiting = size_t{256} << 10;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Binds the socket to a port, 0 for a free one, and returns which; 0 where that failed.
uint16_t Bind(int fd, uint16_t port) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = Loopback(port);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  PCHECK(fd >= 0);
  return fd;
}

void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

TcpProxy::TcpProxy(uint16_t target_port) : target_port_(target_port) {
  // A port that was asked for by its number stays the socket's own while it does not listen.
  for (int tries = 0; port_ == 0 && tries < 100; ++tries) {
    const int chooser = NewSocket();
    const uint16_t port = Bind(chooser, 0);
    close(chooser);
    listener_ = NewSocket();
    port_ = Bind(listener_, port);
    if (port_ == 0) close(listener_);
  }
  CHECK_NE(port_, 0) << "no free port";
  PCHECK(listen(listener_, kBacklog) == 0);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  PCHECK(wake_ >= 0);
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  eventfd_write(wake_, 1);
  thread_.join();
  for (const Connection& connection : connections_) Reset(connection);
  close(listener_);
  close(wake_);
}

std::string TcpProxy::address() const { return absl::StrCat("127.0.0.1:", port_); }

void TcpProxy::Cut() { Set(Mode::kCut); }
void TcpProxy::Hang() { Set(Mode::kHang); }
void TcpProxy::Restore() { Set(Mode::kForward); }

int64_t TcpProxy::accepted() const {
  absl::MutexLock lock(&mutex_);
  return accepted_;
}

void TcpProxy::Set(Mode mode) {
  absl::MutexLock lock(&mutex_);
  wanted_ = mode;
  eventfd_write(wake_, 1);
  const auto applied = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return applied_ == wanted_; };
  mutex_.Await(absl::Condition(&applied));
}

void TcpProxy::Apply() {
  if (applied_ == wanted_) return;
  if (wanted_ == Mode::kCut) {
    PCHECK(shutdown(listener_, SHUT_RDWR) == 0);
    for (const Connection& connection : connections_) Reset(connection);
    connections_.clear();
  } else if (applied_ == Mode::kCut) {
    PCHECK(listen(listener_, kBacklog) == 0);
  }
  applied_ = wanted_;
}

void TcpProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  const int server = NewSocket();
  const sockaddr_in target = Loopback(target_port_);
  SendAtOnce(client);
  SendAtOnce(server);
  Connection connection;
  connection.client = client;
  connection.server = server;
  connection.up = {client, server, "", false, false};
  connection.down = {server, client, "", false, false};
  if (connect(server, reinterpret_cast<const sockaddr*>(&target), sizeof(target)) != 0 &&
      errno != EINPROGRESS) {
    Reset(connection);
    return;
  }
  ++accepted_;
  connections_.push_back(connection);
}

bool TcpProxy::Forward(Pipe* pipe) {
  if (!pipe->ended && pipe->waiting.size() < kMaxWaiting) {
    char buffer[64 * 1024];
    const ssize_t got = recv(pipe->from, buffer, sizeof(buffer), 0);
    if (got > 0) pipe->waiting.append(buffer, static_cast<size_t>(got));
    if (got == 0) pipe->ended = true;
    // A socket that is not connected yet has nothing to say.
    if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) return false;
  }
  if (!pipe->waiting.empty()) {
    const ssize_t put = send(pipe->to, pipe->waiting.data(), pipe->waiting.size(), MSG_NOSIGNAL);
    if (put > 0) pipe->waiting.erase(0, static_cast<size_t>(put));
    if (put < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) return false;
  }
  if (pipe->ended && pipe->waiting.empty() && !pipe->end_sent) {
    if (shutdown(pipe->to, SHUT_WR) != 0 && errno != ENOTCONN) return false;
    pipe->end_sent = true;
  }
  return true;
}

void TcpProxy::Reset(const Connection& connection) {
  for (const int fd : {connection.client, connection.server}) {
    const linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
  }
}

void TcpProxy::Run() {
  while (true) {
    std::vector<pollfd> polled = {{wake_, POLLIN, 0}};
    {
      absl::MutexLock lock(&mutex_);
      if (stop_) return;
      Apply();
      if (applied_ == Mode::kForward) {
        polled.push_back({listener_, POLLIN, 0});
        for (const Connection& connection : connections_) {
          const auto add = [&polled](int fd, const Pipe& in, const Pipe& out) {
            short events = 0;  // NOLINT: the system's type
            if (!in.ended && in.waiting.size() < kMaxWaiting) events |= POLLIN;
            if (!out.waiting.empty()) events |= POLLOUT;
            // The system tells errors and ends also of those who wait for nothing, again and again.
            polled.push_back({events == 0 ? -1 : fd, events, 0});
          };
          add(connection.client, connection.up, connection.down);
          add(connection.server, connection.down, connection.up);
        }
      }
    }
    if (poll(polled.data(), polled.size(), -1) < 0) {
      PCHECK(errno == EINTR);
      continue;
    }
    eventfd_t woken;
    eventfd_read(wake_, &woken);
    absl::MutexLock lock(&mutex_);
    if (applied_ != Mode::kForward || wanted_ != applied_) continue;
    if ((polled[1].revents & POLLIN) != 0) Accept();
    for (auto it = connections_.begin(); it != connections_.end();) {
      if (!Forward(&it->up) || !Forward(&it->down)) {
        Reset(*it);
        it = connections_.erase(it);
      } else if (it->up.end_sent && it->down.end_sent) {
        // What the system has not sent yet still goes out.
        close(it->client);
        close(it->server);
        it = connections_.erase(it);
      } else {
        ++it;
      }
    }
  }
}

}  // namespace ctlstore::rpc::testing
