#include "common/rpc/testing/tcp_proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"

namespace ctlstore::rpc::testing {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Sends back what it is sent, and ends when its client does.
class EchoServer {
 public:
  EchoServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      while (true) {
        const int fd = accept(listener_, nullptr, nullptr);
        if (fd < 0) return;
        serving_.emplace_back([fd] {
          char buffer[4096];
          while (true) {
            const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
            if (got <= 0 || send(fd, buffer, static_cast<size_t>(got), MSG_NOSIGNAL) != got) break;
          }
          close(fd);
        });
      }
    });
  }
  // After the proxy is gone.
  ~EchoServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    for (std::thread& thread : serving_) thread.join();
    close(listener_);
  }

  uint16_t port() const { return port_; }

 private:
  const int listener_;
  uint16_t port_ = 0;
  std::vector<std::thread> serving_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = Loopback(port);
    error_ =
        connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  }
  ~Client() { close(fd_); }

  // Of connecting; 0 for none.
  int error() const { return error_; }
  bool Send(absl::string_view text) {
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  // Up to `size` bytes; fewer at the connection's end.
  std::string Receive(size_t size) {
    std::string text(size, '\0');
    size_t have = 0;
    while (have < size) {
      const ssize_t got = recv(fd_, &text[have], size - have, 0);
      receive_error_ = got < 0 ? errno : 0;
      if (got <= 0) break;
      have += static_cast<size_t>(got);
    }
    text.resize(have);
    return text;
  }
  // Of the last Receive().
  int receive_error() const { return receive_error_; }
  void EndSending() { shutdown(fd_, SHUT_WR); }
  bool SomethingComesWithin(int milliseconds) {
    pollfd polled = {fd_, POLLIN, 0};
    return poll(&polled, 1, milliseconds) > 0;
  }

 private:
  const int fd_;
  int error_ = 0;
  int receive_error_ = 0;
};

TEST(TcpProxyTest, HandsOnInBothDirections) {
  EchoServer server;
  TcpProxy proxy(server.port());
  Client first(proxy.port());
  Client second(proxy.port());
  ASSERT_EQ(first.error(), 0);
  ASSERT_TRUE(first.Send("first"));
  ASSERT_TRUE(second.Send("second"));
  EXPECT_EQ(second.Receive(6), "second");
  EXPECT_EQ(first.Receive(5), "first");
  EXPECT_EQ(proxy.accepted(), 2);
  EXPECT_EQ(proxy.address(), "127.0.0.1:" + std::to_string(proxy.port()));
}

TEST(TcpProxyTest, HandsOnMoreThanItHoldsAndTheEnd) {
  EchoServer server;
  TcpProxy proxy(server.port());
  Client client(proxy.port());
  std::string text;
  for (int i = 0; text.size() < 8 << 20; ++i) text += std::to_string(i);
  std::thread sender([&] {
    EXPECT_TRUE(client.Send(text));
    client.EndSending();
  });
  EXPECT_TRUE(client.Receive(text.size() + 1) == text);
  EXPECT_EQ(client.receive_error(), 0);
  sender.join();
}

TEST(TcpProxyTest, CutsAndRestores) {
  EchoServer server;
  TcpProxy proxy(server.port());
  for (int i = 0; i < 3; ++i) {
    Client client(proxy.port());
    ASSERT_EQ(client.error(), 0);
    ASSERT_TRUE(client.Send("x"));
    EXPECT_EQ(client.Receive(1), "x");
    proxy.Cut();
    EXPECT_EQ(client.Receive(1), "");
    EXPECT_EQ(client.receive_error(), ECONNRESET);
    EXPECT_EQ(Client(proxy.port()).error(), ECONNREFUSED);
    proxy.Restore();
  }
}

TEST(TcpProxyTest, HangsAndGoesOn) {
  EchoServer server;
  TcpProxy proxy(server.port());
  Client client(proxy.port());
  ASSERT_TRUE(client.Send("x"));
  EXPECT_EQ(client.Receive(1), "x");
  proxy.Hang();
  ASSERT_TRUE(client.Send("later"));
  Client waits(proxy.port());
  EXPECT_EQ(waits.error(), 0);
  ASSERT_TRUE(waits.Send("too"));
  EXPECT_FALSE(client.SomethingComesWithin(50));
  EXPECT_FALSE(waits.SomethingComesWithin(50));
  proxy.Restore();
  EXPECT_EQ(client.Receive(5), "later");
  EXPECT_EQ(waits.Receive(3), "too");
  proxy.Hang();
  proxy.Cut();
  EXPECT_EQ(client.Receive(1), "");
  proxy.Restore();
}

TEST(TcpProxyTest, ResetsWhoIsConnectedToAServerThatIsNotThere) {
  uint16_t nobody = 0;
  {
    EchoServer server;
    nobody = server.port();
  }
  TcpProxy proxy(nobody);
  Client client(proxy.port());
  EXPECT_EQ(client.Receive(1), "");
}

}  // namespace
}  // namespace ctlstore::rpc::testing
