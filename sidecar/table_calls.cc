#include "sidecar/table_calls.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"
#include "sidecar/service_context.h"

namespace ctlstore::sidecar {

absl::Status GetTable(ldb::Reader* reader, const v1::SidecarGetTableRequest& request,
                      v1::SidecarGetTableResponse* response) {
  const absl::StatusOr<TableSchema> table = reader->GetTable(request.family(), request.table());
  if (!table.ok()) return WithNameChecked(table.status(), request.family(), request.table());
  rpc::ToProto(*table, response->mutable_table());
  return absl::OkStatus();
}

absl::Status ListTables(ldb::Reader* reader, const v1::SidecarListTablesRequest& request,
                        size_t max_bytes, v1::SidecarListTablesResponse* response) {
  std::string family;
  if (!request.family().empty()) {
    absl::StatusOr<std::string> name = NormalizeFamilyName("family", request.family());
    if (!name.ok()) return name.status();
    family = *std::move(name);
  }
  const absl::StatusOr<std::vector<TableSchema>> tables = reader->ListTables();
  if (!tables.ok()) return tables.status();
  for (const TableSchema& table : *tables) {
    if (!family.empty() && table.name().family != family) continue;
    rpc::ToProto(table, response->add_tables());
  }
  const size_t bytes = response->ByteSizeLong();
  if (bytes <= max_bytes) return absl::OkStatus();
  return InvalidField("family", reason::kTooLarge,
                      absl::StrCat("the definitions of the ", response->tables_size(),
                                   " tables take ", bytes, " bytes, more than the ", max_bytes,
                                   " that an answer may have; ask for one family or table"));
}

absl::Status GetStatus(ldb::Reader* reader, absl::Time now, v1::GetStatusResponse* response) {
  const absl::StatusOr<ldb::Position> position = reader->GetPosition();
  if (!position.ok()) return position.status();
  response->set_applied_sequence(position->applied_sequence);
  if (position->applied_entry_time.has_value()) {
    rpc::ToProto(*position->applied_entry_time, response->mutable_applied_entry_time());
  }
  if (position->heartbeat_time.has_value()) {
    rpc::ToProto(*position->heartbeat_time, response->mutable_heartbeat_time());
  }
  const absl::optional<absl::Duration> lag = position->Lag(now);
  if (lag.has_value()) rpc::ToProto(*lag, response->mutable_lag());
  response->set_ldb_path(reader->path());

  absl::StatusOr<ldb::Snapshot> snapshot = reader->GetSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  const absl::StatusOr<absl::optional<int64_t>> changes_after = snapshot->ChangesBegin();
  if (!changes_after.ok()) return changes_after.status();
  if (changes_after->has_value()) response->set_changes_after(**changes_after);
  return absl::OkStatus();
}

}  // namespace ctlstore::sidecar
