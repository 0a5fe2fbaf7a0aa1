#include "common/object_store/s3_store.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/object_store/http_client.h"
#include "common/object_store/object_key.h"
#include "common/object_store/retry.h"
#include "common/object_store/s3_answers.h"
#include "common/object_store/s3_credentials.h"
#include "common/object_store/url_encoding.h"
#include "common/object_store/xml_reader.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

constexpr char kDefaultRegion[] = "us-east-1";
// S3's own limits.
constexpr int64_t kMaxParts = 10000;
constexpr int64_t kMaxPartBytes = int64_t{5} << 30;
// The end of an upload of many parts takes S3 minutes, in which it sends nothing or blanks.
constexpr int kPatience = 10;

std::string Digest(absl::string_view data, const EVP_MD* kind) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  // A library that does not allow MD5 has none to compare.
  if (EVP_Digest(data.data(), data.size(), digest, &size, kind, nullptr) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

// By name, values not encoded.
using Query = std::vector<std::pair<std::string, std::string>>;

struct S3Request {
  std::string method;
  // The whole key in the bucket; empty for the bucket itself.
  std::string key;
  Query query;
  std::vector<std::pair<std::string, std::string>> headers;
  absl::string_view body;
  // Whether it may take S3 long to answer.
  bool slow = false;
  // "put a/b", for messages.
  std::string purpose;
};

// An answer, or why there is none, and whether to ask again.
struct Outcome {
  absl::Status status;
  HttpResponse response;
  bool passing = false;
};

struct Part {
  int64_t offset = 0;
  int64_t size = 0;
  std::string etag;
};

class S3Store : public ObjectStore {
 public:
  S3Store(StoreUrl url, const StoreOptions& options, std::string base, std::string region,
          const AwsEnvironment& environment)
      : url_(std::move(url)),
        options_(options),
        base_(std::move(base)),
        region_(std::move(region)),
        http_(NewHttpClient(ClientOptions(options))),
        credentials_(environment, region_, options.ca_file, options.clock) {}

  std::string name() const override { return url_.ToString(); }
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
  static HttpClientOptions ClientOptions(const StoreOptions& options);

  // With a '/' at its end, where there is one at all.
  std::string Prefix() const { return url_.path.empty() ? "" : absl::StrCat(url_.path, "/"); }
  std::string What(const S3Request& request) const {
    return absl::StrCat(name(), ": cannot ", request.purpose, ": ");
  }

  // Makes a request once. A 2xx answer that is an S3 error all the same is an error.
  Outcome Try(const S3Request& request, const HttpClient::Sink& sink);
  // Until it succeeds, it cannot, or it was tried often enough.
  absl::StatusOr<HttpResponse> Send(const S3Request& request);
  bool Again(const S3Request& request, const absl::Status& status, Retry* retry);
  absl::Status GiveUp(const absl::Status& status) const;

  absl::StatusOr<HttpResponse> PutBytes(S3Request request);
  absl::Status PutParts(const std::string& key, const std::string& path, int fd, int64_t size,
                        const PutOptions& options);
  absl::Status PutPart(const std::string& key, const std::string& id, const std::string& path,
                       int fd, size_t index, std::string* buffer, Part* part);
  absl::Status Complete(const std::string& key, const std::string& id,
                        const std::vector<Part>& parts);
  absl::Status Abort(const std::string& key, const std::string& id);

  const StoreUrl url_;
  const StoreOptions options_;
  // The bucket's URL, without a '/' at its end.
  const std::string base_;
  const std::string region_;
  const std::unique_ptr<HttpClient> http_;
  S3Credentials credentials_;
  absl::Notification stop_;
  std::atomic<bool> stopping_{false};
};

HttpClientOptions S3Store::ClientOptions(const StoreOptions& options) {
  HttpClientOptions client;
  client.ca_file = options.ca_file;
  client.connect_timeout = options.connect_timeout;
  client.min_bytes_per_second = options.min_bytes_per_second;
  client.stall_timeout = options.stall_timeout;
  return client;
}

// ------------------------------------------------------------------------------------ requests

Outcome S3Store::Try(const S3Request& request, const HttpClient::Sink& sink) {
  Outcome outcome;
  const absl::StatusOr<AwsCredentials> credentials = credentials_.Get();
  if (!credentials.ok()) {
    outcome.status = absl::Status(credentials.status().code(),
                                  absl::StrCat(What(request), credentials.status().message()));
    outcome.passing = absl::IsUnavailable(credentials.status());
    return outcome;
  }
  HttpRequest http;
  http.method = request.method;
  http.url = base_;
  if (!request.key.empty()) absl::StrAppend(&http.url, "/", UrlEncodePath(request.key));
  // libcurl signs the query as it is, which has to be in the order of its names.
  Query query = request.query;
  std::sort(query.begin(), query.end());
  for (size_t i = 0; i < query.size(); ++i) {
    absl::StrAppend(&http.url, i == 0 ? "?" : "&", UrlEncode(query[i].first), "=",
                    UrlEncode(query[i].second));
  }
  http.headers = request.headers;
  http.headers.emplace_back("x-amz-content-sha256", Digest(request.body, EVP_sha256()));
  if (!credentials->session_token.empty()) {
    http.headers.emplace_back("x-amz-security-token", credentials->session_token);
  }
  http.body = request.body;
  http.signing = AwsSigning{region_, credentials->access_key_id, credentials->secret_access_key};
  if (request.slow) {
    http.stall_timeout = options_.stall_timeout * kPatience;
    http.min_bytes_per_second = 0;
  }

  // The sink's own error is what is returned, whatever its code.
  absl::Status refused;
  HttpClient::Sink watched;
  if (sink != nullptr) {
    watched = [&sink, &refused](const HttpResponse& head, absl::string_view piece) {
      refused = sink(head, piece);
      return refused;
    };
  }
  absl::StatusOr<HttpResponse> response = http_->Send(http, watched);
  if (!refused.ok()) {
    outcome.status = refused;
    return outcome;
  }
  if (!response.ok()) {
    outcome.passing = absl::IsUnavailable(response.status());
    const std::string message = absl::StrCat(What(request), response.status().message());
    outcome.status = absl::IsFailedPrecondition(response.status())
                         ? absl::UnavailableError(message)
                         : absl::Status(response.status().code(), message);
    return outcome;
  }
  const absl::optional<S3Error> error = ErrorIn(*response);
  outcome.response = *std::move(response);
  if (!error.has_value()) return outcome;
  outcome.status = error->ToStatus(What(request), region_);
  outcome.passing = error->passing() || (outcome.response.status >= 200 &&
                                         outcome.response.status < 300 && error->code.empty());
  if (error->credentials_expired() && credentials->expires != absl::InfiniteFuture()) {
    credentials_.Invalidate(*credentials);
    outcome.passing = true;
  }
  return outcome;
}

bool S3Store::Again(const S3Request& request, const absl::Status& status, Retry* retry) {
  if (!retry->Again()) return false;
  LOG(WARNING) << "event=s3_request_again store=" << name() << " purpose=\"" << request.purpose
               << "\" reason=\"" << status.message() << "\"";
  return true;
}

absl::Status S3Store::GiveUp(const absl::Status& status) const {
  if (stop_.HasBeenNotified()) {
    return absl::CancelledError(absl::StrCat(name(), ": the request was given up"));
  }
  // What is wrong now may have another code, as an expired token has.
  return absl::IsUnavailable(status) || absl::IsPermissionDenied(status)
             ? status
             : absl::UnavailableError(status.message());
}

absl::StatusOr<HttpResponse> S3Store::Send(const S3Request& request) {
  Retry retry(options_, &stop_);
  Outcome outcome;
  do {
    outcome = Try(request, nullptr);
    if (outcome.status.ok()) return std::move(outcome.response);
    if (!outcome.passing) return outcome.status;
  } while (Again(request, outcome.status, &retry));
  return GiveUp(outcome.status);
}

void S3Store::Cancel() {
  if (!stopping_.exchange(true)) stop_.Notify();
  http_->Cancel();
  credentials_.Cancel();
}

// ------------------------------------------------------------------------------------- reading

absl::StatusOr<std::vector<ObjectInfo>> S3Store::List(absl::string_view prefix) {
  const std::string own = Prefix();
  std::vector<ObjectInfo> objects;
  std::string token;
  do {
    S3Request request;
    request.method = "GET";
    request.purpose = absl::StrCat("list \"", prefix, "\"");
    request.query = {
        {"encoding-type", "url"}, {"list-type", "2"}, {"prefix", absl::StrCat(own, prefix)}};
    if (!token.empty()) request.query.emplace_back("continuation-token", token);
    const absl::StatusOr<HttpResponse> response = Send(request);
    if (!response.ok()) return response.status();
    absl::StatusOr<S3ObjectPage> page = ParseObjectPage(response->body);
    if (!page.ok()) {
      return absl::UnavailableError(absl::StrCat(What(request), page.status().message()));
    }
    for (ObjectInfo& object : page->objects) {
      // Another one is not asked for; some servers show folders.
      if (!absl::StartsWith(object.key, absl::StrCat(own, prefix)) ||
          object.key.size() == own.size() || absl::EndsWith(object.key, "/")) {
        continue;
      }
      object.key.erase(0, own.size());
      objects.push_back(std::move(object));
    }
    if (!page->next.empty() && page->next == token) {
      return absl::UnavailableError(absl::StrCat(What(request), "the list has no end"));
    }
    token = std::move(page->next);
  } while (!token.empty());
  std::sort(objects.begin(), objects.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  return objects;
}

absl::StatusOr<ObjectInfo> S3Store::Stat(absl::string_view key) {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  S3Request request;
  request.method = "HEAD";
  request.purpose = absl::StrCat("look at ", key);
  request.key = absl::StrCat(Prefix(), key);
  const absl::StatusOr<HttpResponse> response = Send(request);
  if (!response.ok()) {
    // This answer has no body that could say which.
    return absl::IsNotFound(response.status())
               ? absl::NotFoundError(absl::StrCat(What(request), "there is no such object, or the ",
                                                  "bucket is not there"))
               : response.status();
  }
  absl::StatusOr<ObjectInfo> object = ParseObjectHeaders(*response);
  if (!object.ok()) {
    return absl::UnavailableError(absl::StrCat(What(request), object.status().message()));
  }
  object->key = std::string(key);
  return object;
}

absl::Status S3Store::Read(absl::string_view key, const ReadOptions& options, const Sink& sink) {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  if (options.offset < 0 || options.length < -1) {
    return absl::InvalidArgumentError("a range of an object has a negative offset or length");
  }
  if (options.length == 0) return absl::OkStatus();
  S3Request request;
  request.method = "GET";
  request.purpose = absl::StrCat("read ", key);
  request.key = absl::StrCat(Prefix(), key);
  const int64_t end = options.length < 0 ? -1 : options.offset + options.length;
  int64_t position = options.offset;
  std::string version = options.version;
  const auto changed = [&] {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kObjectChanged,
                           absl::StrCat(What(request), "the object has changed"));
  };
  Retry retry(options_, &stop_);
  while (true) {
    const int64_t start = position;
    const bool ranged = start > 0 || end >= 0;
    request.headers.clear();
    if (ranged) {
      request.headers.emplace_back(
          "range",
          absl::StrCat("bytes=", start, "-", end < 0 ? std::string() : absl::StrCat(end - 1)));
    }
    if (!version.empty()) request.headers.emplace_back("if-match", version);
    int64_t size = -1;
    bool seen = false;
    const auto take_head = [&](const HttpResponse& head) -> absl::Status {
      if (seen) return absl::OkStatus();
      seen = true;
      const std::string etag(head.header("etag"));
      if (!version.empty() && !etag.empty() && etag != version) return changed();
      // What comes after a broken connection has to be of the same object.
      if (!etag.empty()) version = etag;
      if (!ranged) return absl::OkStatus();
      const absl::optional<ContentRange> range = ParseContentRange(head.header("content-range"));
      if (head.status != 206 || !range.has_value() || range->first != start) {
        return absl::UnavailableError(
            absl::StrCat(What(request), "the answer is not the range that was asked for"));
      }
      size = range->size;
      return absl::OkStatus();
    };
    const Outcome outcome =
        Try(request, [&](const HttpResponse& head, absl::string_view piece) -> absl::Status {
          absl::Status taken = take_head(head);
          if (!taken.ok()) return taken;
          if (end >= 0 && static_cast<int64_t>(piece.size()) > end - position) {
            return absl::UnavailableError(
                absl::StrCat(What(request), "the answer is longer than what was asked for"));
          }
          position += static_cast<int64_t>(piece.size());
          return sink(piece);
        });
    if (outcome.status.ok()) {
      status = take_head(outcome.response);
      if (!status.ok()) return status;
      if (end < 0 || position == end) return absl::OkStatus();
      if (size >= 0 && size < end) {
        return absl::OutOfRangeError(absl::StrCat(What(request), "the object has ", size,
                                                  " bytes, and ", end, " were to be there"));
      }
      status = absl::UnavailableError(absl::StrCat(What(request), "the answer is too short"));
    } else {
      if (outcome.response.status == 416 && end < 0) {
        const absl::optional<ContentRange> range =
            ParseContentRange(outcome.response.header("content-range"));
        // Nothing is left of it.
        if (range.has_value() && range->size == position) return absl::OkStatus();
      }
      if (!outcome.passing) return outcome.status;
      status = outcome.status;
    }
    if (position > start) retry.Progress();
    if (!Again(request, status, &retry)) return GiveUp(status);
  }
}

// ------------------------------------------------------------------------------------- writing

// The request's answer, whose ETag agrees with the body where it can be compared.
absl::StatusOr<HttpResponse> S3Store::PutBytes(S3Request request) {
  const std::string md5 = Digest(request.body, EVP_md5());
  Retry retry(options_, &stop_);
  absl::Status status;
  do {
    absl::StatusOr<HttpResponse> response = Send(request);
    if (!response.ok()) return response;
    const absl::string_view stored = Md5InEtag(response->header("etag"));
    // Of what is encrypted with a key of somebody's own it is no digest.
    const absl::string_view encryption = response->header("x-amz-server-side-encryption");
    const bool comparable =
        !stored.empty() && !md5.empty() && (encryption.empty() || encryption == "AES256") &&
        response->header("x-amz-server-side-encryption-customer-algorithm").empty();
    if (!comparable || stored == md5) return response;
    status = absl::UnavailableError(
        absl::StrCat(What(request), "the store has other bytes than were sent"));
  } while (Again(request, status, &retry));
  return GiveUp(status);
}

std::vector<std::pair<std::string, std::string>> ObjectHeaders(
    const ObjectStore::PutOptions& options) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (!options.content_type.empty()) headers.emplace_back("content-type", options.content_type);
  for (const auto& [name, value] : options.metadata) {
    headers.emplace_back(absl::StrCat("x-amz-meta-", name), value);
  }
  return headers;
}

