// Whether a writer is who it says.

#ifndef CTLSTORE_EXECUTIVE_WRITER_AUTHENTICATOR_H_
#define CTLSTORE_EXECUTIVE_WRITER_AUTHENTICATOR_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ctldb/connection.h"
#include "executive/credentials.h"
#include "executive/executive_metrics.h"

namespace ctlstore::executive {

// Checks secrets against the hashes in the ctldb, which are slow to compute on purpose, and
// remembers in memory those that were right, so that a writer pays once. What is remembered is
// bounded, holds no secret (a keyed hash of it, with a key of this process), and is looked up in
// the ctldb again after a while, in case the writer was changed there.
//
// After repeated wrong secrets further attempts of the same host for the same writer are refused,
// unseen, for longer and longer; a right secret that is remembered is always taken. A right secret
// ends this, and so does a long time without a wrong one.
//
// Thread-safe. The clock and the metrics must outlive it.
class WriterAuthenticator {
 public:
  struct Options {
    // How long a right secret is taken from memory before the ctldb is asked again.
    absl::Duration remember = absl::Seconds(30);
    // Hashes of the Go executive's kind are replaced by ours when the secret is seen.
    bool upgrade_hashes = true;
    // Wrong secrets that are free, and how long the first refusal after them lasts; it doubles with
    // each further one up to the maximum.
    int free_failures = 5;
    absl::Duration first_penalty = absl::Seconds(1);
    absl::Duration max_penalty = absl::Minutes(1);
    // Slow hashes that are computed at the same time; each takes 16 MiB of memory. Others wait.
    int max_concurrent_hashes = 2;
  };

  WriterAuthenticator(const Options& options, Clock* clock, ExecutiveMetrics* metrics);
  ~WriterAuthenticator();
  WriterAuthenticator(const WriterAuthenticator&) = delete;
  WriterAuthenticator& operator=(const WriterAuthenticator&) = delete;

  // True where the secret is remembered as right. Never blocks.
  bool IsRemembered(const Credentials& credentials);

  // Asks the ctldb where the secret is not remembered. Not within a transaction. `peer` is the
  // host that asks.
  //   UNAUTHENTICATED (BAD_CREDENTIALS), with the same words and after the same work for an unknown
  //   writer and for a wrong secret; RESOURCE_EXHAUSTED (TOO_MANY_FAILURES) with a retry delay.
  absl::Status Check(const Credentials& credentials, absl::string_view peer,
                     ctldb::Connection* connection);

  // Adds a writer. Succeeds where it exists with this secret; ALREADY_EXISTS (WRITER_DIFFERS).
  // Names and secrets have passed their checks. `*added` tells whether it is new.
  absl::Status Register(const Credentials& credentials, absl::string_view peer,
                        ctldb::Connection* connection, bool* added);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_WRITER_AUTHENTICATOR_H_
