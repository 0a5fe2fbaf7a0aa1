// The ledger as a ctldb has it, asked from time to time.

#ifndef CTLSTORE_REFLECTOR_CTLDB_SOURCE_H_
#define CTLSTORE_REFLECTOR_CTLDB_SOURCE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/event.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_reader.h"
#include "common/ctldb/target.h"
#include "common/schema/ledger_position.h"
#include "reflector/ledger_source.h"

namespace ctlstore::reflector {

// Reads over one connection of its own. After it has come to the ledger's end, a Read() that goes
// on from there waits first: that is what bounds the queries of a host on which nothing is new.
class CtldbSource final : public LedgerSource {
 public:
  struct Options {
    // How long that is, changed at random by up to `poll_jitter` of it in either direction.
    absl::Duration poll_interval = absl::Seconds(1);
    double poll_jitter = 0.25;
    ctldb::LedgerReader::Options ledger;
  };

  // The clock must outlive it.
  CtldbSource(const ctldb::Target& target, const ctldb::ConnectionOptions& connection,
              const Options& options, Clock* clock);

  // Errors beyond those of the interface are those of ctldb::Connection, as PERMISSION_DENIED.
  absl::StatusOr<Batch> Read(const LedgerPosition& after, const Limits& limits) override;

  void Release() override;

  // Ends a query too. Only a connection that is being opened is waited for, as long as
  // ConnectionOptions says.
  void Cancel() override;

  // The ctldb's URL.
  std::string name() const override { return name_; }

  // Gaps in the ledger's sequences accepted since the start. Thread-safe.
  int64_t gaps() const { return reader_.gaps(); }

 private:
  const std::string name_;
  const Options options_;
  Clock* const clock_;
  ctldb::LedgerReader reader_;
  // The ledger's end, when it was reached by the last Read().
  absl::optional<LedgerPosition> end_;
  Event cancelled_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_CTLDB_SOURCE_H_
