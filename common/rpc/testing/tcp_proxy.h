// A wire between a client and a server that a test can cut.

#ifndef CTLSTORE_COMMON_RPC_TESTING_TCP_PROXY_H_
#define CTLSTORE_COMMON_RPC_TESTING_TCP_PROXY_H_

#include <cstdint>
#include <list>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore::rpc::testing {

// Listens on a free port of 127.0.0.1 and hands everything on to another one, in both directions,
// in a thread of its own. Ends the process where the system has no port. Thread-safe.
class TcpProxy {
 public:
  explicit TcpProxy(uint16_t target_port);
  // Resets all connections.
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  uint16_t port() const { return port_; }
  // "127.0.0.1:port".
  std::string address() const;

  // Each holds when it returns, until the next.

  // Resets all connections and refuses new ones.
  void Cut();
  // Keeps all connections open and hands nothing on. Who connects waits.
  void Hang();
  // Connects and hands on, also what has waited.
  void Restore();

  // Connections taken since the start.
  int64_t accepted() const;

 private:
  enum class Mode { kCut, kHang, kForward };

  // One direction of a connection.
  struct Pipe {
    int from = -1;
    int to = -1;
    std::string waiting;
    // `from` has ended, and `to` was told.
    bool ended = false;
    bool end_sent = false;
  };
  struct Connection {
    int client = -1;
    int server = -1;
    Pipe up;
    Pipe down;
  };

  void Set(Mode mode);
  void Run();
  // Makes `applied_` what `wanted_` is.
  void Apply() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Accept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False where the connection broke.
  static bool Forward(Pipe* pipe);
  static void Reset(const Connection& connection);

  const uint16_t target_port_;
  int listener_ = -1;
  uint16_t port_ = 0;
  int wake_ = -1;

  mutable absl::Mutex mutex_;
  Mode wanted_ ABSL_GUARDED_BY(mutex_) = Mode::kForward;
  Mode applied_ ABSL_GUARDED_BY(mutex_) = Mode::kForward;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ctlstore::rpc::testing

#endif  // CTLSTORE_COMMON_RPC_TESTING_TCP_PROXY_H_
