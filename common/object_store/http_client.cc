#include "common/object_store/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"

namespace ctlstore::object_store {
namespace {

// What libcurl takes from a connection, or gives to it, at a time.
constexpr long kTransferBufferBytes = 256 << 10;

void InitializeCurl() {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)initialized;
}

// A set of connections that one request uses at a time.
struct Lane {
  Lane() : multi(curl_multi_init()), easy(curl_easy_init()) {}
  ~Lane() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  CURLM* const multi;
  CURL* const easy;
};

// "https://host:port" of a URL; empty where it is none that a request can be made to.
absl::string_view ServerOf(absl::string_view url) {
  size_t start = 0;
  if (absl::StartsWith(url, "http://")) {
    start = 7;
  } else if (absl::StartsWith(url, "https://")) {
    start = 8;
  } else {
    return "";
  }
  const size_t end = std::min(url.find_first_of("/?#", start), url.size());
  const absl::string_view server = url.substr(0, end);
  if (end == start || absl::StrContains(server, '@')) return "";
  return server;
}

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)); });
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
}

// What libcurl's signing needs beyond what HTTP does. It sorts whole header lines, in which a ':'
// comes after a '-' and after digits, and does not know headers without a value.
absl::Status CheckSignedHeaders(const std::vector<std::pair<std::string, std::string>>& headers) {
  bool has_digest = false;
  for (const auto& [name, value] : headers) {
    has_digest = has_digest || absl::EqualsIgnoreCase(name, "x-amz-content-sha256");
    if (value.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the header ", name, " is empty, which cannot be signed"));
    }
    for (const auto& other : headers) {
      if (other.first.size() > name.size() && absl::StartsWithIgnoreCase(other.first, name) &&
          other.first[name.size()] < ':') {
        return absl::InvalidArgumentError(
            absl::StrCat("the headers ", name, " and ", other.first, " cannot be signed together"));
      }
    }
  }
  if (!has_digest) return absl::InvalidArgumentError("a signed request without its body's digest");
  return absl::OkStatus();
}

absl::Status CheckRequest(const HttpRequest& request) {
  // Never repeats the URL, which may have a password in it where it is wrong.
  if (ServerOf(request.url).empty() || !IsPlain(request.url) ||
      absl::StrContains(request.url, ' ')) {
    return absl::InvalidArgumentError(
        "a URL is not \"http://host/path\" or \"https://host/path\", percent-encoded and without a "
        "user");
  }
  static const auto* const kMethods =
      new std::set<std::string>{"GET", "HEAD", "PUT", "POST", "DELETE"};
  if (kMethods->count(request.method) == 0) {
    return absl::InvalidArgumentError(absl::StrCat("there is no HTTP method ", request.method));
  }
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name) || !IsPlain(value) || absl::StripAsciiWhitespace(value) != value) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the header ", name, " is not of printable ASCII, or begins or ends with a blank"));
    }
  }
  if (!request.signing.has_value()) return absl::OkStatus();
  if (!IsToken(request.signing->region)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", request.signing->region, "\" is not the name of a region"));
  }
  return CheckSignedHeaders(request.headers);
}

// What libcurl's callbacks work on during a request.
class Exchange {
 public:
  Exchange(CURL* easy, const HttpRequest& request, const HttpClient::Sink& sink)
      : easy_(easy), request_(request), sink_(sink) {}
  ~Exchange() { curl_slist_free_all(headers_); }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // The request, the callbacks, and what is the same for all requests.
  void SetUp(const HttpClientOptions& options);

