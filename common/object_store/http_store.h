// Objects of a web server, to be read.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_HTTP_STORE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_HTTP_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/object_store/http_client.h"
#include "common/object_store/object_store.h"
#include "common/object_store/store_options.h"
#include "common/object_store/store_url.h"

namespace ctlstore::object_store {

// An object is what the server has at the store's URL with the key behind it. Thread-safe. All but
// Stat() and Read() is UNIMPLEMENTED.
//
// Works with servers that know ranges and with those that do not, which then send all of the object
// for each range. A reading that breaks off is gone on with where it was. Redirects are followed,
// though never from https to http.
//
// The version is the ETag, or the time of change where there is none; it is compared here, so that
// it does not matter which conditions a server knows. Metadata is what headers `x-amz-meta-...`
// say, so that of a public S3 bucket it is there.
//
// UNAVAILABLE also where the server's certificate is not trusted; that is not tried again.
class HttpStore : public ObjectStore {
 public:
  // `url` is one of a web server.
  HttpStore(const StoreUrl& url, const StoreOptions& options);

  std::string name() const override { return name_; }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override;
  absl::Status Read(absl::string_view key, const ReadOptions& options, const Sink& sink) override;
  absl::Status PutFile(absl::string_view key, const std::string& path,
                       const PutOptions& options) override;
  absl::Status Put(absl::string_view key, absl::string_view contents,
                   const PutOptions& options) override;
  absl::Status Delete(absl::string_view key) override;
  absl::Status RemoveUnfinished(absl::Time before) override;
  void Cancel() override;

 private:
  class Download;

  // A request for the object. INVALID_ARGUMENT for a key that can be none.
  absl::StatusOr<HttpRequest> RequestFor(absl::string_view method, absl::string_view key) const;
  // What an answer that is no success means.
  absl::Status ErrorOf(absl::string_view key, const HttpResponse& response) const;
  // What a request that got no answer means.
  absl::Status ErrorOf(absl::string_view key, const absl::Status& status) const;
  absl::Status ReadOnly() const;

  const std::string name_;
  // Percent-encoded, with a '/' at its end.
  const std::string base_url_;
  const StoreOptions options_;
  const std::unique_ptr<HttpClient> client_;

  absl::Mutex cancel_mutex_;
  absl::Notification cancelled_;
};

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_HTTP_STORE_H_
