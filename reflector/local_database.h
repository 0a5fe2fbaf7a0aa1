// One local database over its life: opened, written, checked, and built anew where it must be.

#ifndef CTLSTORE_REFLECTOR_LOCAL_DATABASE_H_
#define CTLSTORE_REFLECTOR_LOCAL_DATABASE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/ldb/changes.h"
#include "common/ldb/ldb_files.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/fetch_progress.h"
#include "reflector/reflector.h"
#include "reflector/snapshot_source.h"

namespace ctlstore::reflector {

// Holds the lock `<path>.lock` while it lives, so that nobody else writes the local database.
//
// It is built anew, in a file of its own (ldb_files.h), when it is damaged (found when it is
// opened, by a check of all of it after that, or while it is written), when it was made for other
// families, when its ledger is another one now, when the ledger does not reach back to it, or when
// an operator asks for it. Readers keep the old one until the new one has at least its position; or
// all of the ledger, where that position means nothing. While the new one is built,
// `<path>.rebuild` says so, and a start after a crash begins it again; one that was there already
// when the system failed may be forgotten, where the reason for it does not show again.
//
// Where there is a source of snapshots, a new one begins from the newest snapshot, which is fetched
// into `<path>.fetch/` in the background; from the ledger's beginning where there is none that
// helps. So does the first one on a host, which is put in place as soon as it is there, as is one
// for a damaged one that is not further than the snapshot: neither waits for the ledger.
//
// Used by one thread, but for info().
class LocalDatabase : public Reflector::Target {
 public:
  struct Options {
    std::string path;
    // Without listeners.
    ldb::LdbWriter::Options writer;
    // Told of what is committed to what readers see; of everything when that is another file, or
    // not the one that was left. Each is first told where the database stands.
    struct Listener {
      ldb::ChangeListener* listener = nullptr;
      std::function<void(int64_t applied_sequence)> attach;
    };
    std::vector<Listener> listeners;
    // All of it is read once after it was first opened.
    bool check = true;
    // What was replaced is removed after this time, in which readers may be opening it.
    absl::Duration keep_old_for = ldb::LdbFiles::kKeepOld;
    Clock* clock = Clock::Real();
    // Where snapshots come from; may be null. Must outlive the local database.
    SnapshotSource* snapshots = nullptr;
    // Told of each Apply(), with what was committed by it. May be empty.
    std::function<void(const absl::Status&, absl::Duration, const ldb::LdbWriter::Applied&)>
        on_apply;
  };

  // Takes the lock, and opens the database where that is possible; where it is not, Open() tries
  // again. FAILED_PRECONDITION where another process has the lock, which it names; UNAVAILABLE
  // where there can be no lock.
  static absl::StatusOr<std::unique_ptr<LocalDatabase>> Lock(const Options& options);
  ~LocalDatabase() override;
  LocalDatabase(const LocalDatabase&) = delete;
  LocalDatabase& operator=(const LocalDatabase&) = delete;

  absl::Status Open() override;
  int64_t generation() const override;
  LedgerPosition received_position() const override;
  // Of what is written, which is the new one while it is built; info() has what readers see.
  int64_t applied_sequence() const override;
  absl::optional<int64_t> failed_sequence() const override;
  void SkipEntry(int64_t sequence) override;
  absl::Status Apply(absl::Span<const LedgerEntry> entries, bool at_end) override;
  absl::Status Idle() override;
  void Rebuild(const std::string& reason, bool another_ledger) override;
  bool rebuilding() const override;
  bool FetchSnapshot(const std::string& reason) override;
  bool GiveUpRebuild() override;

  // How it was after the last of these calls. Thread-safe.
  struct Info {
    int64_t applied_sequence = 0;
    int64_t skipped_entries = 0;
    ldb::LdbWriter::Wal wal;
    // While it is built anew.
    bool rebuilding = false;
    std::string rebuild_reason;
    int64_t rebuild_sequence = 0;
    // How often it was put in place anew.
    int64_t rebuilds = 0;
    // While a snapshot is fetched.
    absl::optional<snapshot::FetchProgress> fetch;
    // The snapshot that what readers see began from since the start; empty for none.
    std::string snapshot_id;
    // Snapshots that came, and tries in which none did, since the start.
    int64_t snapshots_fetched = 0;
    int64_t snapshot_fetches_failed = 0;
  };
  Info info() const;

 private:
  class Impl;
  explicit LocalDatabase(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_LOCAL_DATABASE_H_
