#include "common/rpc/http_server.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/rpc/http_tls.h"
#include "common/rpc/lingering_sockets.h"
#include "common/rpc/listen_address.h"

namespace ctlstore::rpc {
namespace {

constexpr int kBacklog = 1024;
// Of the memory that the library has for a connection, besides what the headers may take as they
// were sent: they are kept in parts, and the answer's headers are put there.
constexpr size_t kConnectionMemoryExtra = size_t{16} << 10;
// Bodies that turn out too large are received to their end, so that the answer can be sent, but
// only so much of them.
constexpr size_t kDiscardedBodies = 8;
// Memory that an announced length is believed to need.
constexpr size_t kBodyReserveMax = size_t{64} << 10;
// Larger answers are not copied, and count.
constexpr size_t kCopiedBodyMax = size_t{4} << 10;
constexpr absl::Duration kSweepMin = absl::Milliseconds(5);
constexpr absl::Duration kSweepMax = absl::Seconds(1);
// How long a stopped server waits for the answers that it has made itself to be sent.
constexpr absl::Duration kLastAnswers = absl::Seconds(1);
constexpr absl::Duration kShutdownPoll = absl::Milliseconds(2);

int64_t NowMicros() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

absl::string_view StatusWords(int status) {
  const char* words = MHD_get_reason_phrase_for(static_cast<unsigned int>(status));
  return words == nullptr ? "" : words;
}

// Who is at the other end of a connection.
struct Client {
  std::string peer;
  std::vector<std::string> identities;
};

std::string PeerOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char text[INET6_ADDRSTRLEN] = "";
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&address)->sin_addr, text, sizeof(text));
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr, text, sizeof(text));
  }
  // The same host has the same name on a socket for both.
  return std::string(absl::StripPrefix(text, "::ffff:"));
}

// Memory that bodies take, all together.
struct BodyBudget {
  explicit BodyBudget(size_t max_bytes) : max(max_bytes) {}
  // False where there is not that much left.
  bool Take(size_t bytes) {
    if (used.fetch_add(bytes) + bytes <= max) return true;
    used.fetch_sub(bytes);
    return false;
  }
  const size_t max;
  std::atomic<size_t> used{0};
};

// An answer's body that is being sent, for which there was room in the budget.
struct SentBody {
  SentBody(std::string text, std::shared_ptr<BodyBudget> from)
      : body(std::move(text)), budget(std::move(from)) {}
  ~SentBody() { budget->used.fetch_sub(body.size()); }

  std::string body;
  const std::shared_ptr<BodyBudget> budget;
};

// What a connection does, and since when. Changed by the thread that serves the connection, and by
// whoever closes it; once kClosing, it stays so.
enum class State : uint64_t {
  // Nothing has arrived yet.
  kNew,
  // A request has begun to arrive.
  kReceiving,
  // A request has arrived and is not answered.
  kHandling,
  // Its answer is being sent.
  kSending,
  // The last request was answered, and no other has begun.
  kIdle,
  kClosing,
};

struct Phase {
  State state;
  int64_t since_us;
};

uint64_t Pack(const Phase& phase) {
  return static_cast<uint64_t>(phase.since_us) << 3 | static_cast<uint64_t>(phase.state);
}

Phase Unpack(uint64_t packed) {
  return {static_cast<State>(packed & 7), static_cast<int64_t>(packed >> 3)};
}

class Request;

struct Connection {
  Connection(int connection_fd, int64_t now_us)
      : fd(connection_fd), phase(Pack({State::kNew, now_us})) {}

  // For the thread that serves it. False where it is being closed.
  bool Enter(State state) {
    uint64_t seen = phase.load();
    const uint64_t entered = Pack({state, NowMicros()});
    while (Unpack(seen).state != State::kClosing) {
      if (phase.compare_exchange_weak(seen, entered)) return true;
    }
    return false;
  }

  // Open until the connection has left the server's set of connections.
  const int fd;
  std::atomic<uint64_t> phase;

  gnutls_session_t tls = nullptr;
  std::shared_ptr<const TlsCredentials> credentials;
  // From the first request on; of the thread that serves it.
  std::shared_ptr<const Client> client;

  // Of the thread that sweeps: what had arrived when it saw the connection in this phase first.
  uint64_t seen_phase = 0;
  uint64_t seen_bytes = 0;

