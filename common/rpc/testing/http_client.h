// An HTTP client for tests: one connection, over which also what is no HTTP can be sent.

#ifndef CTLSTORE_COMMON_RPC_TESTING_HTTP_CLIENT_H_
#define CTLSTORE_COMMON_RPC_TESTING_HTTP_CLIENT_H_

#include <gnutls/gnutls.h>

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "common/rpc/testing/certificates.h"

namespace ctlstore::rpc::testing {

struct HttpAnswer {
  // 0 where the connection ended before there was one.
  int status = 0;
  // By their names in small letters.
  std::map<std::string, std::string> headers;
  std::string body;
};

// Waits a minute at most wherever it waits. Not thread-safe.
class HttpClient {
 public:
  // Connects to the port of `address` on 127.0.0.1.
  explicit HttpClient(const std::string& address);
  ~HttpClient() { Close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }

  // Whether the server, which has to be called localhost, could be trusted and took the client, as
  // far as that is seen here.
  bool StartTls(const std::string& ca_pem, const Certificate* own = nullptr);

  // The common name in the server's certificate.
  std::string ServerName();

  // False where the server has ended the connection.
  bool Send(absl::string_view bytes);

  // The next answer; `has_body` is false after HEAD.
  HttpAnswer Read(bool has_body = true);

  HttpAnswer Get(const std::string& path) { return Ask("GET", path, ""); }
  // The headers are whole lines, each with its end.
  HttpAnswer Ask(const std::string& method, const std::string& path, const std::string& body,
                 const std::string& more_headers = "");

  // Whether the server ends the connection; what it sends before is in `rest`.
  bool WaitForEnd(std::string* rest = nullptr);

  // Whether the server has ended it by now.
  bool HasEnded();

  void Close();

 private:
  bool ReceiveMore();

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string received_;
  gnutls_session_t tls_ = nullptr;
  gnutls_certificate_credentials_t credentials_ = nullptr;
};

}  // namespace ctlstore::rpc::testing

#endif  // CTLSTORE_COMMON_RPC_TESTING_HTTP_CLIENT_H_
