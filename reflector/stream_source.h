// The ledger as an executive streams it.

#ifndef CTLSTORE_REFLECTOR_STREAM_SOURCE_H_
#define CTLSTORE_REFLECTOR_STREAM_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/rpc/client.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"
#include "reflector/ledger_source.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace ctlstore::reflector {

// Listens to Ledger.Tail (proto/ctlstore/v1/ledger.proto) over a connection of its own. A stream
// goes on as long as each Read() goes on where the last one ended; another position, or an error,
// begins a new one. At most one message is held, whose size `channel.max_receive_bytes` bounds.
class StreamSource final : public LedgerSource {
 public:
  struct Options {
    rpc::ChannelOptions channel;
    // For how long the executive may say nothing, also at the beginning, before the stream and its
    // connection are given up. It says something every few seconds.
    absl::Duration stale_after = absl::Seconds(15);
    // Who listens, for the executive's logs.
    std::string instance;
  };

  // `address` is "host:port" or "unix:/path". Connects when it is first read. The clock must
  // outlive it.
  StreamSource(absl::string_view address, const Options& options, Clock* clock);
  ~StreamSource() override;

  // all_as_of is the last time at which the stream was waited at, because what has come since may
  // have been on its way for as long; so it is a little early rather than late.
  //
  // Where the executive let this listener go as too slow, it comes back at once, without an error.
  // Errors beyond those of the interface are what the executive answers, with its reasons
  // (UNAUTHENTICATED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, ...), and INTERNAL where it sends entries
  // out of order.
  absl::StatusOr<Batch> Read(const LedgerPosition& after, const Limits& limits) override;
  void Release() override;
  void Cancel() override;

  // "grpc://host:port" or "grpc:unix:/path".
  std::string name() const override { return name_; }

 private:
  class Stream;

  // Begins a stream behind `position_`.
  absl::Status Open();
  // Ends the stream, if there is one, and drops what was not read of it.
  void Close();
  // Waits for the next message and puts its entries into `message_`.
  absl::Status Receive();
  // Takes a message in. INTERNAL where its entries do not follow the position.
  absl::Status Accept();
  // Why the stream has ended, as Read() returns it.
  absl::Status Ended();
  // The next entries of `message_`.
  Batch Take(const Limits& limits);

  const std::string address_;
  const std::string name_;
  const Options options_;
  Clock* const clock_;

  std::shared_ptr<grpc::Channel> channel_;
  // Behind what was returned last.
  LedgerPosition position_;
  // What has come, and how much of it was returned.
  std::vector<LedgerEntry> message_;
  size_t taken_ = 0;
  // The ledger's last one, as the last message says.
  int64_t ledger_sequence_ = 0;
  // Messages of this stream.
  int64_t messages_ = 0;
  // What came later was sent later.
  absl::Time waited_at_;

  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // Set and dropped by the reading thread alone, with the mutex; so that thread needs none to use
  // it, and Cancel() may with the mutex.
  std::unique_ptr<Stream> stream_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_STREAM_SOURCE_H_