  absl::Mutex mutex;
  // The request that is answered later.
  std::shared_ptr<Request> waiting ABSL_GUARDED_BY(mutex);
};

// Owns what it shows, so that it stays valid as long as anybody wants to answer it, also when the
// connection has gone.
class Request : public HttpRequest {
 public:
  Request(MHD_Connection* connection, int fd, std::shared_ptr<const Client> client,
          std::shared_ptr<BodyBudget> budget)
      : client_(std::move(client)), budget_(std::move(budget)), connection_(connection), fd_(fd) {}
  ~Request() override { budget_->used.fetch_sub(body_.size()); }

  absl::string_view method() const override { return Text(method_); }
  absl::string_view path() const override { return Text(path_); }
  std::vector<std::pair<absl::string_view, absl::string_view>> query() const override {
    std::vector<std::pair<absl::string_view, absl::string_view>> query;
    for (const Pair& pair : query_) query.emplace_back(Text(pair.name), Text(pair.value));
    return query;
  }
  absl::string_view body() const override { return body_; }
  absl::string_view peer() const override { return client_->peer; }
  std::vector<std::string> client_identities() const override { return client_->identities; }

  absl::optional<absl::string_view> header(absl::string_view name) const override {
    for (const Pair& header : headers_) {
      if (absl::EqualsIgnoreCase(Text(header.name), name)) return Text(header.value);
    }
    return absl::nullopt;
  }

  bool cancelled() const override {
    absl::MutexLock lock(&mutex_);
    if (connection_ == nullptr) return true;
    // A client that has closed its side counts as gone: that is all that can be seen of most.
    pollfd waited = {fd_, POLLRDHUP, 0};
    return poll(&waited, 1, 0) > 0 && (waited.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  // For the server's threads.

  void Take(absl::string_view method, absl::string_view url) {
    text_.reserve(512);
    method_ = Store(method);
    // A request to a proxy names the host as well.
    absl::string_view path = url;
    if (absl::ConsumePrefix(&path, "http://") || absl::ConsumePrefix(&path, "https://")) {
      const size_t slash = path.find('/');
      path = slash == absl::string_view::npos ? "/" : path.substr(slash);
    }
    path_ = Store(path);
    MHD_get_connection_values_n(
        connection_, static_cast<MHD_ValueKind>(MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND),
        [](void* self, MHD_ValueKind kind, const char* key, size_t key_size, const char* value,
           size_t value_size) {
          Request* const request = static_cast<Request*>(self);
          const Pair pair{request->Store({key, key_size}),
                          request->Store(value == nullptr ? absl::string_view()
                                                          : absl::string_view(value, value_size))};
          if (kind == MHD_HEADER_KIND) {
            request->headers_.push_back(pair);
          } else {
            request->query_.push_back(pair);
          }
          return MHD_YES;
        },
        this);
  }

  size_t CountHeaders(absl::string_view name) const {
    return std::count_if(headers_.begin(), headers_.end(), [&](const Pair& header) {
      return absl::EqualsIgnoreCase(Text(header.name), name);
    });
  }

  void ReserveBody(size_t bytes) { body_.reserve(std::min(bytes, kBodyReserveMax)); }

  // The status with which to refuse the request at its end; 0 while there is none.
  int refusal() const { return refusal_; }

  // False where it is to be given up.
  bool AppendBody(absl::string_view bytes, size_t max_body_bytes) {
    received_ += bytes.size();
    if (received_ > max_body_bytes) {
      Refuse(413);
      return received_ / kDiscardedBodies <= max_body_bytes;
    }
    if (refusal_ != 0) return true;
    if (!budget_->Take(bytes.size())) {
      Refuse(503);
      return true;
    }
    body_.append(bytes.data(), bytes.size());
    return true;
  }

  // The first answer counts.
  void Answer(HttpResponse response) {
    absl::MutexLock lock(&mutex_);
    if (connection_ == nullptr || answered_) return;
    answered_ = true;
    response_ = std::move(response);
    // Done while the lock is held, so that who stops the server knows that no other thread of the
    // library's users is on its way into it.
    if (suspended_) MHD_resume_connection(connection_);
    suspended_ = false;
  }

  // The answer, where there is one already.
  bool TakeAnswer(HttpResponse* response) {
    absl::MutexLock lock(&mutex_);
    if (answered_) *response = std::move(response_);
    return answered_;
  }

  // The same; where there is none, the connection waits for it.
  bool TakeAnswerOrWait(HttpResponse* response) {
    absl::MutexLock lock(&mutex_);
    if (answered_) {
      *response = std::move(response_);
      return true;
    }
    MHD_suspend_connection(connection_);
    suspended_ = true;
    return false;
  }

  // The connection does not know this request any more.
  void Leave() {
    absl::MutexLock lock(&mutex_);
    connection_ = nullptr;
  }

  // While the library has a pointer to this.
  std::shared_ptr<Request> self;
  bool handed_over = false;
  bool linger = false;

 private:
  struct Part {
    size_t begin;
    size_t size;
  };
  struct Pair {
    Part name;
    Part value;
  };

  Part Store(absl::string_view text) {
    const Part part{text_.size(), text.size()};
    text_.append(text.data(), text.size());
    return part;
  }
  absl::string_view Text(const Part& part) const {
    return absl::string_view(text_).substr(part.begin, part.size);
  }
  void Refuse(int status) {
    if (refusal_ == 0) refusal_ = status;
    budget_->used.fetch_sub(body_.size());
    std::string().swap(body_);
  }

  const std::shared_ptr<const Client> client_;
  const std::shared_ptr<BodyBudget> budget_;
  std::string text_;
  Part method_ = {};
  Part path_ = {};
  absl::InlinedVector<Pair, 12> headers_;
  std::vector<Pair> query_;
  std::string body_;
  size_t received_ = 0;
  int refusal_ = 0;

  mutable absl::Mutex mutex_;
  // Null when the connection has gone on without this.
  MHD_Connection* connection_ ABSL_PT_GUARDED_BY(mutex_);
  const int fd_;
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
  bool suspended_ ABSL_GUARDED_BY(mutex_) = false;
  HttpResponse response_ ABSL_GUARDED_BY(mutex_);
};

// A socket that listens, or UNAVAILABLE.
absl::StatusOr<int> Listen(const ListenAddress& address) {
  absl::string_view host = address.host;
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int lookup =
      getaddrinfo(std::string(host).c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (lookup != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.ToString(), ": ", gai_strerror(lookup)));
  }
  std::string problem = "no address was found";
  int fd = -1;
  for (const addrinfo* entry = found; entry != nullptr && fd < 0; entry = entry->ai_next) {
    fd = socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd >= 0 && bind(fd, entry->ai_addr, entry->ai_addrlen) == 0 && listen(fd, kBacklog) == 0) {
      break;
    }
    problem = std::strerror(errno);
    if (fd >= 0) close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  if (fd >= 0) return fd;
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address.ToString(), ": ", problem));
}