  // Bytes moved since the start.
  int64_t Moved() const {
    curl_off_t up = 0;
    curl_off_t down = 0;
    curl_easy_getinfo(easy_, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(easy_, CURLINFO_SIZE_DOWNLOAD_T, &down);
    return up + down + header_bytes_;
  }

  absl::StatusOr<HttpResponse> Finish(CURLcode result);

 private:
  template <typename T>
  void Set(CURLoption option, T value) {
    curl_easy_setopt(easy_, option, value);
  }
  void SetMethod();
  void SetHeaders();
  bool Is2xx() const { return response_.status >= 200 && response_.status < 300; }

  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static size_t OnRead(char* buffer, size_t size, size_t count, void* self);
  static int OnSeek(void* self, curl_off_t offset, int origin);

  CURL* const easy_;
  const HttpRequest& request_;
  const HttpClient::Sink& sink_;
  curl_slist* headers_ = nullptr;
  size_t sent_ = 0;
  int64_t header_bytes_ = 0;
  HttpResponse response_;
  // The sink's, or what the client itself has against the answer.
  absl::Status refused_;
  char error_[CURL_ERROR_SIZE] = "";
};

void Exchange::SetUp(const HttpClientOptions& options) {
  Set(CURLOPT_ERRORBUFFER, error_);
  Set(CURLOPT_URL, request_.url.c_str());
  // Object keys may have "." and ".." in them.
  Set(CURLOPT_PATH_AS_IS, 1L);
  Set(CURLOPT_NOSIGNAL, 1L);
  // Does not wait for the resolver when a request is ended.
  Set(CURLOPT_QUICK_EXIT, 1L);
  Set(CURLOPT_USERAGENT, "ctlstore");
  // Parallel requests are to have connections of their own.
  Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(CURLOPT_HTTP09_ALLOWED, 0L);
  Set(CURLOPT_TCP_KEEPALIVE, 1L);
  Set(CURLOPT_BUFFERSIZE, kTransferBufferBytes);
  Set(CURLOPT_UPLOAD_BUFFERSIZE, kTransferBufferBytes);
  Set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(absl::ToInt64Milliseconds(options.connect_timeout)));
  Set(CURLOPT_PROTOCOLS_STR, "http,https");
  Set(CURLOPT_REDIR_PROTOCOLS_STR,
      absl::StartsWith(request_.url, "https") ? "https" : "http,https");
  Set(CURLOPT_SSL_VERIFYPEER, 1L);
  Set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options.ca_file.empty()) {
    Set(CURLOPT_CAINFO, options.ca_file.c_str());
    Set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (request_.direct) Set(CURLOPT_NOPROXY, "*");
  if (request_.max_redirects > 0 && !request_.signing.has_value()) {
    Set(CURLOPT_FOLLOWLOCATION, 1L);
    Set(CURLOPT_MAXREDIRS, static_cast<long>(request_.max_redirects));
  }
  if (request_.signing.has_value()) {
    Set(CURLOPT_AWS_SIGV4, absl::StrCat("aws:amz:", request_.signing->region, ":s3").c_str());
    Set(CURLOPT_USERNAME, request_.signing->access_key_id.c_str());
    Set(CURLOPT_PASSWORD, request_.signing->secret_access_key.c_str());
  }
  SetMethod();
  SetHeaders();
  Set(CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(CURLOPT_HEADERDATA, this);
  Set(CURLOPT_WRITEFUNCTION, &OnBody);
  Set(CURLOPT_WRITEDATA, this);
}

void Exchange::SetMethod() {
  if (request_.method == "HEAD") {
    Set(CURLOPT_NOBODY, 1L);
  } else if (request_.method == "PUT") {
    Set(CURLOPT_UPLOAD, 1L);
    Set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    Set(CURLOPT_READFUNCTION, &OnRead);
    Set(CURLOPT_READDATA, this);
    // A kept connection that turns out to be dead is replaced by a new one.
    Set(CURLOPT_SEEKFUNCTION, &OnSeek);
    Set(CURLOPT_SEEKDATA, this);
  } else if (request_.method == "POST") {
    Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    Set(CURLOPT_POSTFIELDS, request_.body.empty() ? "" : request_.body.data());
  } else if (request_.method == "DELETE") {
    Set(CURLOPT_CUSTOMREQUEST, "DELETE");
  }
}

void Exchange::SetHeaders() {
  bool has_type = false;
  for (const auto& [name, value] : request_.headers) {
    has_type = has_type || absl::EqualsIgnoreCase(name, "content-type");
    const std::string line =
        value.empty() ? absl::StrCat(name, ";") : absl::StrCat(name, ": ", value);
    headers_ = curl_slist_append(headers_, line.c_str());
  }
  // libcurl would call it a form.
  if (request_.method == "POST" && !has_type) {
    headers_ = curl_slist_append(headers_, "Content-Type:");
  }
  Set(CURLOPT_HTTPHEADER, headers_);
}

size_t Exchange::OnHeader(char* data, size_t size, size_t count, void* self) {
  auto* const exchange = static_cast<Exchange*>(self);
  const absl::string_view line(data, size * count);
  exchange->header_bytes_ += static_cast<int64_t>(line.size());
  if (absl::StartsWith(line, "HTTP/")) {
    // Of an interim answer or a redirect there may have been some before.
    exchange->response_ = HttpResponse();
    long status = 0;
    curl_easy_getinfo(exchange->easy_, CURLINFO_RESPONSE_CODE, &status);
    exchange->response_.status = static_cast<int>(status);
    return line.size();
  }
  const size_t colon = line.find(':');
  if (colon != absl::string_view::npos) {
    exchange->response_.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return line.size();
}

size_t Exchange::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* const exchange = static_cast<Exchange*>(self);
  const absl::string_view piece(data, size * count);
  HttpResponse& response = exchange->response_;
  if (exchange->sink_ != nullptr && exchange->Is2xx()) {
    exchange->refused_ = exchange->sink_(response, piece);
    return exchange->refused_.ok() ? piece.size() : 0;
  }
  const size_t room = kMaxHttpBody - response.body.size();
  if (piece.size() > room && exchange->Is2xx()) {
    exchange->refused_ = absl::FailedPreconditionError(absl::StrCat(
        ServerOf(exchange->request_.url), ": the answer has more than ", kMaxHttpBody, " bytes"));
    return 0;
  }
  absl::StrAppend(&response.body, piece.substr(0, room));
  return piece.size();
}

size_t Exchange::OnRead(char* buffer, size_t size, size_t count, void* self) {
  auto* const exchange = static_cast<Exchange*>(self);
  const absl::string_view rest = exchange->request_.body.substr(exchange->sent_);
  const size_t taken = std::min(rest.size(), size * count);
  if (taken > 0) std::memcpy(buffer, rest.data(), taken);
  exchange->sent_ += taken;
  return taken;
}

int Exchange::OnSeek(void* self, curl_off_t offset, int origin) {
  auto* const exchange = static_cast<Exchange*>(self);
  if (origin != SEEK_SET || offset < 0 ||
      static_cast<size_t>(offset) > exchange->request_.body.size()) {
    return CURL_SEEKFUNC_FAIL;
  }
  exchange->sent_ = static_cast<size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

absl::StatusOr<HttpResponse> Exchange::Finish(CURLcode result) {
  if (!refused_.ok()) return refused_;
  // One redirect too many is an answer as well.
  if (result == CURLE_OK || (result == CURLE_TOO_MANY_REDIRECTS && response_.status >= 300)) {
    return std::move(response_);
  }
  const std::string message =
      absl::StrCat(ServerOf(request_.url), ": ",
                   error_[0] != '\0' ? std::string(error_) : curl_easy_strerror(result));
  switch (result) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    // Also what HTTP/0.9 and a redirect to another scheme are called.
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::FailedPreconditionError(message);
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

// Tells when fewer bytes than there must be have moved. Counts only the time that was spent waiting
// for the network.
class StallWatch {
 public:
  StallWatch(int64_t min_bytes_per_second, absl::Duration timeout)
      : needed_(
            std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(min_bytes_per_second) *
                                                      absl::ToDoubleSeconds(timeout)))),
        timeout_(timeout) {}

  bool Stalled(absl::Duration waited, int64_t moved) {
    waited_ += waited;
    if (moved - moved_before_ >= needed_) {
      moved_before_ = moved;
      waited_ = absl::ZeroDuration();
    }
    return waited_ >= timeout_;
  }

  absl::Duration rest() const { return timeout_ - waited_; }

 private:
  const int64_t needed_;
  const absl::Duration timeout_;
  absl::Duration waited_;
  int64_t moved_before_ = 0;
};

class CurlClient : public HttpClient {
 public:
  explicit CurlClient(const HttpClientOptions& options) : options_(options) { InitializeCurl(); }

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, const Sink& sink) override;
  void Cancel() override;

 private:
  // nullptr where there is no memory.
  std::unique_ptr<Lane> TakeLane();
  void GiveBack(std::unique_ptr<Lane> lane);
  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }
  // Until the transfer has ended or must be ended.
  absl::StatusOr<CURLcode> Run(const Lane& lane, const HttpRequest& request,
                               const Exchange& exchange);

  const HttpClientOptions options_;
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Lane>> idle_ ABSL_GUARDED_BY(mutex_);
  std::set<Lane*> busy_ ABSL_GUARDED_BY(mutex_);
};

