#include "common/object_store/http_store.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/object_store/object_key.h"
#include "common/object_store/retry.h"
#include "common/object_store/url_encoding.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

constexpr int kMaxRedirects = 5;
// An attempt that got on by so much counts as none.
constexpr int64_t kProgressBytes = 64 << 10;

constexpr char kMetadataPrefix[] = "x-amz-meta-";
constexpr char kHttpDate[] = "%a, %d %b %E4Y %H:%M:%S GMT";

std::string VersionOf(const HttpResponse& response) {
  const absl::string_view tag = response.header("etag");
  return std::string(tag.empty() ? response.header("last-modified") : tag);
}

// -1 where it is not said.
int64_t ContentLength(const HttpResponse& response) {
  int64_t length = -1;
  return absl::SimpleAtoi(response.header("content-length"), &length) && length >= 0 ? length : -1;
}

struct ContentRange {
  // -1 where there is none ("*").
  int64_t begin = -1;
  // Of the whole object; -1 where it is not known.
  int64_t total = -1;
};

// "bytes 0-99/200", "bytes */200", "bytes 0-99/*". nullopt where it is none of these.
absl::optional<ContentRange> ParseContentRange(absl::string_view text) {
  ContentRange range;
  const size_t slash = text.find('/');
  if (!absl::ConsumePrefix(&text, "bytes ") || slash == absl::string_view::npos) {
    return absl::nullopt;
  }
  const absl::string_view total = text.substr(text.find('/') + 1);
  const absl::string_view bounds = text.substr(0, text.find('/'));
  if (total != "*" && (!absl::SimpleAtoi(total, &range.total) || range.total < 0)) {
    return absl::nullopt;
  }
  if (bounds != "*" &&
      (!absl::SimpleAtoi(bounds.substr(0, bounds.find('-')), &range.begin) || range.begin < 0)) {
    return absl::nullopt;
  }
  return range;
}

bool IsWorthAnotherTry(int status) { return status >= 500 || status == 429 || status == 408; }

}  // namespace

HttpStore::HttpStore(const StoreUrl& url, const StoreOptions& options)
    : name_(url.ToString()),
      base_url_(
          absl::StrCat(url.authority, "/", UrlEncodePath(url.path), url.path.empty() ? "" : "/")),
      options_(options),
      client_(NewHttpClient([&] {
        HttpClientOptions client;
        client.ca_file = options.ca_file;
        client.connect_timeout = options.connect_timeout;
        client.min_bytes_per_second = options.min_bytes_per_second;
        client.stall_timeout = options.stall_timeout;
        return client;
      }())) {}

absl::StatusOr<std::vector<ObjectInfo>> HttpStore::List(absl::string_view) {
  return absl::UnimplementedError(absl::StrCat(name_, ": what a web server has cannot be listed"));
}

absl::StatusOr<ObjectInfo> HttpStore::Stat(absl::string_view key) {
  const absl::StatusOr<HttpRequest> request = RequestFor("HEAD", key);
  if (!request.ok()) return request.status();
  Retry retry(options_, &cancelled_);
  absl::Status status;
  do {
    const absl::StatusOr<HttpResponse> response = client_->Send(*request);
    if (!response.ok()) {
      status = ErrorOf(key, response.status());
      if (!absl::IsUnavailable(response.status())) return status;
      continue;
    }
    if (response->status != 200) {
      status = ErrorOf(key, *response);
      if (!IsWorthAnotherTry(response->status)) return status;
      continue;
    }
    ObjectInfo object;
    object.key = std::string(key);
    object.size = ContentLength(*response);
    if (object.size < 0) {
      return absl::UnavailableError(
          absl::StrCat(name_, ": ", key, ": the server does not say how large it is"));
    }
    std::string error;
    absl::ParseTime(kHttpDate, response->header("last-modified"), &object.modified, &error);
    object.version = VersionOf(*response);
    for (const auto& [name, value] : response->headers) {
      absl::string_view metadata = name;
      if (absl::ConsumePrefix(&metadata, kMetadataPrefix)) {
        object.metadata.emplace(metadata, value);
      }
    }
    return object;
  } while (retry.Again());
  return cancelled_.HasBeenNotified() ? ErrorOf(key, absl::CancelledError()) : status;
}