uint16_t PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

uint64_t ReceivedBytes(int fd) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

absl::optional<std::vector<std::string>> PathSegments(absl::string_view path) {
  absl::ConsumePrefix(&path, "/");
  absl::ConsumeSuffix(&path, "/");
  std::vector<std::string> segments;
  if (path.empty()) return segments;
  segments.emplace_back();
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '/') {
      segments.emplace_back();
    } else if (path[i] != '%') {
      segments.back().push_back(path[i]);
    } else {
      if (i + 2 >= path.size()) return absl::nullopt;
      const int high = HexDigit(path[i + 1]);
      const int low = HexDigit(path[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return absl::nullopt;
      segments.back().push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return segments;
}

class HttpServer::Impl {
 public:
  Impl(const Options& options, Handler handler)
      : options_(options),
        handler_(std::move(handler)),
        budget_(std::make_shared<BodyBudget>(options.max_total_body_bytes)),
        response_budget_(std::make_shared<BodyBudget>(options.max_total_response_bytes)),
        // Above it each new connection costs an older one.
        crowded_(options.max_connections - options.max_connections / 8),
        receive_us_(absl::ToInt64Microseconds(options.receive_timeout)),
        idle_us_(absl::ToInt64Microseconds(options.idle_timeout)) {}

  ~Impl() { Shutdown(absl::ZeroDuration()); }

  absl::Status Start() {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(options_.listen);
    if (!address.ok()) return address.status();
    if (address->is_unix()) {
      return absl::InvalidArgumentError(
          absl::StrCat("HTTP is served on host:port only, not on ", options_.listen));
    }
    if (options_.tls.enabled()) {
      absl::StatusOr<std::unique_ptr<TlsFiles>> files = TlsFiles::Open(options_.tls);
      if (!files.ok()) return files.status();
      tls_files_ = *std::move(files);
    }
    absl::StatusOr<int> fd = Listen(*address);
    if (!fd.ok()) return fd.status();
    listen_fd_ = *fd;
    address->port = PortOf(listen_fd_);
    address_ = address->ToString();
    if (!StartDaemon()) {
      return absl::UnavailableError(absl::StrCat("cannot serve HTTP on ", address_));
    }
    sweeper_ = std::thread([this] { Sweep(); });
    return absl::OkStatus();
  }

  const std::string& address() const { return address_; }
  size_t connections() const { return connection_count_.load(); }

  void Shutdown(absl::Duration grace) {
    absl::MutexLock shutdown_lock(&shutdown_mutex_);
    if (daemon_ == nullptr) {
      if (listen_fd_ >= 0) close(listen_fd_);
      listen_fd_ = -1;
      return;
    }
    // New connections are closed from here on. MHD_quiesce_daemon() would do it better, but its
    // thread and the daemon's can both take the socket out of the same epoll set, of which the
    // second one ends the process.
    stopping_ = true;
    CloseThoseWithoutRequest();
    const absl::Time deadline = absl::Now() + grace;
    while (active_.load() > 0 && absl::Now() < deadline) absl::SleepFor(kShutdownPoll);

    // From here on no request waits for anybody: those that do are answered, and others are
    // answered when they want to begin to wait.
    aborting_ = true;
    for (const std::shared_ptr<Request>& request : WaitingRequests()) request->Answer(Stopping());
    const absl::Time last = absl::Now() + kLastAnswers;
    while (active_.load() > 0 && absl::Now() < last) absl::SleepFor(kShutdownPoll);

    ended_ = true;
    lingering_.Wake();
    sweeper_.join();
    MHD_stop_daemon(daemon_);
    daemon_ = nullptr;
    // Closed by the daemon.
    listen_fd_ = -1;
  }

 private:
  bool StartDaemon() {
    unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    const unsigned int timeout_s = static_cast<unsigned int>(absl::ToInt64Seconds(
        absl::Ceil(std::max(options_.idle_timeout, options_.receive_timeout), absl::Seconds(1))));
    std::vector<MHD_OptionItem> items;
    const auto add = [&items](MHD_OPTION option, intptr_t value, void* pointer) {
      items.push_back({option, value, pointer});
    };
    add(MHD_OPTION_LISTEN_SOCKET, listen_fd_, nullptr);
    add(MHD_OPTION_CONNECTION_LIMIT, static_cast<intptr_t>(options_.max_connections), nullptr);
    add(MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        static_cast<intptr_t>(options_.max_header_bytes + kConnectionMemoryExtra), nullptr);
    // Only for those who do not take their answers; the sweeper looks after the others.
    add(MHD_OPTION_CONNECTION_TIMEOUT, static_cast<intptr_t>(timeout_s) + 1, nullptr);
    if (options_.threads > 1) {
      add(MHD_OPTION_THREAD_POOL_SIZE, static_cast<intptr_t>(options_.threads), nullptr);
    }
    add(MHD_OPTION_NOTIFY_COMPLETED, reinterpret_cast<intptr_t>(&OnCompleted), this);
    add(MHD_OPTION_NOTIFY_CONNECTION, reinterpret_cast<intptr_t>(&OnConnection), this);
    add(MHD_OPTION_UNESCAPE_CALLBACK, reinterpret_cast<intptr_t>(&LeaveEscaped), nullptr);
    std::shared_ptr<const TlsCredentials> credentials;
    if (tls_files_ != nullptr) {
      flags |= MHD_USE_TLS;
      credentials = tls_files_->credentials();
      // The library wants some; each connection is given the newest ones when it begins.
      add(MHD_OPTION_HTTPS_MEM_CERT, 0, const_cast<char*>(credentials->certificate().c_str()));
      add(MHD_OPTION_HTTPS_MEM_KEY, 0, const_cast<char*>(credentials->key().c_str()));
      add(MHD_OPTION_HTTPS_PRIORITIES, 0,
          const_cast<char*>("NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"));
    }
    add(MHD_OPTION_END, 0, nullptr);
    daemon_ = MHD_start_daemon(flags, 0, &Accepts, this, &OnRequest, this, MHD_OPTION_ARRAY,
                               items.data(), MHD_OPTION_END);
    return daemon_ != nullptr;
  }

  static MHD_Result Accepts(void* self, const sockaddr*, socklen_t) {
    return static_cast<const Impl*>(self)->stopping_.load() ? MHD_NO : MHD_YES;
  }

  // Percent-encoding is for the handler: a slash in a segment must not look like one between two.
  static size_t LeaveEscaped(void*, MHD_Connection*, char* text) { return std::strlen(text); }

  static Connection* ConnectionOf(MHD_Connection* connection) {
    return static_cast<Connection*>(
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
  }

  static void OnConnection(void* self, MHD_Connection* mhd_connection, void** context,
                           MHD_ConnectionNotificationCode code) {
    Impl* const impl = static_cast<Impl*>(self);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
      *context = impl->Open(mhd_connection);
    } else if (*context != nullptr) {
      impl->Close(static_cast<Connection*>(*context));
      *context = nullptr;
    }
  }

  Connection* Open(MHD_Connection* mhd_connection) {
    const int fd =
        MHD_get_connection_info(mhd_connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    auto connection = std::make_unique<Connection>(fd, NowMicros());
    if (tls_files_ != nullptr) {
      connection->tls = static_cast<gnutls_session_t>(
          MHD_get_connection_info(mhd_connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
      connection->credentials = tls_files_->credentials();
      connection->credentials->Use(connection->tls);
    }
    connection_count_.fetch_add(1);
    absl::MutexLock lock(&connections_mutex_);
    Connection* const result = connection.release();
    connections_.insert(result);
    if (connections_.size() > crowded_) MakeRoom(result);
    return result;
  }

  void Close(Connection* connection) {
    {
      absl::MutexLock lock(&connections_mutex_);
      connections_.erase(connection);
    }
    connection_count_.fetch_sub(1);
    delete connection;
  }

  static MHD_Result OnRequest(void* self, MHD_Connection* mhd_connection, const char* url,
                              const char* method, const char*, const char* upload,
                              size_t* upload_size, void** context) {
    Impl* const impl = static_cast<Impl*>(self);
    Connection* const connection = ConnectionOf(mhd_connection);
    Request* const request = static_cast<Request*>(*context);
    if (request == nullptr) {
      return impl->BeginRequest(mhd_connection, connection, method, url, context);
    }
    if (*upload_size > 0) {
      const bool going_on =
          request->AppendBody({upload, *upload_size}, impl->options_.max_body_bytes);
      *upload_size = 0;
      if (impl->budget_->used.load() > impl->budget_->max / 2) impl->FreeBodyBudget(connection);
      return going_on ? MHD_YES : MHD_NO;
    }
    return impl->FinishRequest(mhd_connection, connection, request);
  }

  // The headers have arrived.
  MHD_Result BeginRequest(MHD_Connection* mhd_connection, Connection* connection,
                          const char* method, const char* url, void** context) {
    if (connection->client == nullptr) {
      connection->client = std::make_shared<const Client>(Client{
          PeerOf(connection->fd),
          connection->tls == nullptr ? std::vector<std::string>() : ClientNames(connection->tls)});
    }
    auto owned =
        std::make_shared<Request>(mhd_connection, connection->fd, connection->client, budget_);
    Request* const request = owned.get();
    request->self = std::move(owned);
    *context = request;
    request->Take(method, url);

    const size_t header_bytes =
        MHD_get_connection_info(mhd_connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
            ->header_size;
    if (header_bytes > options_.max_header_bytes) {
      return Refuse(mhd_connection, connection, request, 431,
                    absl::StrCat("the request line and the headers have ", header_bytes,
                                 " bytes, more than ", options_.max_header_bytes));
    }
    const absl::optional<absl::string_view> encoding = request->header("transfer-encoding");
    const absl::optional<absl::string_view> length_text = request->header("content-length");
    // Two ways to tell where a body ends: somebody would read it the other way.
    if ((encoding.has_value() && length_text.has_value()) ||
        request->CountHeaders("content-length") > 1) {
      return Refuse(mhd_connection, connection, request, 400,
                    "the length of the body is given more than once");
    }
    if (encoding.has_value()) {
      if (absl::EqualsIgnoreCase(*encoding, "chunked")) {
        return ReceiveBody(connection) ? MHD_YES : MHD_NO;
      }
      return Refuse(mhd_connection, connection, request, 501,
                    "of the transfer encodings only \"chunked\" is known");
    }
    if (!length_text.has_value()) return MHD_YES;
    uint64_t length = 0;
    if (length_text->empty() ||
        !std::all_of(length_text->begin(), length_text->end(), absl::ascii_isdigit)) {
      return Refuse(mhd_connection, connection, request, 400, "Content-Length is no number");
    }
    if (!absl::SimpleAtoi(*length_text, &length) || length > options_.max_body_bytes) {
      return Refuse(mhd_connection, connection, request, 413, TooLarge());
    }
    if (length == 0) return MHD_YES;
    request->ReserveBody(length);
    return ReceiveBody(connection) ? MHD_YES : MHD_NO;
  }

  // Since the request began to arrive, where that was seen, the time runs already.
  static bool ReceiveBody(Connection* connection) {
    return Unpack(connection->phase.load()).state == State::kReceiving ||
           connection->Enter(State::kReceiving);
  }

  MHD_Result FinishRequest(MHD_Connection* mhd_connection, Connection* connection,
                           Request* request) {
    if (!request->handed_over) {
      if (!connection->Enter(State::kHandling)) return MHD_NO;
      if (request->refusal() == 413) {
        return Queue(mhd_connection, connection, MadeHere(413, TooLarge()), true);
      }
      if (request->refusal() != 0) {
        return Queue(mhd_connection, connection, TryLater("too many requests are being received"),
                     true);
      }
      // Counted before it is looked whether the server stops, so that one of both sees the other.
      request->handed_over = true;
      active_.fetch_add(1);
      if (stopping_.load()) return Queue(mhd_connection, connection, Stopping(), true);
      handler_(*request, [answered = request->self](HttpResponse response) {
        answered->Answer(std::move(response));
      });
    }
    HttpResponse response;
    if (!request->TakeAnswer(&response)) {
      {
        absl::MutexLock lock(&connection->mutex);
        connection->waiting = request->self;
      }
      if (aborting_.load()) request->Answer(Stopping());
      if (!request->TakeAnswerOrWait(&response)) return MHD_YES;
    }
    return Queue(mhd_connection, connection, std::move(response), stopping_.load());
  }

  // Before the body was read, so the connection cannot go on.
  MHD_Result Refuse(MHD_Connection* mhd_connection, Connection* connection, Request* request,
                    int status, absl::string_view message) {
    request->linger = true;
    return Queue(mhd_connection, connection, MadeHere(status, message), true);
  }

  MHD_Result Queue(MHD_Connection* mhd_connection, Connection* connection, HttpResponse response,
                   bool close) {
    if (!connection->Enter(State::kSending)) return MHD_NO;
    MHD_Response* mhd_response = nullptr;
    if (response.body.size() > kCopiedBodyMax && !response_budget_->Take(response.body.size())) {
      FreeResponseBudget();
      response = TryLater("too many answers are being sent");
    }
    const bool has_body = !response.body.empty();
    if (response.body.size() <= kCopiedBodyMax) {
      mhd_response = MHD_create_response_from_buffer(response.body.size(), &response.body[0],
                                                     MHD_RESPMEM_MUST_COPY);
    } else {
      auto sent = std::make_unique<SentBody>(std::move(response.body), response_budget_);
      mhd_response = MHD_create_response_from_buffer_with_free_callback_cls(
          sent->body.size(), &sent->body[0],
          [](void* owned) { delete static_cast<SentBody*>(owned); }, sent.get());
      if (mhd_response != nullptr) sent.release();
    }
    if (mhd_response == nullptr) return MHD_NO;
    if (has_body && !response.content_type.empty()) {
      MHD_add_response_header(mhd_response, "Content-Type", response.content_type.c_str());
    }
    for (const auto& [name, value] : response.headers) {
      MHD_add_response_header(mhd_response, name.c_str(), value.c_str());
    }
    if (close) MHD_add_response_header(mhd_response, "Connection", "close");
    const MHD_Result result = MHD_queue_response(
        mhd_connection, static_cast<unsigned int>(response.status), mhd_response);
    MHD_destroy_response(mhd_response);
    return result;
  }

  static void OnCompleted(void* self, MHD_Connection* mhd_connection, void** context,
                          MHD_RequestTerminationCode) {
    Request* const request = static_cast<Request*>(*context);
    if (request == nullptr) return;
    *context = nullptr;
    Impl* const impl = static_cast<Impl*>(self);
    Connection* const connection = ConnectionOf(mhd_connection);
    {
      absl::MutexLock lock(&connection->mutex);
      connection->waiting = nullptr;
    }
    request->Leave();
    if (request->linger) impl->lingering_.Add(connection->fd);
    if (request->handed_over) impl->active_.fetch_sub(1);
    connection->Enter(State::kIdle);
    if (impl->stopping_.load()) impl->CloseThoseWithoutRequest();
    const std::shared_ptr<Request> last = std::move(request->self);
  }

  HttpResponse MadeHere(int status, absl::string_view message) const {
    if (options_.error_response) return options_.error_response(status, message);
    HttpResponse response;
    response.status = status;
    response.body = absl::StrCat(StatusWords(status), ": ", message, "\n");
    return response;
  }

  HttpResponse TryLater(absl::string_view message) const {
    HttpResponse response = MadeHere(503, message);
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }

  HttpResponse Stopping() const { return MadeHere(503, "the server is being stopped"); }

  std::string TooLarge() const {
    return absl::StrCat("the body has more than ", options_.max_body_bytes, " bytes");
  }

  std::vector<std::shared_ptr<Request>> WaitingRequests() {
    std::vector<std::shared_ptr<Request>> requests;
    absl::MutexLock lock(&connections_mutex_);
    for (Connection* const connection : connections_) {
      absl::MutexLock connection_lock(&connection->mutex);
      if (connection->waiting != nullptr) requests.push_back(connection->waiting);
    }
    return requests;
  }

  void CloseThoseWithoutRequest() {
    absl::MutexLock lock(&connections_mutex_);
    for (Connection* const connection : connections_) {
      const uint64_t packed = connection->phase.load();
      const State state = Unpack(packed).state;
      if (state != State::kHandling && state != State::kSending) ShutDown(connection, packed, 0);
    }
  }

  // Ends a connection that is still in that phase; the thread that serves it closes it then. With a
  // status it is told why, as far as that is possible beside the library: where a request has begun
  // to arrive and nothing of an answer was sent.
  void ShutDown(Connection* connection, uint64_t packed, int status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(connections_mutex_) {
    if (Unpack(packed).state == State::kClosing ||
        !connection->phase.compare_exchange_strong(packed, Pack({State::kClosing, NowMicros()}))) {
      return;
    }
    if (status != 0 && connection->tls == nullptr) {
      const HttpResponse response = MadeHere(status, "the request did not arrive in time");
      const std::string bytes =
          absl::StrCat("HTTP/1.1 ", response.status, " ", StatusWords(response.status),
                       "\r\nConnection: close\r\nContent-Type: ", response.content_type,
                       "\r\nContent-Length: ", response.body.size(), "\r\n\r\n", response.body);
      // A client that does not take it has had its time.
      send(connection->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    shutdown(connection->fd, SHUT_RDWR);
  }

  // Where there are too many connections that are not being ended already, ends the one that
  // deserves it most, but not `newest`. Requests that do not get on go
  // first. Those that have only begun may take half of the room: in a flood the oldest of them
  // go, so that a request which arrives at a normal speed is through in time; but clients that are
  // connected and idle do not make it impossible to connect.
  void MakeRoom(const Connection* newest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(connections_mutex_) {
    struct Oldest {
      Connection* connection = nullptr;
      uint64_t packed = 0;
      int64_t since_us = 0;
      size_t count = 0;
    };
    Oldest incomplete;
    Oldest idle;
    Oldest sending;
    size_t remaining = 0;
    const int64_t now_us = NowMicros();
    for (Connection* const connection : connections_) {
      const uint64_t packed = connection->phase.load();
      const Phase phase = Unpack(packed);
      if (phase.state != State::kClosing) ++remaining;
      Oldest* oldest = nullptr;
      if (phase.state == State::kNew || phase.state == State::kReceiving) oldest = &incomplete;
      if (phase.state == State::kIdle) oldest = &idle;
      if (phase.state == State::kSending && now_us - phase.since_us > receive_us_) {
        oldest = &sending;
      }
      if (oldest == nullptr || connection == newest) continue;
      if (oldest->count++ == 0 || phase.since_us < oldest->since_us) {
        oldest->connection = connection;
        oldest->packed = packed;
        oldest->since_us = phase.since_us;
      }
    }
    if (remaining <= crowded_) return;
    const Oldest* chosen = &incomplete;
    if (incomplete.count <= crowded_ / 2 && !IsSlow(incomplete.since_us, now_us)) {
      if (sending.count > 0) chosen = &sending;
      if (idle.count > 0) chosen = &idle;
    }
    if (chosen->count == 0) chosen = idle.count > 0 ? &idle : &sending;
    if (chosen->count > 0) ShutDown(chosen->connection, chosen->packed, 0);
  }

  // Bodies that take their time make room for others.
  void FreeBodyBudget(const Connection* own) {
    absl::MutexLock lock(&connections_mutex_);
    const int64_t now_us = NowMicros();
    for (Connection* const connection : connections_) {
      const uint64_t packed = connection->phase.load();
      const Phase phase = Unpack(packed);
      if (connection != own && phase.state == State::kReceiving && IsSlow(phase.since_us, now_us)) {
        ShutDown(connection, packed, 408);
      }
    }
  }

  // Answers that nobody takes make room for others.
  void FreeResponseBudget() {
    absl::MutexLock lock(&connections_mutex_);
    const int64_t now_us = NowMicros();
    for (Connection* const connection : connections_) {
      const uint64_t packed = connection->phase.load();
      const Phase phase = Unpack(packed);
      if (phase.state == State::kSending && now_us - phase.since_us > receive_us_) {
        ShutDown(connection, packed, 0);
      }
    }
  }

  bool IsSlow(int64_t since_us, int64_t now_us) const {
    return now_us - since_us > receive_us_ / 10;
  }

  // The sweeper's thread: ends connections whose time is over.
  void Sweep() {
    const absl::Duration interval =
        std::min(std::max(std::min(options_.receive_timeout, options_.idle_timeout) / 8, kSweepMin),
                 kSweepMax);
    absl::Time next = absl::Now() + interval;
    while (!ended_.load()) {
      lingering_.Drain(next - absl::Now());
      if (absl::Now() < next) continue;
      next = absl::Now() + interval;
      if (tls_files_ != nullptr) tls_files_->Refresh();
      absl::MutexLock lock(&connections_mutex_);
      for (Connection* const connection : connections_) Look(connection);
    }
  }

  void Look(Connection* connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(connections_mutex_) {
    uint64_t packed = connection->phase.load();
    Phase phase = Unpack(packed);
    if (phase.state == State::kNew || phase.state == State::kIdle) {
      // The library does not tell when a request begins to arrive, so the kernel is asked.
      const uint64_t bytes = ReceivedBytes(connection->fd);
      if (phase.state == State::kIdle && connection->seen_phase != packed) {
        connection->seen_phase = packed;
        connection->seen_bytes = bytes;
      }
      if (bytes > connection->seen_bytes) {
        phase = {State::kReceiving, NowMicros()};
        if (!connection->phase.compare_exchange_strong(packed, Pack(phase))) return;
        packed = Pack(phase);
      }
    }
    const int64_t age_us = NowMicros() - phase.since_us;
    if (phase.state == State::kReceiving && age_us > receive_us_) ShutDown(connection, packed, 408);
    if ((phase.state == State::kNew || phase.state == State::kIdle) && age_us > idle_us_) {
      ShutDown(connection, packed, 0);
    }
  }

  const Options options_;
  const Handler handler_;
  const std::shared_ptr<BodyBudget> budget_;
  const std::shared_ptr<BodyBudget> response_budget_;
  const size_t crowded_;
  const int64_t receive_us_;
  const int64_t idle_us_;
  std::unique_ptr<TlsFiles> tls_files_;
  std::string address_;
  LingeringSockets lingering_;

  absl::Mutex shutdown_mutex_;
  int listen_fd_ = -1;
  MHD_Daemon* daemon_ = nullptr;
  std::thread sweeper_;

  std::atomic<size_t> connection_count_{0};
  // Requests that the handler has and that are not sent.
  std::atomic<size_t> active_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> aborting_{false};
  std::atomic<bool> ended_{false};

  absl::Mutex connections_mutex_;
  absl::flat_hash_set<Connection*> connections_ ABSL_GUARDED_BY(connections_mutex_);
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const Options& options,
                                                              Handler handler) {
  auto impl = std::make_unique<Impl>(options, std::move(handler));
  const absl::Status status = impl->Start();
  if (!status.ok()) return status;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
const std::string& HttpServer::address() const { return impl_->address(); }
size_t HttpServer::connections() const { return impl_->connections(); }
void HttpServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace ctlstore::rpc
