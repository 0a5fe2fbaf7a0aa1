// The snapshots in one folder of an object store.

#ifndef CTLSTORE_COMMON_SNAPSHOT_FOLDER_H_
#define CTLSTORE_COMMON_SNAPSHOT_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/object_store/object_store.h"
#include "common/snapshot/manifest.h"

namespace ctlstore::snapshot {

// "<20 digits of the sequence>-<yyyymmddThhmmssZ>-<8 hex digits at random>".
std::string NewSnapshotId(int64_t sequence, absl::Time taken_at);

// What an id says; nullopt where it is none.
struct SnapshotId {
  int64_t sequence = 0;
  absl::Time taken_at;
};
absl::optional<SnapshotId> ParseSnapshotId(absl::string_view id);

// What the object of a snapshot is called: the id with ".db.zst", ".db.gz" or ".db" behind it.
std::string SnapshotObjectName(absl::string_view id, Compression compression);

// Which snapshots are kept: one goes when it is not among the newest `count`, or older than `age`;
// but never the newest that holds all families, nor the newest of all.
struct RetentionPolicy {
  int count = 24;
  absl::Duration age = absl::InfiniteDuration();
};

// Snapshots as docs/formats.md has them: `<id>.db.zst` (or `.db.gz`, `.db`) with `<id>.json`, the
// manifest, which is put there last; and `index.json`, the ids newest first, for stores that cannot
// list. A snapshot is there when its manifest is. Several may use one place at the same time.
// Thread-safe as its store is, which must outlive it. Errors are the store's.
class Folder {
 public:
  explicit Folder(object_store::ObjectStore* store);

  // The ids of the snapshots that are there, newest first: by sequence, then by time. Other objects
  // are gone over. With a store that cannot list: those that `index.json` names; DATA_LOSS
  // (SNAPSHOT_DAMAGED) where that cannot be understood.
  absl::StatusOr<std::vector<std::string>> List();

  // NOT_FOUND where there is none; DATA_LOSS (SNAPSHOT_DAMAGED) where it cannot be understood or is
  // another snapshot's.
  absl::StatusOr<Manifest> ReadManifest(absl::string_view id);

  // Puts the object in place, then the manifest, then the index. `manifest` is complete: its id is
  // one of NewSnapshotId(), its object SnapshotObjectName(), and the file has what it says
  // (INVALID_ARGUMENT). After an error there is the whole snapshot or none.
  absl::Status Publish(const Manifest& manifest, const std::string& object_path);

  // Removes snapshots, manifests first, and objects without a manifest that are at least a day old
  // (others may be on their way), and what the store has of uploads that old. A snapshot whose
  // manifest cannot be understood or whose object is not there is not "the newest that holds all
  // families". Returns the ids that were removed. After an error some may be removed, and the next
  // call goes on.
  absl::StatusOr<std::vector<std::string>> ApplyRetention(const RetentionPolicy& policy,
                                                          absl::Time now);

  // Reads all of the object, and checks it against the manifest: its size, each chunk and the
  // whole. DATA_LOSS (SNAPSHOT_DAMAGED) says what differs; NOT_FOUND where the object is not there.
  // Takes a piece of it into memory at a time.
  absl::Status Verify(const Manifest& manifest);

  object_store::ObjectStore* store() const { return store_; }

 private:
  absl::StatusOr<std::vector<std::string>> ReadIndex();
  // Of what is there, and again where that has changed meanwhile.
  absl::Status WriteIndex();
  // All that an object has, at most `max_bytes`; DATA_LOSS where it has more.
  absl::StatusOr<std::string> ReadText(absl::string_view key, int64_t max_bytes);
  // The newest of `ids` that holds all families and whose object is among `objects`; empty where
  // there is none.
  absl::StatusOr<std::string> NewestWithAllFamilies(
      const std::vector<std::string>& ids, const std::vector<object_store::ObjectInfo>& objects);

  object_store::ObjectStore* const store_;
};

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_FOLDER_H_
