// An HTTP/1.1 server for APIs and metrics.

#ifndef CTLSTORE_COMMON_RPC_HTTP_SERVER_H_
#define CTLSTORE_COMMON_RPC_HTTP_SERVER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/rpc/tls_options.h"

namespace ctlstore::rpc {

// A request that has arrived as a whole. Valid until it is answered.
class HttpRequest {
 public:
  virtual ~HttpRequest() = default;

  virtual absl::string_view method() const = 0;
  // As it was sent, without the query: "/families/geo". Percent-encoding is still there.
  virtual absl::string_view path() const = 0;
  // The query's names and values: "?a=1&b" is "a", "1" and "b", "". Percent-encoding is still
  // there; "+" is a blank.
  virtual std::vector<std::pair<absl::string_view, absl::string_view>> query() const = 0;
  virtual absl::string_view body() const = 0;
  // By name, in any case; of several the first.
  virtual absl::optional<absl::string_view> header(absl::string_view name) const = 0;
  // The client's address without a port.
  virtual absl::string_view peer() const = 0;
  // The names in the client's verified certificate: common name, DNS and URI names.
  virtual std::vector<std::string> client_identities() const = 0;
  // Whether the client has gone away. May be asked from any thread.
  virtual bool cancelled() const = 0;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Further headers.
  std::vector<std::pair<std::string, std::string>> headers;
};

// The parts of a path between its slashes, with percent-encoding taken out: "/a/b%20c" is "a", "b
// c". A slash at the end counts for nothing. nullopt for encoding that is malformed or stands for a
// NUL.
absl::optional<std::vector<std::string>> PathSegments(absl::string_view path);

// Serves from Start() until Shutdown() or its destruction. Few threads serve all connections; none
// waits for a client. Clients that are slow, too many, or send too much cannot exhaust it: requests
// that do not arrive in time, too large ones and connections over the limit are refused or closed,
// those that have been slow first. Thread-safe.
class HttpServer {
 public:
  struct Options {
    // "host:port", with port 0 for a free one.
    std::string listen;
    ServerTlsOptions tls;
    // Larger bodies are refused with 413, before they are read where their length is announced.
    size_t max_body_bytes = size_t{1} << 20;
    // Of all bodies being received or answered together; beyond it requests are refused with 503.
    size_t max_total_body_bytes = size_t{64} << 20;
    // Of all answers being sent together; beyond it 503 is answered instead, and those that have
    // been taking theirs for longer than `receive_timeout` are ended. Small answers do not count.
    size_t max_total_response_bytes = size_t{256} << 20;
    // Of the request line and the headers together.
    size_t max_header_bytes = size_t{16} << 10;
    size_t max_connections = 1024;
    // How long a request may take to arrive as a whole, and how long an idle connection is kept.
    absl::Duration receive_timeout = absl::Seconds(10);
    absl::Duration idle_timeout = absl::Seconds(60);
    size_t threads = 2;
    // The body of answers that the server makes itself (413, 408, ...). Where empty, the status's
    // own words as text.
    std::function<HttpResponse(int status, absl::string_view message)> error_response;
  };

  // To be called once for each request, from any thread, during the handler's call or later.
  using Respond = std::function<void(HttpResponse)>;
  // Called by the server's threads, so it must not block.
  using Handler = std::function<void(const HttpRequest& request, Respond respond)>;

  // UNAVAILABLE names the address that cannot be listened on; INVALID_ARGUMENT for TLS files that
  // cannot be used.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const Options& options, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Where it listens, "host:port".
  const std::string& address() const;
  size_t connections() const;

  // Closes new connections at once and waits, at most `grace`, until what was asked is answered;
  // then nobody listens there any more.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_HTTP_SERVER_H_
