// The executive, as the administration commands call it.

#ifndef CTLSTORE_CLI_EXECUTIVE_CLIENT_H_
#define CTLSTORE_CLI_EXECUTIVE_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cli/import/importer.h"
#include "common/rpc/client.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "ctlstore/v1/executive.pb.h"

namespace ctlstore::cli {

// Calls one executive. Errors are the executive's own; one that cannot be reached is UNAVAILABLE
// with a message for people. Connects when it is first used. Not thread-safe.
class ExecutiveClient : public Importer::Executive {
 public:
  struct Options {
    // As in --executive.
    std::string address;
    // TLS, and the token that proves a role.
    rpc::ChannelOptions channel;
    // How long one call may take.
    absl::Duration timeout = absl::Seconds(30);
    // Who writes; may be empty for calls that need no writer.
    std::string writer;
    std::string secret;
    // Whether the writer is registered with its secret when the executive does not know it. A
    // writer that exists with another secret stays as it is.
    bool register_writer = false;
  };

  explicit ExecutiveClient(Options options);
  ~ExecutiveClient() override;

  absl::StatusOr<TableSchema> GetTable(const TableName& name) override;
  absl::StatusOr<std::vector<TableSchema>> ListTables(const std::string& family);
  absl::StatusOr<std::vector<std::string>> ListFamilies();

  // What the ledger sequence that is returned means is said in the contract.
  absl::Status CreateFamily(const std::string& family) override;
  absl::StatusOr<int64_t> CreateTable(const TableSchema& schema) override;
  absl::StatusOr<int64_t> AddFields(const TableName& name, absl::Span<const Field> fields) override;
  absl::StatusOr<int64_t> DropTable(const TableName& name);
  absl::StatusOr<int64_t> ClearTable(const TableName& name);
  absl::StatusOr<int64_t> ClearFamily(const std::string& family);

  absl::StatusOr<v1::ListTableLimitsResponse> ListTableLimits();
  absl::Status SetTableLimit(const v1::TableLimit& limit);
  absl::Status DeleteTableLimit(const TableName& name);
  absl::StatusOr<v1::ListWriterLimitsResponse> ListWriterLimits();
  absl::Status SetWriterLimit(const v1::WriterLimit& limit);
  absl::Status DeleteWriterLimit(const std::string& writer);

  absl::StatusOr<v1::PruneLedgerResponse> PruneLedger(bool dry_run);

  absl::StatusOr<v1::GetExecutiveStatusResponse> GetStatus();

  absl::Status RegisterWriter(const std::string& writer, const std::string& secret);

  // In the writer's name.
  absl::StatusOr<std::string> GetCookie();
  absl::Status SetCookie(const std::string& cookie);
  absl::StatusOr<int64_t> Mutate(const v1::MutateRequest& request) override;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_EXECUTIVE_CLIENT_H_