absl::Status S3Store::Put(absl::string_view key, absl::string_view contents,
                          const PutOptions& options) {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  S3Request request;
  request.method = "PUT";
  request.purpose = absl::StrCat("put ", key);
  request.key = absl::StrCat(Prefix(), key);
  request.headers = ObjectHeaders(options);
  request.body = contents;
  return PutBytes(std::move(request)).status();
}

// Bytes of a file. `buffer` is as large as they are afterwards.
absl::Status ReadFileRange(const std::string& path, int fd, int64_t offset, int64_t size,
                           std::string* buffer) {
  buffer->resize(static_cast<size_t>(size));
  size_t done = 0;
  while (done < buffer->size()) {
    const ssize_t count = pread(fd, &(*buffer)[done], buffer->size() - done,
                                static_cast<off_t>(offset + static_cast<int64_t>(done)));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return absl::UnavailableError(absl::StrCat("cannot read ", path, ": ", strerror(errno)));
    }
    if (count == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " became shorter while it was being put"));
    }
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status S3Store::PutFile(absl::string_view key, const std::string& path,
                              const PutOptions& options) {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::UnavailableError(absl::StrCat("cannot open ", path, ": ", strerror(errno)));
  }
  const absl::Cleanup close_file = [fd] { close(fd); };
  struct stat file = {};
  if (fstat(fd, &file) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot look at ", path, ": ", strerror(errno)));
  }
  const int64_t size = file.st_size;
  if (size > options_.s3_part_bytes) {
    return PutParts(absl::StrCat(Prefix(), key), path, fd, size, options);
  }
  std::string contents;
  status = ReadFileRange(path, fd, 0, size, &contents);
  if (!status.ok()) return status;
  return Put(key, contents, options);
}

