#include "common/rpc/http_flags.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"

namespace ctlstore::rpc {
namespace {

std::string ListenFor(const std::vector<std::string>& listen, int port) {
  ServerOptions server;
  server.listen = listen;
  const auto options = HttpOptionsFromPort("http_port", port, server);
  EXPECT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->has_value());
  return (*options)->listen;
}

TEST(HttpFlagsTest, TheHostIsThatOfTheFirstTcpAddress) {
  EXPECT_EQ(ListenFor({"10.1.2.3:3000", "127.0.0.1:3000"}, 3080), "10.1.2.3:3080");
  EXPECT_EQ(ListenFor({"unix:/run/x.sock", "[::1]:3000"}, 3080), "[::1]:3080");
  EXPECT_EQ(ListenFor({"0.0.0.0:3000"}, 0), "0.0.0.0:0");
}

TEST(HttpFlagsTest, WithoutATcpAddressItIsLoopback) {
  EXPECT_EQ(ListenFor({"unix:/run/x.sock"}, 3080), "127.0.0.1:3080");
}

TEST(HttpFlagsTest, CertificatesAreThoseOfTheServer) {
  ServerOptions server;
  server.listen = {"127.0.0.1:3000"};
  server.tls.cert_file = "cert.pem";
  server.tls.key_file = "key.pem";
  const auto options = HttpOptionsFromPort("http_port", 3080, server);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ((*options)->tls.cert_file, "cert.pem");
  EXPECT_EQ((*options)->tls.key_file, "key.pem");
}

TEST(HttpFlagsTest, MinusOneIsNoneAndAllElseMustBeAPort) {
  ServerOptions server;
  server.listen = {"127.0.0.1:3000"};
  const auto none = HttpOptionsFromPort("http_port", -1, server);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
  for (const int port : {-2, 65536}) {
    const auto wrong = HttpOptionsFromPort("http_port", port, server);
    EXPECT_TRUE(absl::IsInvalidArgument(wrong.status()));
    EXPECT_TRUE(absl::StrContains(wrong.status().message(), "--http_port"));
  }
}

}  // namespace
}  // namespace ctlstore::rpc
