// Sockets that are answered, but whose clients may still be sending.

#ifndef CTLSTORE_COMMON_RPC_LINGERING_SOCKETS_H_
#define CTLSTORE_COMMON_RPC_LINGERING_SOCKETS_H_

#include <cstddef>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace ctlstore::rpc {

// A socket that is closed while bytes arrive for it is reset, and the client may never see the
// answer that it was sent before. So such sockets are kept a while, and what arrives is thrown
// away. Add() is for any thread, Drain() for one.
class LingeringSockets {
 public:
  LingeringSockets();
  ~LingeringSockets();
  LingeringSockets(const LingeringSockets&) = delete;
  LingeringSockets& operator=(const LingeringSockets&) = delete;

  // Keeps what `fd` stands for open beyond the closing of `fd`, until the client closes it, but at
  // most two seconds. Does nothing where too many are kept already.
  void Add(int fd);

  // Throws away what arrives until `timeout` has passed or Wake() was called.
  void Drain(absl::Duration timeout);
  void Wake();

 private:
  struct Socket {
    int fd;
    absl::Time until;
  };

  const int wake_fd_;
  absl::Mutex mutex_;
  std::vector<Socket> sockets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_LINGERING_SOCKETS_H_
