#include "common/rpc/testing/http_client.h"

#include <arpa/inet.h>
#include <glog/logging.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ctlstore::rpc::testing {
namespace {

constexpr int kWaitMs = 60000;

gnutls_datum_t DatumOf(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
          static_cast<unsigned int>(text.size())};
}

}  // namespace

HttpClient::HttpClient(const std::string& address) {
  uint32_t port = 0;
  CHECK(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in server = {};
  server.sin_family = AF_INET;
  server.sin_port = htons(static_cast<uint16_t>(port));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&server), sizeof(server)) == 0;
}

bool HttpClient::StartTls(const std::string& ca_pem, const Certificate* own) {
  gnutls_certificate_allocate_credentials(&credentials_);
  const gnutls_datum_t ca = DatumOf(ca_pem);
  CHECK_EQ(gnutls_certificate_set_x509_trust_mem(credentials_, &ca, GNUTLS_X509_FMT_PEM), 1);
  if (own != nullptr) {
    const gnutls_datum_t cert = DatumOf(own->cert);
    const gnutls_datum_t key = DatumOf(own->key);
    CHECK_EQ(gnutls_certificate_set_x509_key_mem(credentials_, &cert, &key, GNUTLS_X509_FMT_PEM),
             0);
  }
  // Shows its certificate also to a server that trusts other authorities.
  gnutls_init(&tls_, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL | GNUTLS_FORCE_CLIENT_CERT);
  gnutls_set_default_priority(tls_);
  gnutls_credentials_set(tls_, GNUTLS_CRD_CERTIFICATE, credentials_);
  gnutls_session_set_verify_cert(tls_, "localhost", 0);
  gnutls_transport_set_int(tls_, fd_);
  gnutls_handshake_set_timeout(tls_, kWaitMs);
  int result = 0;
  do {
    result = gnutls_handshake(tls_);
  } while (result < 0 && gnutls_error_is_fatal(result) == 0);
  return result == 0;
}

std::string HttpClient::ServerName() {
  unsigned int count = 0;
  const gnutls_datum_t* certificates = gnutls_certificate_get_peers(tls_, &count);
  CHECK(certificates != nullptr);
  gnutls_x509_crt_t certificate = nullptr;
  gnutls_x509_crt_init(&certificate);
  CHECK_EQ(gnutls_x509_crt_import(certificate, certificates, GNUTLS_X509_FMT_DER), 0);
  char name[256];
  size_t size = sizeof(name);
  CHECK_EQ(
      gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size),
      0);
  gnutls_x509_crt_deinit(certificate);
  return std::string(name, size);
}

bool HttpClient::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = tls_ != nullptr ? gnutls_record_send(tls_, bytes.data(), bytes.size())
                                         : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

HttpAnswer HttpClient::Read(bool has_body) {
  HttpAnswer answer;
  size_t end = 0;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!ReceiveMore()) return answer;
  }
  const std::vector<std::string> lines = absl::StrSplit(received_.substr(0, end), "\r\n");
  received_.erase(0, end + 4);
  const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
  int status = 0;
  CHECK(words.size() >= 2 && absl::SimpleAtoi(words[1], &status)) << lines[0];
  if (status == 100) return Read(has_body);
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> header =
        absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
    answer.headers[absl::AsciiStrToLower(header.first)] = header.second;
  }
  size_t length = 0;
  if (has_body) {
    CHECK(absl::SimpleAtoi(answer.headers["content-length"], &length)) << lines[0];
  }
  while (received_.size() < length) {
    if (!ReceiveMore()) return answer;
  }
  answer.body = received_.substr(0, length);
  received_.erase(0, length);
  answer.status = status;
  return answer;
}

HttpAnswer HttpClient::Ask(const std::string& method, const std::string& path,
                           const std::string& body, const std::string& more_headers) {
  std::string request =
      absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\n", more_headers);
  if (!body.empty()) absl::StrAppend(&request, "Content-Length: ", body.size(), "\r\n");
  absl::StrAppend(&request, "\r\n", body);
  // Where that fails there may still be an answer.
  (void)Send(request);
  return Read(method != "HEAD");
}

bool HttpClient::WaitForEnd(std::string* rest) {
  while (ReceiveMore()) {
  }
  if (rest != nullptr) *rest = received_;
  return ended_;
}

bool HttpClient::HasEnded() {
  pollfd waited = {fd_, POLLIN, 0};
  return poll(&waited, 1, 0) > 0 && !ReceiveMore();
}

void HttpClient::Close() {
  if (tls_ != nullptr) gnutls_deinit(tls_);
  tls_ = nullptr;
  if (credentials_ != nullptr) gnutls_certificate_free_credentials(credentials_);
  credentials_ = nullptr;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

bool HttpClient::ReceiveMore() {
  char buffer[16 << 10];
  if (tls_ == nullptr || gnutls_record_check_pending(tls_) == 0) {
    pollfd waited = {fd_, POLLIN, 0};
    if (poll(&waited, 1, kWaitMs) <= 0) return false;
  }
  ssize_t count = 0;
  if (tls_ == nullptr) {
    count = recv(fd_, buffer, sizeof(buffer), 0);
  } else {
    do {
      count = gnutls_record_recv(tls_, buffer, sizeof(buffer));
    } while (count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED);
  }
  if (count <= 0) {
    ended_ = true;
    return false;
  }
  received_.append(buffer, static_cast<size_t>(count));
  return true;
}

}  // namespace ctlstore::rpc::testing
