// A snapshot on its way from the local database to where it is kept.

#ifndef CTLSTORE_SUPERVISOR_TAKEN_SNAPSHOT_H_
#define CTLSTORE_SUPERVISOR_TAKEN_SNAPSHOT_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/manifest.h"
#include "common/snapshot/object_encoder.h"

namespace ctlstore::supervisor {

// One state of the local database as files, an object for each compression that is wanted. The
// files are removed with it, so whoever reads them shares it. Thread-safe once it is made.
class TakenSnapshot {
 public:
  struct Object {
    std::string path;
    snapshot::EncodedObject encoded;
  };

  // `manifest` has what does not depend on the compression, the id too.
  explicit TakenSnapshot(snapshot::Manifest manifest);
  ~TakenSnapshot();
  TakenSnapshot(const TakenSnapshot&) = delete;
  TakenSnapshot& operator=(const TakenSnapshot&) = delete;

  // Takes the file over.
  void Add(snapshot::Compression compression, Object object);

  const std::string& id() const { return manifest_.id; }
  const LedgerPosition& position() const { return manifest_.position; }
  absl::Time taken_at() const { return manifest_.taken_at; }

  // Must be one of those that were added.
  const Object& object(snapshot::Compression compression) const;
  snapshot::Manifest ManifestFor(snapshot::Compression compression) const;

 private:
  const snapshot::Manifest manifest_;
  std::map<snapshot::Compression, Object> objects_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_TAKEN_SNAPSHOT_H_