absl::Status S3Store::PutPart(const std::string& key, const std::string& id,
                              const std::string& path, int fd, size_t index, std::string* buffer,
                              Part* part) {
  absl::Status status = ReadFileRange(path, fd, part->offset, part->size, buffer);
  if (!status.ok()) return status;
  S3Request request;
  request.method = "PUT";
  request.purpose = absl::StrCat("put part ", index + 1, " of ", key);
  request.key = key;
  request.query = {{"partNumber", absl::StrCat(index + 1)}, {"uploadId", id}};
  request.body = *buffer;
  const absl::StatusOr<HttpResponse> response = PutBytes(std::move(request));
  if (!response.ok()) return response.status();
  part->etag = std::string(response->header("etag"));
  if (part->etag.empty()) {
    return absl::UnavailableError(
        absl::StrCat(name(), ": the store has not confirmed part ", index + 1, " of ", key));
  }
  return absl::OkStatus();
}

absl::Status S3Store::PutParts(const std::string& key, const std::string& path, int fd,
                               int64_t size, const PutOptions& options) {
  int64_t part_bytes = options_.s3_part_bytes;
  if (size > part_bytes * kMaxParts) {
    constexpr int64_t kStep = int64_t{1} << 20;
    part_bytes = ((size + kMaxParts - 1) / kMaxParts + kStep - 1) / kStep * kStep;
  }
  std::vector<Part> parts;
  for (int64_t offset = 0; offset < size; offset += part_bytes) {
    parts.push_back({offset, std::min(part_bytes, size - offset), ""});
  }

  S3Request begin;
  begin.method = "POST";
  begin.purpose = absl::StrCat("begin to put ", key);
  begin.key = key;
  begin.query = {{"uploads", ""}};
  begin.headers = ObjectHeaders(options);
  const absl::StatusOr<HttpResponse> begun = Send(begin);
  if (!begun.ok()) return begun.status();
  const absl::StatusOr<std::string> id = ParseUploadId(begun->body);
  if (!id.ok()) return absl::UnavailableError(absl::StrCat(What(begin), id.status().message()));

  std::atomic<size_t> next{0};
  absl::Mutex mutex;
  absl::Status failed;
  const auto put_parts = [&] {
    std::string buffer;
    while (true) {
      {
        absl::MutexLock lock(&mutex);
        if (!failed.ok()) return;
      }
      const size_t index = next.fetch_add(1);
      if (index >= parts.size()) return;
      absl::Status status = PutPart(key, *id, path, fd, index, &buffer, &parts[index]);
      if (status.ok()) continue;
      absl::MutexLock lock(&mutex);
      if (failed.ok()) failed = std::move(status);
    }
  };
  std::vector<std::thread> threads;
  const size_t wanted = std::min(static_cast<size_t>(options_.s3_parallel_parts), parts.size());
  while (threads.size() + 1 < wanted) threads.emplace_back(put_parts);
  put_parts();
  for (std::thread& thread : threads) thread.join();

  absl::Status status = failed.ok() ? Complete(key, *id, parts) : failed;
  if (!status.ok()) {
    // Its parts would be stored, and paid for, until somebody removes them.
    const absl::Status aborted = Abort(key, *id);
    if (!aborted.ok()) {
      LOG(WARNING) << "event=s3_upload_left store=" << name() << " key=" << key << " reason=\""
                   << aborted.message() << "\"";
    }
  }
  return status;
}

