// One local database at work.

#ifndef CTLSTORE_REFLECTOR_REPLICATION_H_
#define CTLSTORE_REFLECTOR_REPLICATION_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/ldb/change_feed.h"
#include "common/ldb/changelog.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "reflector/local_database.h"
#include "reflector/reflector.h"
#include "reflector/reflector_control.h"
#include "reflector/reflector_metrics.h"
#include "reflector/upstreams.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace ctlstore::reflector {

// A local database with its source, its threads and those that learn of its changes, independent of
// all others in the process. Works from its making until Stop(). Thread-safe.
class Replication {
 public:
  struct Options {
    LocalDatabase::Options database;
    Reflector::Options reflector;
    // No changelog where its path is empty.
    ldb::Changelog::Options changelog;
    // How many gaps the source has accepted. Called until the replication is destroyed.
    std::function<int64_t()> ledger_gaps;
    // How much is kept for those who follow the changes.
    size_t max_feed_bytes = size_t{1} << 20;
  };

  // Takes the local database, and begins to work when Begin() is called. The registry must outlive
  // it, and so must the clock. Errors as LocalDatabase::Lock().
  static absl::StatusOr<std::unique_ptr<Replication>> Create(const Options& options,
                                                             std::unique_ptr<Upstreams> source,
                                                             prometheus::Registry* registry,
                                                             Clock* clock);
  ~Replication();
  Replication(const Replication&) = delete;
  Replication& operator=(const Replication&) = delete;

  void Begin();
  // Lets the threads end; Stop() waits for that, and gives up the local database. Both may be
  // called again.
  void RequestStop();
  void Stop();

  const std::string& path() const { return options_.database.path; }
  absl::Status Readiness() const { return reflector_->Readiness(); }
  LdbStatus Status() const;
  LdbSample Sample() const;
  absl::Status SkipEntry(int64_t sequence) { return reflector_->SkipEntry(sequence); }
  void Rebuild() { reflector_->Rebuild(); }
  ldb::ChangeFeed* feed() { return &feed_; }

 private:
  Replication(const Options& options, std::unique_ptr<Upstreams> source,
              prometheus::Registry* registry, Clock* clock);

  LocalDatabase::Info info() const;

  const Options options_;
  Clock* const clock_;
  ReflectorMetrics metrics_;
  const std::unique_ptr<Upstreams> source_;
  std::unique_ptr<ldb::Changelog> changelog_;
  ldb::ChangeFeed feed_;
  // As any other program on this host reads it.
  mutable ldb::Reader reader_;
  mutable absl::Mutex mutex_;
  // Given up by Stop(), and not used by anyone else but the thread, info() excepted.
  std::unique_ptr<LocalDatabase> database_ ABSL_GUARDED_BY(mutex_);
  LocalDatabase::Info last_info_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Reflector> reflector_;
  absl::Mutex thread_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  // Last: it uses all of the others.
  std::thread thread_ ABSL_GUARDED_BY(thread_mutex_);
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_REPLICATION_H_