// What of a range has been read, over several requests.
class HttpStore::Download {
 public:
  Download(const HttpStore& store, absl::string_view key, const ReadOptions& options,
           const Sink& sink)
      : store_(store),
        key_(key),
        sink_(sink),
        version_(options.version),
        offset_(options.offset),
        end_(options.length < 0 ? -1 : options.offset + options.length) {}

  // Empty where all of the object is wanted, from its beginning.
  std::string RangeHeader() const {
    if (offset_ == 0 && end_ < 0) return "";
    return absl::StrCat("bytes=", offset_, "-", end_ < 0 ? "" : absl::StrCat(end_ - 1));
  }

  void BeginRequest() {
    begun_ = false;
    skip_ = 0;
  }

  // The sink of a request. An error is told by error() or by done().
  absl::Status Take(const HttpResponse& head, absl::string_view piece) {
    error_ = store_.cancelled_.HasBeenNotified() ? store_.ErrorOf(key_, absl::CancelledError())
                                                 : Begin(head);
    if (!error_.ok()) return error_;
    const size_t skipped = std::min<uint64_t>(piece.size(), skip_);
    skip_ -= skipped;
    piece.remove_prefix(skipped);
    if (end_ >= 0) piece = piece.substr(0, end_ - offset_);
    if (!piece.empty()) {
      error_ = sink_(piece);
      if (!error_.ok()) return error_;
      offset_ += piece.size();
    }
    // What comes behind the range is not waited for.
    return offset_ == end_ ? absl::CancelledError("enough") : absl::OkStatus();
  }

  // After a request whose answer came as a whole.
  absl::Status Finish(const HttpResponse& response) {
    if (response.status == 416) {
      const absl::optional<ContentRange> range =
          ParseContentRange(response.header("content-range"));
      const int64_t total = range.has_value() && range->total >= 0 ? range->total : total_;
      at_end_ = end_ < 0 && offset_ == total;
      return at_end_ ? absl::OkStatus() : EndsEarly(total);
    }
    if (response.status != 200 && response.status != 206) return store_.ErrorOf(key_, response);
    // Without a body nothing was taken.
    absl::Status status = Begin(response);
    if (!status.ok()) return status;
    if (skip_ > 0) return EndsEarly(-1);
    if (response.status == 200 || offset_ == total_) at_end_ = true;
    return at_end_ && end_ >= 0 && offset_ < end_ ? EndsEarly(offset_) : absl::OkStatus();
  }

  int64_t offset() const { return offset_; }
  // What has to be returned as it is.
  const absl::Status& error() const { return error_; }
  bool done() const { return end_ >= 0 ? offset_ == end_ : at_end_; }

 private:
  // Looks at the head of a successful answer, once.
  absl::Status Begin(const HttpResponse& head) {
    if (std::exchange(begun_, true)) return absl::OkStatus();
    int64_t total = -1;
    if (head.status == 206) {
      const absl::optional<ContentRange> range = ParseContentRange(head.header("content-range"));
      if (!range.has_value() || range->begin != offset_) {
        return absl::UnavailableError(
            absl::StrCat(store_.name_, ": ", key_,
                         ": the server has sent another range than bytes from ", offset_, " on"));
      }
      total = range->total;
    } else {
      // It does not know ranges.
      total = ContentLength(head);
      skip_ = offset_;
    }
    const std::string version = VersionOf(head);
    if ((!version_.empty() && version != version_) ||
        (total_ >= 0 && total >= 0 && total != total_)) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, reason::kObjectChanged,
          absl::StrCat(store_.name_, ": ", key_, " is another object than before"));
    }
    version_ = version;
    if (total >= 0) total_ = total;
    if (total >= 0 && (offset_ > total || end_ > total)) return EndsEarly(total);
    return absl::OkStatus();
  }

  absl::Status EndsEarly(int64_t total) const {
    return absl::OutOfRangeError(absl::StrCat(store_.name_, ": ", key_, " has ",
                                              total < 0 ? "fewer" : absl::StrCat(total),
                                              " bytes, and is to be read from ", offset_, " to ",
                                              end_ < 0 ? "its end" : absl::StrCat(end_)));
  }

  const HttpStore& store_;
  const absl::string_view key_;
  const Sink& sink_;
  // Empty where none is asked for and none has been seen.
  std::string version_;
  // Where what comes next is in the object.
  int64_t offset_;
  // -1: its end.
  const int64_t end_;
  int64_t total_ = -1;
  bool at_end_ = false;
  bool begun_ = false;
  int64_t skip_ = 0;
  absl::Status error_;
};

