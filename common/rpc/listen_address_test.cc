#include "common/rpc/listen_address.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace ctlstore::rpc {
namespace {

TEST(ParseListenAddress, ReadsHostAndPort) {
  const absl::StatusOr<ListenAddress> address = ParseListenAddress("127.0.0.1:3000");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_FALSE(address->is_unix());
  EXPECT_EQ(address->host, "127.0.0.1");
  EXPECT_EQ(address->port, 3000);
  EXPECT_EQ(address->ToString(), "127.0.0.1:3000");
}

TEST(ParseListenAddress, ReadsIpv6InBrackets) {
  const absl::StatusOr<ListenAddress> address = ParseListenAddress("[::1]:0");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->host, "[::1]");
  EXPECT_EQ(address->ToString(), "[::1]:0");
}

TEST(ParseListenAddress, ReadsUnixSockets) {
  for (const char* text : {"unix:/run/x.sock", "unix:///run/x.sock"}) {
    const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->socket_path, "/run/x.sock");
    EXPECT_EQ(address->ToString(), "unix:/run/x.sock");
  }
}

TEST(ParseListenAddress, RefusesEverythingElse) {
  for (const std::string& text :
       {std::string(""), std::string("localhost"), std::string(":3000"), std::string("host:"),
        std::string("host:x"), std::string("host:65536"), std::string("host:-1"),
        std::string("::1:3000"), std::string("unix:"), std::string("unix:relative.sock"),
        "unix:/" + std::string(200, 'x')}) {
    EXPECT_EQ(ParseListenAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

class SocketFileTest : public testing::Test {
 protected:
  void SetUp() override {
    // Not below TempDir(), whose path may be longer than a socket's may be.
    char folder[] = "/tmp/ctlstore_socket_XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    address_.socket_path = folder_ + "/s";
  }
  void TearDown() override {
    unlink(address_.socket_path.c_str());
    rmdir(folder_.c_str());
  }

  // A socket bound to the path, which listens where told to.
  int Bind(bool and_listen) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    address_.socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (and_listen) {
      EXPECT_EQ(listen(fd, 1), 0);
    }
    return fd;
  }

  bool Exists() const { return access(address_.socket_path.c_str(), F_OK) == 0; }

  std::string folder_;
  ListenAddress address_;
};

TEST_F(SocketFileTest, ASocketThatNobodyListensOnIsRemoved) {
  close(Bind(/*and_listen=*/false));
  ASSERT_TRUE(Exists());
  EXPECT_TRUE(RemoveStaleSocket(address_).ok());
  EXPECT_FALSE(Exists());
}

TEST_F(SocketFileTest, ASocketInUseStays) {
  const int fd = Bind(/*and_listen=*/true);
  EXPECT_EQ(RemoveStaleSocket(address_).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Exists());
  close(fd);
}

TEST_F(SocketFileTest, AnotherKindOfFileStays) {
  std::ofstream(address_.socket_path) << "precious";
  EXPECT_EQ(RemoveStaleSocket(address_).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Exists());
}

TEST_F(SocketFileTest, NothingThereIsFine) { EXPECT_TRUE(RemoveStaleSocket(address_).ok()); }

}  // namespace
}  // namespace ctlstore::rpc
