// The executive's HTTP face: docs/http-api.md.

#ifndef CTLSTORE_EXECUTIVE_HTTP_API_H_
#define CTLSTORE_EXECUTIVE_HTTP_API_H_

#include "common/rpc/http_server.h"
#include "executive/executive_service.h"

namespace ctlstore::executive {

// Turns HTTP requests into calls of the executive, and its answers and errors into theirs, as the
// Go executive's clients know them. No request waits on a thread of the server's: a mutation waits
// as an entry of the executive's queue, all else on the workers. Thread-safe.
//
//   HttpApi api(parts);
//   options.error_response = HttpApi::ServerError;
//   auto server = rpc::HttpServer::Start(options, [&api](const auto& request, auto respond) {
//     api.Handle(request, std::move(respond));
//   });
class HttpApi {
 public:
  // The metrics may be null.
  explicit HttpApi(const FaceParts& parts) : parts_(parts) {}
  HttpApi(const HttpApi&) = delete;
  HttpApi& operator=(const HttpApi&) = delete;

  // Answers once, during the call or later. What it was given must live until then.
  void Handle(const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) const;

  // How the server is to word what it refuses by itself.
  static rpc::HttpResponse ServerError(int status, absl::string_view message);

 private:
  const FaceParts parts_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_HTTP_API_H_