std::unique_ptr<Lane> CurlClient::TakeLane() {
  absl::MutexLock lock(&mutex_);
  std::unique_ptr<Lane> lane;
  if (idle_.empty()) {
    lane = std::make_unique<Lane>();
    if (lane->multi == nullptr || lane->easy == nullptr) return nullptr;
    curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, 2L);
  } else {
    lane = std::move(idle_.back());
    idle_.pop_back();
  }
  busy_.insert(lane.get());
  return lane;
}

void CurlClient::GiveBack(std::unique_ptr<Lane> lane) {
  absl::MutexLock lock(&mutex_);
  busy_.erase(lane.get());
  // With it goes all that it points to; its connections stay.
  curl_easy_reset(lane->easy);
  idle_.push_back(std::move(lane));
}

absl::StatusOr<HttpResponse> CurlClient::Send(const HttpRequest& request, const Sink& sink) {
  absl::Status status = CheckRequest(request);
  if (!status.ok()) return status;
  std::unique_ptr<Lane> lane = TakeLane();
  if (lane == nullptr) return absl::UnavailableError("no memory for an HTTP request");
  absl::StatusOr<HttpResponse> response;
  {
    Exchange exchange(lane->easy, request, sink);
    exchange.SetUp(options_);
    curl_multi_add_handle(lane->multi, lane->easy);
    const absl::StatusOr<CURLcode> result = Run(*lane, request, exchange);
    curl_multi_remove_handle(lane->multi, lane->easy);
    response =
        result.ok() ? exchange.Finish(*result) : absl::StatusOr<HttpResponse>(result.status());
    curl_easy_reset(lane->easy);
  }
  GiveBack(std::move(lane));
  return response;
}