// The ETag that S3 gives to an object of these parts; empty where theirs are no MD5s.
std::string EtagOf(const std::vector<Part>& parts) {
  std::string digests;
  for (const Part& part : parts) {
    const absl::string_view md5 = Md5InEtag(part.etag);
    if (md5.empty()) return "";
    digests += absl::HexStringToBytes(md5);
  }
  return absl::StrCat("\"", Digest(digests, EVP_md5()), "-", parts.size(), "\"");
}

absl::Status S3Store::Complete(const std::string& key, const std::string& id,
                               const std::vector<Part>& parts) {
  std::string body = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StrAppend(&body, "<Part><PartNumber>", i + 1, "</PartNumber><ETag>",
                    XmlEscape(parts[i].etag), "</ETag></Part>");
  }
  absl::StrAppend(&body, "</CompleteMultipartUpload>");
  S3Request request;
  request.method = "POST";
  request.purpose = absl::StrCat("put ", key, " together");
  request.key = key;
  request.query = {{"uploadId", id}};
  request.headers = {{"content-type", "application/xml"}};
  request.body = body;
  request.slow = true;
  absl::StatusOr<HttpResponse> response = Send(request);
  if (response.ok()) {
    const absl::StatusOr<XmlElement> xml = ParseXml(response->body);
    if (xml.ok() && xml->name == "CompleteMultipartUploadResult") return absl::OkStatus();
    response = absl::UnavailableError(
        absl::StrCat(What(request), "the store has not confirmed the object"));
  }
  if (!absl::IsNotFound(response.status()) && !absl::IsUnavailable(response.status())) {
    return response.status();
  }
  // The upload may have ended although its answer was lost; then the object is there.
  S3Request look;
  look.method = "HEAD";
  look.purpose = absl::StrCat("look at ", key);
  look.key = key;
  const absl::StatusOr<HttpResponse> found = Send(look);
  const std::string etag = EtagOf(parts);
  if (found.ok() && !etag.empty() && found->header("etag") == etag) return absl::OkStatus();
  return absl::IsNotFound(response.status()) ? absl::UnavailableError(response.status().message())
                                             : response.status();
}

