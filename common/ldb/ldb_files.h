// The files of a local database over its life: how a new one takes the place of an old one.

#ifndef CTLSTORE_COMMON_LDB_LDB_FILES_H_
#define CTLSTORE_COMMON_LDB_LDB_FILES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace ctlstore::ldb {

// A local database begins as a plain file at its path. One that is built anew is built in a folder
// of its own, `<path>.d/<13 digits of milliseconds>/ldb.db`, with its WAL, and then put in place by
// making `<path>` a symbolic link to it, in one step: who opens the path before has the old one,
// who opens it after has the new one, and who has the old one open keeps it. SQLite puts the WAL
// beside the file that the link leads to, so those of different databases never meet.
//
// For the process that holds the local database's lock. Not thread-safe.
class LdbFiles {
 public:
  LdbFiles(std::string path, Clock* clock);

  const std::string& path() const { return path_; }

  // The file that the path leads to; the path itself where that is a plain file or nothing.
  std::string current() const;

  // A folder for a new local database, made now; returns the path of the file to be made in it.
  // What is left of earlier ones that were never put in place is removed. RESOURCE_EXHAUSTED,
  // UNAVAILABLE.
  absl::StatusOr<std::string> NewGeneration();

  // Puts the file that NewGeneration() named in place. It is on the disk, with its folder, when
  // this returns; a crash leaves the old one or the new one in place. The old one's files stay
  // until RemoveOld().
  absl::Status Publish(const std::string& generation_path);

  // Keeps a damaged local database, with its WAL, under `<path>.damaged` for those who want to look
  // at it, in place of an earlier one. Links where it can: the path still leads to the file. To be
  // called before Publish(), and while this process has no connection to the file: where it has to
  // be copied, SQLite's locks of this process on it are given up.
  absl::Status KeepDamaged();

  // How long an old local database stays. A reader opens a file's WAL when it first reads, and
  // looks every second whether the path leads to another file; one of ours never goes on with a
  // file that was replaced before it had opened all of it.
  static constexpr absl::Duration kKeepOld = absl::Seconds(30);

  // Removes what the path does not lead to: generations that were never put in place, but for the
  // one of the last NewGeneration(); and those that were replaced, with what stood beside a plain
  // file at the path, when that was at least `age` ago. The time is that of the link; where the
  // clock was set back it counts anew. Also to be called after a start, for what a crash has left.
  absl::Status RemoveOld(absl::Duration age);

 private:
  // Removes generations that were never in place.
  absl::Status RemoveUnpublished();

  // Gives the link the time that it is now.
  absl::Status StampLink(const std::string& link) const;

  const std::string path_;
  Clock* const clock_;
  // The number of the generation that is being built; -1 for none.
  int64_t building_ = -1;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_FILES_H_
