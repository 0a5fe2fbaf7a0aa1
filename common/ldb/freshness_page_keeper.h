// Sees to it that the freshness page is there, or that nobody is misled where it is not.

#ifndef CTLSTORE_COMMON_LDB_FRESHNESS_PAGE_KEEPER_H_
#define CTLSTORE_COMMON_LDB_FRESHNESS_PAGE_KEEPER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/ldb/changes.h"
#include "common/ldb/freshness_page.h"

namespace ctlstore::ldb {

// Writes the page of one local database. Where that cannot be done, the page is removed, so that
// readers do without, and tried again from time to time. Not thread-safe.
class FreshnessPageKeeper : public ChangeListener {
 public:
  // `identity` is the local database's own.
  FreshnessPageKeeper(const std::string& ldb_path, std::string identity, Clock* clock);

  // Where the local database is now; readers take it that anything may have changed. To be called
  // before each commit, and from time to time while there is none: it does nothing where the page
  // is there, and tries again where it could not be written.
  void Attach(int64_t applied_sequence);

  // Until Attach() readers must not trust the page: nobody knows what is in the local database.
  void Detach() { page_.reset(); }

  void Committing(absl::Span<const Change> changes) override;
  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) override;
  // The file has to be looked at to know whether it failed, so this is as Detach().
  void CommitFailed() override;

  // FreshnessPageWriter's, where the page is there.
  void Pause();
  void Resume();

 private:
  const std::string path_;
  const std::string identity_;
  Clock* const clock_;
  // Null while there is none.
  std::unique_ptr<FreshnessPageWriter> page_;
  bool failing_ = false;
  absl::Time last_try_ = absl::InfinitePast();
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_FRESHNESS_PAGE_KEEPER_H_
