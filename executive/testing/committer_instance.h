// A group committer with all that it needs, as one executive has it.

#ifndef CTLSTORE_EXECUTIVE_TESTING_COMMITTER_INSTANCE_H_
#define CTLSTORE_EXECUTIVE_TESTING_COMMITTER_INSTANCE_H_

#include <prometheus/registry.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/schema_changer.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "executive/executive_metrics.h"
#include "executive/group_committer.h"
#include "executive/limit_book.h"
#include "executive/mutation_plan.h"
#include "executive/table_cache.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {

// A request that owns all that it consists of.
struct OwnedRequest {
  struct Row {
    std::string table;
    bool remove = false;
    std::vector<std::pair<std::string, Value>> values;
  };
  std::string writer = "writer";
  std::string family = "fam";
  std::vector<Row> rows;
  absl::optional<std::string> cookie;
  absl::optional<std::string> check_cookie;
  absl::Duration timeout = absl::Minutes(1);

  // Valid as long as this is neither changed nor moved.
  MutateRequest view() const;
};

// A request on its way, and its answer.
class PendingAnswer {
 public:
  explicit PendingAnswer(OwnedRequest owned) : request(std::move(owned)) {}

  bool answered() const { return done_.HasBeenNotified(); }
  // Waits for it.
  const absl::StatusOr<int64_t>& Wait() const;
  // What was planned last; after the answer.
  const std::vector<std::string>& statements() const { return statements_; }

  // Submissions and answers of the process are numbered in the order in which they happen.
  int64_t submitted_at() const { return submitted_at_; }
  int64_t answered_at() const { return answered_at_; }

  const OwnedRequest request;
  std::atomic<bool> cancelled{false};

 private:
  friend class CommitterInstance;
  absl::StatusOr<int64_t> answer_ = 0;
  std::vector<std::string> statements_;
  int64_t submitted_at_ = 0;
  int64_t answered_at_ = 0;
  absl::Notification done_;
};

// Thread-safe but for what is said otherwise. Each instance on one ctldb is like an executive of
// its own.
class CommitterInstance {
 public:
  struct Options {
    GroupCommitter::Options committer;
    LimitBook::Options limits;
    size_t max_connections = 4;
  };

  // Without a limit for writers.
  static Options DefaultOptions();

  explicit CommitterInstance(const TestCtldb& ctldb, Options options = DefaultOptions());

  // Plans the request with the definitions that are known, as an executive does, and submits it.
  // An error of the plan is the answer.
  std::shared_ptr<PendingAnswer> Submit(OwnedRequest request);

  // To be set while nothing is under way.
  Faults faults;
  ctldb::SchemaChanger::FaultPoint schema_fault;

  prometheus::Registry registry;
  ExecutiveMetrics metrics{&registry};
  ctldb::ConnectionPool pool;
  ctldb::SchemaChanger changer;
  TableCache tables;
  // Over connections of its own, without faults.
  ctldb::ConnectionPool limits_pool;
  LimitBook limits;
  std::unique_ptr<GroupCommitter> committer;

 private:
  absl::StatusOr<std::shared_ptr<const TableSchema>> FindTable(const TableName& name);

  absl::Mutex planning_mutex_;
  // Without faults.
  const std::unique_ptr<ctldb::Connection> planning_ ABSL_GUARDED_BY(planning_mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_COMMITTER_INSTANCE_H_