absl::Status S3Store::Abort(const std::string& key, const std::string& id) {
  S3Request request;
  request.method = "DELETE";
  request.purpose = absl::StrCat("give up an upload of ", key);
  request.key = key;
  request.query = {{"uploadId", id}};
  absl::Status status = Send(request).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status S3Store::Delete(absl::string_view key) {
  absl::Status status = CheckObjectKey(key);
  if (!status.ok()) return status;
  S3Request request;
  request.method = "DELETE";
  request.purpose = absl::StrCat("delete ", key);
  request.key = absl::StrCat(Prefix(), key);
  status = Send(request).status();
  if (absl::IsNotFound(status) && !absl::StrContains(status.message(), "NoSuchBucket")) {
    return absl::OkStatus();
  }
  return status;
}

absl::Status S3Store::RemoveUnfinished(absl::Time before) {
  S3UploadPage page;
  absl::Status failed;
  do {
    S3Request request;
    request.method = "GET";
    request.purpose = "list unfinished uploads";
    request.query = {{"encoding-type", "url"}, {"prefix", Prefix()}, {"uploads", ""}};
    if (page.truncated) {
      request.query.emplace_back("key-marker", page.next_key);
      request.query.emplace_back("upload-id-marker", page.next_id);
    }
    const absl::StatusOr<HttpResponse> response = Send(request);
    if (!response.ok()) {
      // Stores that cannot list them keep none, or clean up by themselves.
      return absl::IsUnimplemented(response.status()) ? absl::OkStatus() : response.status();
    }
    const std::pair<std::string, std::string> from = {page.next_key, page.next_id};
    absl::StatusOr<S3UploadPage> next = ParseUploadPage(response->body);
    if (!next.ok()) {
      return absl::UnavailableError(absl::StrCat(What(request), next.status().message()));
    }
    page = *std::move(next);
    for (const S3Upload& upload : page.uploads) {
      if (upload.initiated >= before || upload.id.empty() ||
          !absl::StartsWith(upload.key, Prefix())) {
        continue;
      }
      absl::Status status = Abort(upload.key, upload.id);
      if (absl::IsCancelled(status)) return status;
      if (!status.ok()) failed = std::move(status);
    }
    if (page.truncated && from == std::make_pair(page.next_key, page.next_id)) {
      return absl::UnavailableError(absl::StrCat(What(request), "the list has no end"));
    }
  } while (page.truncated);
  return failed;
}

// ------------------------------------------------------------------------------------- opening

bool IsBucketName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
}