absl::Status HttpStore::Read(absl::string_view key, const ReadOptions& options, const Sink& sink) {
  if (options.offset < 0) return absl::InvalidArgumentError("an offset must not be below 0");
  if (options.length == 0) {
    // There is no range without bytes.
    const absl::StatusOr<ObjectInfo> object = Stat(key);
    if (!object.ok()) return object.status();
    if (!options.version.empty() && object->version != options.version) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kObjectChanged,
                             absl::StrCat(name_, ": ", key, " is another object than before"));
    }
    if (options.offset <= object->size) return absl::OkStatus();
    return absl::OutOfRangeError(
        absl::StrCat(name_, ": ", key, " has ", object->size, " bytes only"));
  }
  absl::StatusOr<HttpRequest> request = RequestFor("GET", key);
  if (!request.ok()) return request.status();
  const std::vector<std::pair<std::string, std::string>> headers = request->headers;
  Download download(*this, key, options, sink);
  Retry retry(options_, &cancelled_);
  absl::Status status;
  do {
    const int64_t before = download.offset();
    request->headers = headers;
    const std::string range = download.RangeHeader();
    if (!range.empty()) request->headers.emplace_back("Range", range);
    download.BeginRequest();
    const absl::StatusOr<HttpResponse> response =
        client_->Send(*request, [&](const HttpResponse& head, absl::string_view piece) {
          return download.Take(head, piece);
        });
    if (!download.error().ok()) return download.error();
    if (download.done()) return absl::OkStatus();
    if (response.ok()) {
      status = download.Finish(*response);
      if (download.done()) return absl::OkStatus();
      if (!status.ok() && !IsWorthAnotherTry(response->status)) return status;
      // A part of the range came, and the server has more.
      if (status.ok()) {
        status =
            absl::UnavailableError(absl::StrCat(name_, ": ", key, ": the server sends nothing"));
      }
    } else {
      status = ErrorOf(key, response.status());
      if (!absl::IsUnavailable(response.status())) return status;
    }
    if (download.offset() - before >= kProgressBytes) retry.Progress();
  } while (retry.Again());
  return cancelled_.HasBeenNotified() ? ErrorOf(key, absl::CancelledError()) : status;
}

absl::Status HttpStore::PutFile(absl::string_view, const std::string&, const PutOptions&) {
  return ReadOnly();
}
absl::Status HttpStore::Put(absl::string_view, absl::string_view, const PutOptions&) {
  return ReadOnly();
}
absl::Status HttpStore::Delete(absl::string_view) { return ReadOnly(); }
absl::Status HttpStore::RemoveUnfinished(absl::Time) { return ReadOnly(); }

void HttpStore::Cancel() {
  client_->Cancel();
  absl::MutexLock lock(&cancel_mutex_);
  if (!cancelled_.HasBeenNotified()) cancelled_.Notify();
}

absl::StatusOr<HttpRequest> HttpStore::RequestFor(absl::string_view method,
                                                  absl::string_view key) const {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  HttpRequest request;
  request.method = std::string(method);
  request.url = absl::StrCat(base_url_, UrlEncodePath(key));
  // Not compressed on the way, which would change sizes and ranges.
  request.headers.emplace_back("Accept-Encoding", "identity");
  request.max_redirects = kMaxRedirects;
  return request;
}

absl::Status HttpStore::ErrorOf(absl::string_view key, const HttpResponse& response) const {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  if (response.status == 404 || response.status == 410) {
    code = absl::StatusCode::kNotFound;
  } else if (response.status == 401 || response.status == 403 || response.status == 407) {
    code = absl::StatusCode::kPermissionDenied;
  }
  return absl::Status(
      code, absl::StrCat(name_, ": ", key, ": the server answers with status ", response.status));
}

absl::Status HttpStore::ErrorOf(absl::string_view key, const absl::Status& status) const {
  if (absl::IsCancelled(status)) {
    return absl::CancelledError(absl::StrCat(name_, ": was told to stop"));
  }
  return absl::UnavailableError(absl::StrCat(name_, ": ", key, ": ", status.message()));
}

absl::Status HttpStore::ReadOnly() const {
  return absl::UnimplementedError(absl::StrCat(name_, ": a web server can only be read from"));
}

}  // namespace ctlstore::object_store
