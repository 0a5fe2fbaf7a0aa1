// Who gets the ledger's entries, as the tailer sees it.

#ifndef CTLSTORE_EXECUTIVE_LEDGER_LISTENER_H_
#define CTLSTORE_EXECUTIVE_LEDGER_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "executive/ledger_message.h"

namespace ctlstore::executive {

// One stream of entries. The tailer calls it from any thread, one call at a time, but for Cancel().
// It must live until it has called LedgerTailer::Left().
class LedgerListener {
 public:
  // One message of the stream.
  struct Part {
    // Keeps `entries` alive; null where there are none.
    std::shared_ptr<const LedgerMessage> message;
    // A serialized v1::TailResponse, without:
    LedgerMessage::Tail entries;
    int64_t last_sequence = 0;
  };

  virtual ~LedgerListener() = default;

  // Hands a part on, and calls LedgerTailer::Sent() when the next one may come, or when it could
  // not be handed on. Must not block.
  virtual void Send(Part part) = 0;

  // Lets what was begun by Send() or End() fail soon.
  virtual void Cancel() = 0;

  // The last call, never while a Send() is under way. Calls LedgerTailer::Left() when all is over.
  // Must not block.
  virtual void End(const absl::Status& status) = 0;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_LEDGER_LISTENER_H_
