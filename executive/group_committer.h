// Many requests, one commit.

#ifndef CTLSTORE_EXECUTIVE_GROUP_COMMITTER_H_
#define CTLSTORE_EXECUTIVE_GROUP_COMMITTER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/schema_changer.h"
#include "common/ctldb/target.h"
#include "executive/executive_metrics.h"
#include "executive/limit_book.h"
#include "executive/mutation_plan.h"
#include "executive/table_cache.h"

namespace ctlstore::executive {

// Requests that wait together are written in one transaction of the ctldb, so that one fsync serves
// them all: in the order in which they came, each as a ledger transaction of its own, each with its
// own outcome. A request that is refused leaves no trace and harms no other: the group is first
// written at one go, and where that fails, again with a savepoint before each request.
//
// A request that is given up (its deadline passed, or it was cancelled) before its group began is
// not applied. One whose group has begun gets the true outcome, however late. Where the connection
// breaks during a commit, the ledger is asked what happened; only where that cannot be found out,
// its outcome is UNAVAILABLE with reason OUTCOME_UNKNOWN. What the ctldb refuses for the moment (a
// deadlock, a lock not had in time, a failed certification) is tried again while the requests'
// deadlines allow.
//
// Works in threads of its own from construction to Shutdown() or its destruction. Thread-safe. All
// that it is given pointers to must outlive it.
class GroupCommitter {
 public:
  struct Options {
    // What may wait; requests beyond are refused at once with RESOURCE_EXHAUSTED (QUEUE_FULL) and a
    // retry delay.
    size_t max_queue_requests = 10000;
    size_t max_queue_bytes = size_t{64} << 20;
    // What one group has at most (but at least one request).
    size_t max_group_requests = 256;
    size_t max_group_rows = 2000;
    size_t max_group_bytes = size_t{4} << 20;
    // To look at the ledger over a connection of its own when a commit's outcome is not known.
    ctldb::Target ctldb;
    ctldb::ConnectionOptions connection;
    // How long to look, at most.
    absl::Duration outcome_timeout = absl::Seconds(10);
    // Told the last sequence of each commit, before the requests are answered; may be null. Called
    // from a thread of the committer. Must not block.
    std::function<void(int64_t sequence)> committed;
  };

  // One request on its way. What its plan and its request view lives until `done` was called.
  struct Submission {
    std::string writer;
    MutateRequest request;
    // Made of `request` with the definitions in the table cache; made again where they have
    // changed.
    MutationPlan plan;
    // TableCache::version() as it was before the plan was made.
    int64_t schema_version = 0;
    absl::Time deadline;
    // Whether the caller has gone away; may be null. Called from a thread of the committer.
    std::function<bool()> cancelled;
    // Called once, with the ledger sequence or the error, from a thread of the committer or during
    // Submit(). Must not block.
    std::function<void(absl::StatusOr<int64_t>)> done;
  };

  GroupCommitter(Options options, ctldb::ConnectionPool* pool, ctldb::SchemaChanger* changer,
                 TableCache* tables, const LimitBook* limits, ExecutiveMetrics* metrics);
  ~GroupCommitter();
  GroupCommitter(const GroupCommitter&) = delete;
  GroupCommitter& operator=(const GroupCommitter&) = delete;

  void Submit(std::unique_ptr<Submission> submission);

  size_t queue_length() const;
  const Options& options() const;

  // Takes no more requests (UNAVAILABLE) and returns when those that it has are answered.
  void Shutdown();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_GROUP_COMMITTER_H_
