// Loads a file's rows into a table.

#ifndef CTLSTORE_CLI_IMPORT_IMPORTER_H_
#define CTLSTORE_CLI_IMPORT_IMPORTER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cli/import/row_source.h"
#include "common/base/clock.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "ctlstore/v1/executive.pb.h"

namespace ctlstore::cli {

// Reads a file twice: first to learn its columns and what they hold, which changes nothing and
// finds a broken file; then to write its rows, in requests of many. Rows replace those with the
// same key, so doing it again is harmless. Not thread-safe.
class Importer {
 public:
  // What it needs of the executive; the writer's credentials are the executive's matter.
  class Executive {
   public:
    virtual ~Executive() = default;
    virtual absl::StatusOr<TableSchema> GetTable(const TableName& name) = 0;
    virtual absl::Status CreateFamily(const std::string& family) = 0;
    virtual absl::StatusOr<int64_t> CreateTable(const TableSchema& schema) = 0;
    virtual absl::StatusOr<int64_t> AddFields(const TableName& name,
                                              absl::Span<const Field> fields) = 0;
    virtual absl::StatusOr<int64_t> Mutate(const v1::MutateRequest& request) = 0;
  };

  // What it tells while it works.
  class Observer {
   public:
    virtual ~Observer() = default;
    // After each request.
    virtual void OnProgress(int64_t rows_written) = 0;
    // A row is left out.
    virtual void OnBadRow(const absl::Status& why) = 0;
    // The executive cannot be reached, or asks to wait.
    virtual void OnRetry(const absl::Status& why, absl::Duration wait) = 0;
  };

  struct Options {
    // Normalized.
    TableName name;
    // The columns of the key, with which a table that is not there is created.
    std::vector<std::string> key;
    // Types for some columns of what is created, instead of the inferred ones.
    std::vector<Field> types;
    // Whether columns that the table lacks are added to it.
    bool add_fields = false;
    // Whether bad rows are left out instead of ending the import.
    bool skip_bad_rows = false;
    // How long a request is tried while the executive is unavailable.
    absl::Duration retry_for = absl::Minutes(1);
    // How long a request waits, all in all, because the executive asks to wait: its queue is full,
    // or the writer has used up its rows for now.
    absl::Duration wait_for = absl::Minutes(10);
    // The size of a request.
    size_t max_batch_rows = 100;
    size_t max_batch_bytes = size_t{900} << 10;
  };

  // What is going to happen.
  struct Plan {
    // The table as it will be.
    TableSchema schema;
    bool create = false;
    // What the existing table gets.
    std::vector<Field> added;
    // Fields of the existing table that the file lacks: null in all rows written.
    std::vector<std::string> missing;
    // For each of the file's columns, its position in the schema's fields.
    std::vector<size_t> positions;
    int64_t rows = 0;
  };

  struct Result {
    int64_t rows_written = 0;
    int64_t bad_rows = 0;
    // The ledger sequence from which on a host has all of it; 0 where nothing was written.
    int64_t sequence = 0;
  };

  // `file_name` is for messages. All must outlive the importer.
  Importer(std::string file_name, RowSource* source, Executive* executive, Clock* clock,
           Observer* observer, Options options);

  // Reads the file and the table. Changes nothing.
  //   INVALID_ARGUMENT   the file is broken ("file:line: ..."), has columns that the table lacks,
  //   or
  //                      cannot become a table.
  //   NOT_FOUND          the table is not there, and no key is given to create it with.
  //   ALREADY_EXISTS     the table has another key, or a field has another type than given.
  absl::StatusOr<Plan> Prepare();

  // Does it. On an error, the rows of the requests before are written.
  absl::StatusOr<Result> Run(const Plan& plan);

 private:
  struct Contents;
  struct Batch;

  absl::StatusOr<Contents> ReadContents();
  absl::StatusOr<Plan> PlanNewTable(const Contents& contents);
  absl::StatusOr<Plan> PlanExistingTable(const TableSchema& table, const Contents& contents);
  absl::StatusOr<std::vector<Field>> TypedFields(const Contents& contents,
                                                 const std::vector<size_t>& columns,
                                                 const std::vector<std::string>& key);

  absl::Status AtLine(int64_t line, const absl::Status& status) const;
  absl::StatusOr<v1::Mutation> ConvertRow(const Plan& plan, const SourceRow& row) const;
  absl::Status BadRow(const absl::Status& why);
  absl::Status AddRow(const Plan& plan, const SourceRow& row, Batch* batch);
  absl::Status Flush(Batch* batch);
  absl::Status FlushHalves(Batch* batch);
  absl::Status FlushOneByOne(Batch* batch);
  absl::Status Send(const v1::MutateRequest& request);
  absl::Status WithRetries(const std::function<absl::Status()>& call);

  const std::string file_name_;
  RowSource* const source_;
  Executive* const executive_;
  Clock* const clock_;
  Observer* const observer_;
  const Options options_;
  Result result_;
  // At most options_.max_batch_rows; less where the writer may not change as many at once.
  size_t batch_rows_;
  // Waiting for a next try ends with the process only.
  absl::Notification never_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_IMPORTER_H_
