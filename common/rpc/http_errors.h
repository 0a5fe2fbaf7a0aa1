// absl::Status as an HTTP answer.

#ifndef CTLSTORE_COMMON_RPC_HTTP_ERRORS_H_
#define CTLSTORE_COMMON_RPC_HTTP_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/http_server.h"

namespace ctlstore::rpc {

// The table of errors in docs/http-api.md: by the reason where it says more than the code. 200 for
// OK.
int HttpStatusOf(const absl::Status& status);

// {"error":{"reason":"...","message":"...","field":"..."}}, with "reason" only where the error has
// one and "field" where it is about one. With Retry-After, in whole seconds, where the error has a
// retry delay.
HttpResponse ErrorResponse(const absl::Status& status);

// The same for what has no status of its own, as HttpServer::Options::error_response wants it.
HttpResponse ErrorResponse(int http_status, absl::string_view message);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_HTTP_ERRORS_H_
