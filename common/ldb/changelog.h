// The changelog: a file that names the key of each change, for programs that keep caches.

#ifndef CTLSTORE_COMMON_LDB_CHANGELOG_H_
#define CTLSTORE_COMMON_LDB_CHANGELOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/ldb/changes.h"

namespace ctlstore::ldb {

// Appends a line of JSON for each changed key, after the commit (docs/formats.md has the format,
// which is the Go ctlstore's). The lines' own numbers follow one another also across a restart and
// when the file is begun anew; a jump tells consumers that changes were lost to them, or cannot be
// named one by one (a table was cleared or dropped), so that they drop what they have. A file that
// cannot be written never holds up anything: what is lost makes a jump.
//
// Used by one thread; the counters may be read from any.
class Changelog : public ChangeListener {
 public:
  struct Options {
    // Beside it, `<path>.state` remembers up to where it is complete. One changelog for one path.
    std::string path;
    // A file that would pass this size is removed and begun anew. A line longer than this has a
    // file of its own.
    int64_t max_bytes = int64_t{1} << 20;
  };

  explicit Changelog(const Options& options);
  ~Changelog() override;
  Changelog(const Changelog&) = delete;
  Changelog& operator=(const Changelog&) = delete;

  // Goes on after the last line that is in the file. `applied_sequence` is the local database's:
  // where that is not the one for which the file was last written, a jump comes first. To be called
  // before the first change, and again where the local database is another one from now on: then
  // there is always a jump.
  void Attach(int64_t applied_sequence);

  void Committing(absl::Span<const Change> changes) override;
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override;
  void CommitFailed() override;

  // Lines written, lines lost, and how often the file was begun anew, since the start. Thread-safe.
  struct Counts {
    int64_t written = 0;
    int64_t lost = 0;
    int64_t rotations = 0;
  };
  Counts counts() const;
  const std::string& path() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGELOG_H_
