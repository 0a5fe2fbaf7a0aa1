// One ledger transaction with the requests of a group in it.

#ifndef CTLSTORE_EXECUTIVE_GROUP_TRANSACTION_H_
#define CTLSTORE_EXECUTIVE_GROUP_TRANSACTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "executive/group_committer.h"
#include "executive/limit_book.h"
#include "executive/rate_window.h"
#include "executive/table_cache.h"

namespace ctlstore::executive {

// Checks requests one after the other against what those before them have done (cookies, rates),
// from memory, and puts them into the transaction: gathered, so that many cost few round trips, or
// each by itself, so that one that the database refuses can be taken back alone. A transaction has
// requests of one of these ways only.
//
// What a request was answered holds only if the transaction is committed: the refusal too, because
// it may be owed to another request of the same transaction.
//
// Not thread-safe. All that is given must outlive it, the requests as well.
class GroupTransaction {
 public:
  using Submission = GroupCommitter::Submission;

  // `transaction` is one of `connection` and has changed nothing yet.
  GroupTransaction(ctldb::Connection* connection, ctldb::LedgerTransaction transaction,
                   TableCache* tables, const LimitBook* limits);

  // Reads what `requests` need. Plans those again that were made with other definitions than the
  // transaction's; `(*refused)[i]` receives the error where that fails. An error return is not
  // about a single request.
  absl::Status Prepare(absl::Span<const std::unique_ptr<Submission>> requests,
                       std::vector<absl::Status>* refused);

  // Gathers the request and returns its sequence, or refuses it.
  absl::StatusOr<int64_t> Gather(const Submission& request);

  // Writes the request by itself and returns its sequence, or refuses it and leaves no trace of
  // it. Plans it again where that may help. lost() tells whether the whole transaction failed.
  absl::StatusOr<int64_t> Write(Submission* request);

  // Sends what was gathered and what belongs to all requests. After an error the transaction can
  // only be rolled back.
  absl::Status Finish();

  // After Finish(). Errors as ctldb::Connection::Commit().
  absl::Status Commit() { return transaction_.Commit(); }

  // Whether the transaction is of no more use: the database has given it up, or a request's traces
  // cannot be taken back.
  bool lost() const {
    return !can_take_back_ || connection_->broken() || !connection_->in_transaction();
  }

  int64_t last_sequence() const { return transaction_.last_sequence(); }

 private:
  // The definition that the transaction sees; from the ctldb where `reload` is set.
  absl::StatusOr<std::shared_ptr<const TableSchema>> FindTable(const TableName& name, bool reload);
  absl::StatusOr<MutationPlan> Plan(const Submission& request, bool reload);

  // Cookies and limits; takes the rows off the writer's rate.
  absl::Status Check(const Submission& request);
  // Writes rows and cookie; after an error that is the request's own, none of it is left.
  absl::StatusOr<int64_t> WriteOrTakeBack(const Submission& request);

  ctldb::Connection* const connection_;
  ctldb::LedgerTransaction transaction_;
  TableCache* const tables_;
  const LimitBook* const limits_;

  // Definitions that were read within the transaction.
  absl::flat_hash_map<TableName, std::shared_ptr<const TableSchema>> read_tables_;
  // As they were before the transaction, of the writers that are there.
  absl::flat_hash_map<std::string, std::string> cookies_;
  absl::flat_hash_map<absl::string_view, absl::string_view> new_cookies_;
  bool cookies_written_ = false;
  bool can_take_back_ = true;
  absl::optional<RateWindow> rates_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_GROUP_TRANSACTION_H_
