// Which of an HTTP API's routes a request is for.

#ifndef CTLSTORE_COMMON_RPC_HTTP_ROUTER_H_
#define CTLSTORE_COMMON_RPC_HTTP_ROUTER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/rpc/http_server.h"

namespace ctlstore::rpc {

struct HttpRoute {
  absl::string_view method;
  // "/families/{family}": what stands in braces is any name.
  absl::string_view path;
  // Whether the body has to be JSON, as far as the request says what it is.
  bool json = false;
};

// Immutable, so thread-safe.
class HttpRouter {
 public:
  // What the texts of the routes are in must outlive the router.
  explicit HttpRouter(absl::Span<const HttpRoute> routes);

  static constexpr size_t kNone = static_cast<size_t>(-1);

  struct Match {
    // Its place among the routes; kNone where there is none.
    size_t route = kNone;
    // What stood where the route has braces, in order, without percent-encoding.
    std::vector<std::string> names;
    // Set where the request cannot be served: 400 for malformed encoding, 404, 405 with the methods
    // that there are, 415. `code` is its outcome for metrics.
    absl::optional<HttpResponse> refusal;
    absl::StatusCode code = absl::StatusCode::kOk;
  };

  // HEAD is served where GET is.
  Match Find(const HttpRequest& request) const;

  // "POST /families/{family}"; for kNone "other", so that paths that nobody knows cannot become
  // many metrics.
  absl::string_view name(size_t route) const;

 private:
  struct Known {
    HttpRoute route;
    std::vector<absl::string_view> segments;
    std::string name;
  };
  static bool Matches(const Known& known, const std::vector<std::string>& segments);

  std::vector<Known> routes_;
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_HTTP_ROUTER_H_
