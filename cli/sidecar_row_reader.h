// Rows from a sidecar.

#ifndef CTLSTORE_CLI_SIDECAR_ROW_READER_H_
#define CTLSTORE_CLI_SIDECAR_ROW_READER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/row_reader.h"
#include "common/rpc/client.h"

namespace ctlstore::cli {

// The Sidecar API does not tell a table's definition. So a key argument that may mean several
// values is tried as the likeliest, and as the next one when the sidecar says that this value does
// not fit. Fields come in the order of their names.
class SidecarRowReader : public RowReader {
 public:
  // `address` as in --sidecar, with TLS and a token where `channel` says so. `timeout` is for calls
  // that answer with one message.
  SidecarRowReader(std::string address, const rpc::ChannelOptions& channel, absl::Duration timeout);
  ~SidecarRowReader() override;

  absl::StatusOr<absl::optional<NamedValues>> Get(const TableName& name,
                                                  const std::vector<std::string>& key) override;
  absl::StatusOr<bool> List(const TableName& name, const std::vector<std::string>& key_prefix,
                            int64_t limit, Visitor visit) override;
  absl::StatusOr<CopyStatus> GetStatus() override;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_SIDECAR_ROW_READER_H_
