// One Mutate request, from what the caller wrote to what the databases get.

#ifndef CTLSTORE_EXECUTIVE_MUTATION_PLAN_H_
#define CTLSTORE_EXECUTIVE_MUTATION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::executive {

// One row to write or to delete, as the caller wrote it: nothing is checked yet.
struct Mutation {
  absl::string_view table;
  bool remove = false;
  // By field name, in any order.
  std::vector<std::pair<absl::string_view, ValueView>> values;
};

// All views must outlive the plan that is made of the request.
struct MutateRequest {
  absl::string_view family;
  std::vector<Mutation> mutations;
  // Where set, becomes the writer's cookie.
  absl::optional<absl::string_view> cookie;
  // Where set, has to be the writer's cookie.
  absl::optional<absl::string_view> check_cookie;
  // Whether text for fields that hold bytes stands for them in base64, as in JSON.
  bool bytes_are_base64 = false;
};

// The path of a value in a request: "mutations[3].values.code". A name that is too long to be any
// field's is cut, so that the error stays small.
std::string MutationValuePath(size_t mutation, absl::string_view name);

// What of a request can be checked without knowing any table: the family's name, the number of
// mutations, the sizes of the cookies, the tables' names. INVALID_ARGUMENT names the field.
absl::Status CheckMutateRequest(const MutateRequest& request);

// The answer where a request's check_cookie is not the writer's cookie.
absl::Status CookieMismatch();

// The answer to a writer that was there when the request began.
absl::Status WriterGone();

// A request that is valid for the definitions of its tables, with its rows in the tables' order and
// its ledger statements. Making one touches no database; applying one checks nothing (cookies and
// limits are left to whoever does it), so any number of plans can share one ledger transaction.
//
// Immutable: const access is thread-safe.
class MutationPlan {
 public:
  // The definition of a table; NOT_FOUND where there is none.
  using TableFinder =
      absl::FunctionRef<absl::StatusOr<std::shared_ptr<const TableSchema>>(const TableName& name)>;

  // INVALID_ARGUMENT names the field in the request ("mutations[3].values.code"): reason
  // UNKNOWN_FIELD, INVALID_KEY, INVALID_VALUE, INVALID_REQUEST or TOO_LARGE. `find_table` is called
  // once for each table, and its errors are returned.
  static absl::StatusOr<MutationPlan> Create(const MutateRequest& request, TableFinder find_table);

  // Gathers the rows and the ledger's entries in the transaction, and returns the last ledger
  // sequence. Cookies are left to the caller.
  int64_t Gather(ctldb::LedgerTransaction* transaction) const;

  // As Gather(), but sends each row by itself, so that the error of a row that the database refuses
  // names its mutation. After an error the transaction has to be rolled back, to the savepoint
  // before this call at least.
  absl::StatusOr<int64_t> Write(ctldb::LedgerTransaction* transaction) const;

  // One for each mutation, in order.
  const std::vector<std::string>& statements() const { return statements_; }
  // The size of the statements and the cookie.
  size_t bytes() const { return bytes_; }

  // The definitions that the plan was made with, each table once.
  const std::vector<std::shared_ptr<const TableSchema>>& tables() const { return tables_; }
  // Those of them that get rows.
  const std::vector<const TableSchema*>& upserted_tables() const { return upserted_tables_; }

  const absl::optional<absl::string_view>& cookie() const { return cookie_; }
  const absl::optional<absl::string_view>& check_cookie() const { return check_cookie_; }

 private:
  struct Step {
    const TableSchema* schema;
    bool remove;
    // The row in table order, or the key in key order.
    std::vector<ValueView> values;
  };

  MutationPlan() = default;

  void GatherStep(const Step& step, ctldb::LedgerTransaction* transaction) const;

  // What values were decoded to; stays where it is when the plan is moved.
  std::forward_list<std::string> decoded_;
  std::vector<std::shared_ptr<const TableSchema>> tables_;
  std::vector<const TableSchema*> upserted_tables_;
  std::vector<Step> steps_;
  std::vector<std::string> statements_;
  size_t bytes_ = 0;
  absl::optional<absl::string_view> cookie_;
  absl::optional<absl::string_view> check_cookie_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_MUTATION_PLAN_H_
