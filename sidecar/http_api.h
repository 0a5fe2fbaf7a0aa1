// The sidecar's HTTP face: docs/http-api.md.

#ifndef CTLSTORE_SIDECAR_HTTP_API_H_
#define CTLSTORE_SIDECAR_HTTP_API_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/worker_pool.h"
#include "common/ldb/reader.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/http_server.h"
#include "sidecar/sequence_waiter.h"

namespace ctlstore::sidecar {

// Answers HTTP requests from a local database, as the Go sidecar's clients know it. A row and a
// short list are read by the server's own threads, in microseconds; longer lists by the workers.
// Waiting for a sequence takes no thread. Thread-safe.
//
//   HttpApi api(parts, options);
//   http_options.error_response = HttpApi::ServerError;
//   auto server = rpc::HttpServer::Start(http_options, [&api](const auto& request, auto respond) {
//     api.Handle(request, std::move(respond));
//   });
class HttpApi {
 public:
  // The waiter ends before the workers, which it gives work, and they before the others.
  struct Parts {
    ldb::Reader* reader;
    SequenceWaiter* waiter;
    WorkerPool* workers;
    Clock* clock;
    // Says who may read; null where everybody may.
    const rpc::AccessControl* access = nullptr;
    rpc::CallMetrics* metrics = nullptr;
  };

  struct Options {
    // A list of more rows, or of more bytes of JSON, is refused with 416. A worker has one list in
    // memory at a time.
    int64_t max_list_rows = 100000;
    size_t max_list_bytes = size_t{32} << 20;
    // How long one list may take.
    absl::Duration max_list_duration = absl::Seconds(30);
    // How long `min_sequence` is waited for.
    absl::Duration max_wait = absl::Seconds(30);
  };

  HttpApi(const Parts& parts, const Options& options) : parts_(parts), options_(options) {}
  HttpApi(const HttpApi&) = delete;
  HttpApi& operator=(const HttpApi&) = delete;

  // Answers once, during the call or later.
  void Handle(const rpc::HttpRequest& request, rpc::HttpServer::Respond respond) const;

  // How the server is to word what it refuses by itself.
  static rpc::HttpResponse ServerError(int status, absl::string_view message);

 private:
  const Parts parts_;
  const Options options_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_HTTP_API_H_