absl::Status CheckOptions(const StoreOptions& options) {
  if (options.s3_part_bytes < 1 || options.s3_part_bytes > kMaxPartBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the size of S3 parts is ",
                                                   options.s3_part_bytes,
                                                   " bytes; it must be 1 to ", kMaxPartBytes));
  }
  if (options.s3_parallel_parts < 1 || options.s3_parallel_parts > 64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the number of S3 parts at a time is ", options.s3_parallel_parts, "; it must be 1 to 64"));
  }
  if (options.max_attempts < 1 || options.stall_timeout <= absl::ZeroDuration() ||
      options.connect_timeout <= absl::ZeroDuration() || options.min_bytes_per_second < 0) {
    return absl::InvalidArgumentError(
        "the attempts, the time without progress and the time to connect must be more than none");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenS3Store(const StoreUrl& url,
                                                         const StoreOptions& options,
                                                         const AwsEnvironment& environment) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  const std::string& bucket = url.authority;
  if (!IsBucketName(bucket)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", bucket, "\" is not the name of a bucket"));
  }
  const AwsSettings settings = ReadAwsSettings(environment);
  const auto either = [](const std::string& first, const std::string& second,
                         const char* otherwise) {
    return !first.empty() ? first : !second.empty() ? second : std::string(otherwise);
  };
  const std::string region = either(options.s3_region, settings.region, kDefaultRegion);
  if (!std::all_of(region.begin(), region.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
      })) {
    return absl::InvalidArgumentError(absl::StrCat("\"", region, "\" is not the name of a region"));
  }
  std::string endpoint = either(options.s3_endpoint, settings.endpoint, "");
  while (absl::EndsWith(endpoint, "/")) endpoint.pop_back();
  std::string base;
  if (!endpoint.empty()) {
    const bool is_http = absl::StartsWith(endpoint, "http://");
    const absl::string_view host = is_http || absl::StartsWith(endpoint, "https://")
                                       ? absl::string_view(endpoint).substr(is_http ? 7 : 8)
                                       : absl::string_view();
    if (host.empty() || host.find_first_of("@?# ") != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          "the S3 endpoint is not \"http://host:port\" or \"https://host:port\" without a user");
    }
    base = absl::StrCat(endpoint, "/", bucket);
  } else {
    const std::string host =
        absl::StrCat("s3.", region, ".amazonaws.com", absl::StartsWith(region, "cn-") ? ".cn" : "");
    // A certificate for *.HOST is not for buckets with a '.' in their names.
    base = options.s3_path_style || absl::StrContains(bucket, '.')
               ? absl::StrCat("https://", host, "/", bucket)
               : absl::StrCat("https://", bucket, ".", host);
  }
  return std::unique_ptr<ObjectStore>(
      std::make_unique<S3Store>(url, options, std::move(base), region, environment));
}

}  // namespace ctlstore::object_store
