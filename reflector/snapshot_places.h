// The places of snapshots, and the ledger that has to go on from them.

#ifndef CTLSTORE_REFLECTOR_SNAPSHOT_PLACES_H_
#define CTLSTORE_REFLECTOR_SNAPSHOT_PLACES_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/object_store/open_store.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/location.h"
#include "reflector/ledger_source.h"
#include "reflector/snapshot_source.h"

namespace ctlstore::reflector {

// Fetches snapshots (common/snapshot/fetcher.h) from places in an object store. Before one is
// fetched the ledger is asked whether it goes on from there, so that none comes in vain; where it
// does not answer soon, the snapshot is fetched all the same.
class SnapshotPlaces : public SnapshotSource {
 public:
  struct Options {
    std::vector<snapshot::Location> locations;
    object_store::StoreOptions store;
    // Makes a source of the ledger for one question. May be empty.
    std::function<std::unique_ptr<LedgerSource>()> make_ledger;
    // How long the ledger may take to answer.
    absl::Duration ledger_timeout = absl::Seconds(2);
  };

  explicit SnapshotPlaces(Options options);

  absl::StatusOr<Snapshot> Fetch(const Request& request) override;

 private:
  // Not OK where the ledger says that it does not go on from there.
  absl::Status AskLedger(const LedgerPosition& position) const;

  const Options options_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_SNAPSHOT_PLACES_H_
