// Requests to web servers and object stores.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_HTTP_CLIENT_H_
#define CTLSTORE_COMMON_OBJECT_STORE_HTTP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace ctlstore::object_store {

// By which a request is signed with AWS's Signature Version 4, for the service S3.
struct AwsSigning {
  std::string region;
  std::string access_key_id;
  std::string secret_access_key;
};

struct HttpRequest {
  // GET, HEAD, PUT, POST or DELETE.
  std::string method = "GET";
  // "http://..." or "https://...", percent-encoded. Where signed, the parameters of its query are
  // in the order of their names, each with a '='.
  std::string url;
  // Where signed, all of them are, besides "host" and "x-amz-date". Then "x-amz-content-sha256"
  // must be among them, none may be empty, and no name may be another one with a '-' or a digit
  // after it.
  std::vector<std::pair<std::string, std::string>> headers;
  // Of PUT and POST. Must stay as it is until Send() returns.
  absl::string_view body;
  absl::optional<AwsSigning> signing;
  // Redirects that are followed; one more is the answer itself. None where signed. Never from https
  // to http.
  int max_redirects = 0;
  // Not through the proxy that the environment names: for services of the machine itself.
  bool direct = false;
  // In place of the client's own, where set.
  absl::optional<int64_t> min_bytes_per_second;
  absl::optional<absl::Duration> stall_timeout;
};

struct HttpResponse {
  int status = 0;
  // By names in lower case; the last of several of one name.
  std::map<std::string, std::string> headers;
  // What no sink took, up to kMaxHttpBody bytes.
  std::string body;

  // Empty where there is none.
  absl::string_view header(absl::string_view name) const;
};

// What an answer without a sink may have; longer ones are errors where the status is 2xx, and cut
// off otherwise.
inline constexpr size_t kMaxHttpBody = size_t{16} << 20;

// Thread-safe: requests run at the same time, each over a connection of its own, which is kept for
// later ones.
class HttpClient {
 public:
  // Takes the next piece of a 2xx answer's body, with the answer's status and headers. An error
  // ends the request and is returned as it is. The time that it takes is no stall.
  using Sink = std::function<absl::Status(const HttpResponse& head, absl::string_view piece)>;

  virtual ~HttpClient() = default;

  // Makes the request once. An answer with any status is no error. Messages name the server, never
  // the query, a header or a body.
  //   UNAVAILABLE          no connection, it broke, or the transfer stalled; may work later.
  //   FAILED_PRECONDITION  the server's certificate is not trusted, or the answer is no HTTP.
  //   INVALID_ARGUMENT     a request that cannot be made.
  //   CANCELLED            after Cancel().
  virtual absl::StatusOr<HttpResponse> Send(const HttpRequest& request, const Sink& sink) = 0;
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request) { return Send(request, nullptr); }

  // Ends all requests at once, and all later ones.
  virtual void Cancel() = 0;
};

struct HttpClientOptions {
  // Certificates that servers are checked against, as a PEM file; the system's where empty.
  std::string ca_file;
  absl::Duration connect_timeout = absl::Seconds(10);
  // A transfer that moves fewer bytes in `stall_timeout` than this many a second, and at least one,
  // has stalled.
  int64_t min_bytes_per_second = 1024;
  absl::Duration stall_timeout = absl::Seconds(30);
};

// Over libcurl, which takes proxies from the environment (https_proxy, no_proxy, ...).
std::unique_ptr<HttpClient> NewHttpClient(const HttpClientOptions& options);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_HTTP_CLIENT_H_
