// The calls that a heartbeat makes, over gRPC.

#ifndef CTLSTORE_HEARTBEAT_EXECUTIVE_CLIENT_H_
#define CTLSTORE_HEARTBEAT_EXECUTIVE_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/rpc/client.h"
#include "common/rpc/writer_metadata.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"
#include "heartbeat/heartbeat.h"

namespace ctlstore::heartbeat {

// Talks to the executive at one address, in the name of one writer, with TLS and a token where
// `channel` says so. Connects when it is first used
// and again when the connection broke. One call at a time; Cancel() may be called meanwhile.
//
// Errors are the executive's own, UNAVAILABLE where it cannot be reached, DEADLINE_EXCEEDED where
// it does not answer within `timeout`, CANCELLED after Cancel().
class ExecutiveClient : public Heartbeat::Executive {
 public:
  ExecutiveClient(absl::string_view address, const rpc::ChannelOptions& channel,
                  rpc::WriterCredentials credentials, absl::Duration timeout);
  ~ExecutiveClient() override;

  absl::Status RegisterWriter() override;
  absl::Status CreateFamily(absl::string_view family) override;
  absl::Status CreateTable(const TableSchema& schema) override;
  absl::StatusOr<int64_t> Mutate(const TableSchema& schema,
                                 absl::Span<const ValueView> row) override;

  // Ends the call under way, and all later ones before they begin. Thread-safe.
  void Cancel();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ctlstore::heartbeat

#endif  // CTLSTORE_HEARTBEAT_EXECUTIVE_CLIENT_H_
