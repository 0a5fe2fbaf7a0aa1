// Reads the ledger once for all who listen to it.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_TAILER_H_
#define CTLSTORE_EXECUTIVE_LEDGER_TAILER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/target.h"
#include "common/schema/ledger_position.h"
#include "executive/ledger_listener.h"
#include "executive/ledger_metrics.h"

namespace ctlstore::executive {

// While anybody listens, one thread follows the ledger's end over one connection: it asks when it
// is woken by a commit of this executive, and from time to time for the commits of others. Commits
// that come while it asks are had with the next question, so that there is at most one at a time,
// however many commit or listen. What it finds is kept in a ring of messages, each made once, from
// which all listeners are served. While nobody listens nothing is asked.
//
// A listener has at most one message on its way. One that begins at an older place than the ring
// has catches up: a few threads, with a connection each, read for those who do, a message in turn,
// until each has reached the ring; from there it goes on without a gap or repetition. One that was
// there, and takes so slowly that the ring has moved on, is let go; it may come back and catch up.
// Messages on their way that are not in the ring any more take at most twice the ring's size,
// about.
//
// How listeners end, besides by their own wish:
//   FAILED_PRECONDITION  LEDGER_PRUNED, LEDGER_DIVERGED; UNAVAILABLE (LEDGER_BEHIND): as
//                        ctldb::LedgerReader::ReadAfter() says of the listener's position.
//   RESOURCE_EXHAUSTED   SLOW_READER. TOO_MANY_LISTENERS, with a retry delay.
//   CANCELLED            it took nothing at all for `listener_timeout`.
//   UNAVAILABLE          CTLDB_UNAVAILABLE, and without a reason where the executive ends; with a
//                        retry delay.
//
// Thread-safe. The metrics must outlive it.
class LedgerTailer {
 public:
  struct Options {
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    // LedgerReader::Options.
    int64_t first_sequence = 1;
    // How late the commits of others may be seen.
    absl::Duration poll_interval = absl::Milliseconds(100);
    // Of the ring, and of the messages on their way to those who catch up.
    size_t buffer_bytes = size_t{32} << 20;
    // Of one message, about. A single statement may be larger.
    size_t message_bytes = size_t{1} << 20;
    size_t max_listeners = 5000;
    size_t catch_up_readers = 2;
    absl::Duration listener_timeout = absl::Seconds(30);
    // A listener that is at the ledger's end gets an empty message this often.
    absl::Duration idle_interval = absl::Seconds(5);
    // How long the ctldb may not answer before the listeners are sent away.
    absl::Duration ctldb_patience = absl::Seconds(5);
    // How long the last messages may take at the end.
    absl::Duration shutdown_patience = absl::Seconds(1);
  };

  LedgerTailer(Options options, LedgerMetrics* metrics);
  ~LedgerTailer();
  LedgerTailer(const LedgerTailer&) = delete;
  LedgerTailer& operator=(const LedgerTailer&) = delete;

  // Entries up to this sequence were committed by this executive. Cheap.
  void Wake(int64_t sequence);

  // Begins a stream of the entries after a position; where it is refused, End() is called at once.
  // `name` is for the logs. The listener must not be known here already.
  void Listen(const LedgerPosition& after, absl::string_view name, LedgerListener* listener);

  // What a listener tells of itself; has no effect for one that is not known. Sent() and Left():
  // see there. Leave(): it wants no more; its End() is called.
  void Sent(LedgerListener* listener, bool ok);
  void Leave(LedgerListener* listener);
  void Left(LedgerListener* listener);

  // Ends all streams, and refuses further ones. Returns when all listeners have left, within
  // little more than `shutdown_patience`.
  void Shutdown();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_TAILER_H_