absl::StatusOr<CURLcode> CurlClient::Run(const Lane& lane, const HttpRequest& request,
                                         const Exchange& exchange) {
  StallWatch stall(request.min_bytes_per_second.value_or(options_.min_bytes_per_second),
                   request.stall_timeout.value_or(options_.stall_timeout));
  while (true) {
    if (cancelled()) return absl::CancelledError("the request was given up");
    int running = 0;
    const CURLMcode performed = curl_multi_perform(lane.multi, &running);
    if (performed != CURLM_OK) {
      return absl::UnavailableError(
          absl::StrCat(ServerOf(request.url), ": ", curl_multi_strerror(performed)));
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(lane.multi, &left)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    const absl::Duration start = Clock::Real()->SteadyNow();
    const absl::Duration longest =
        std::clamp(stall.rest(), absl::Milliseconds(1), absl::Seconds(1));
    curl_multi_poll(lane.multi, nullptr, 0,
                    static_cast<int>(absl::ToInt64Milliseconds(longest)) + 1, nullptr);
    if (stall.Stalled(Clock::Real()->SteadyNow() - start, exchange.Moved())) {
      return absl::UnavailableError(absl::StrCat(
          ServerOf(request.url), ": the transfer has stalled; fewer bytes than allowed moved in ",
          absl::FormatDuration(request.stall_timeout.value_or(options_.stall_timeout))));
    }
  }
}

void CurlClient::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (Lane* lane : busy_) curl_multi_wakeup(lane->multi);
}

}  // namespace

absl::string_view HttpResponse::header(absl::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found != headers.end() ? absl::string_view(found->second) : absl::string_view();
}

std::unique_ptr<HttpClient> NewHttpClient(const HttpClientOptions& options) {
  return std::make_unique<CurlClient>(options);
}

}  // namespace ctlstore::object_store
