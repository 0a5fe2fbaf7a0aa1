#include "common/ldb/ldb_state.h"

#include <glog/logging.h>

#include <cstddef>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/optional.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/leader_time.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kIdentityBytes = 16;
constexpr char kWriteState[] = "REPLACE INTO _ldb_state (name, value) VALUES (?, ?)";
// Changes the rows in place: one page of the WAL a commit.
constexpr char kWritePositionState[] =
    "UPDATE _ldb_state SET value = CASE name WHEN 'sequence' THEN ?1 ELSE ?2 END "
    "WHERE name IN ('sequence', 'digest')";
constexpr char kAddPositionState[] =
    "INSERT OR IGNORE INTO _ldb_state (name, value) VALUES ('sequence', NULL), ('digest', NULL)";
constexpr char kWriteSkipped[] = "REPLACE INTO _ldb_skipped (seq, time, error) VALUES (?, ?, ?)";
constexpr char kCountSkipped[] = "SELECT count(*) FROM _ldb_skipped";

std::string NewIdentity() {
  std::random_device random;
  std::string identity;
  while (identity.size() < kIdentityBytes) {
    uint32_t bits = random();
    for (size_t i = 0; i < sizeof(bits); ++i, bits >>= 8) {
      identity.push_back(static_cast<char>(bits & 0xff));
    }
  }
  return identity;
}

std::string Named(absl::string_view families) {
  return families.empty() ? "all families" : absl::StrCat("the families ", families);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LdbState>> LdbState::Open(sqlite::Database* database,
                                                         const std::vector<std::string>& families) {
  std::unique_ptr<LdbState> state(new LdbState(database));
  absl::Status status = database->Execute("BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  status = state->MakeTables();
  if (status.ok()) status = state->Prepare();
  if (status.ok()) status = state->SettleFamilies(families);
  if (status.ok()) status = state->SettleIdentity();
  if (status.ok()) status = database->Execute("COMMIT");
  if (status.ok()) return state;
  if (database->in_transaction()) database->Execute("ROLLBACK").IgnoreError();
  return status;
}

absl::Status LdbState::MakeTables() {
  for (const char* sql : {kCreateSequenceTable, kCreateLastUpdateTable, kCreateStateTable,
                          kCreateSkippedTable, kAddPositionState}) {
    absl::Status status = database_->Execute(sql);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status LdbState::Prepare() {
  for (auto [sql, statement] : {std::make_pair(kReadSequence, &read_sequence_),
                                std::make_pair(kWriteSequence, &write_sequence_),
                                std::make_pair(kWriteLastUpdate, &write_last_update_),
                                std::make_pair(kReadState, &read_state_),
                                std::make_pair(kWritePositionState, &write_position_state_)}) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared = database_->Prepare(sql);
    if (!prepared.ok()) return prepared.status();
    *statement = *std::move(prepared);
  }
  return absl::OkStatus();
}

absl::Status LdbState::SettleFamilies(const std::vector<std::string>& families) {
  const absl::StatusOr<int64_t> sequence = ReadSequence();
  if (!sequence.ok()) return sequence.status();
  absl::StatusOr<Value> stored = ReadState(kStateFamilies);
  if (!stored.ok()) return stored.status();
  const std::string wanted = absl::StrJoin(families, ",");
  // Who does not say so has all.
  const std::string had = stored->kind() == ValueKind::kText ? stored->data() : "";
  // While nothing is applied the file may become one for any families.
  if (had != wanted && *sequence != 0) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, reason::kFamiliesDiffer,
        absl::StrCat("the local database was made for ", Named(had), " and not for ", Named(wanted),
                     "; it has to be built anew for these"));
  }
  if (had == wanted && stored->kind() == ValueKind::kText) return absl::OkStatus();
  return WriteState(kStateFamilies, wanted);
}

absl::Status LdbState::SettleIdentity() {
  absl::StatusOr<Value> stored = ReadState(kStateIdentity);
  if (!stored.ok()) return stored.status();
  if (stored->kind() == ValueKind::kBytes && stored->data().size() == kIdentityBytes) {
    identity_ = stored->data();
    return absl::OkStatus();
  }
  identity_ = NewIdentity();
  return WriteState(kStateIdentity, ValueView::Bytes(identity_));
}

absl::StatusOr<LedgerPosition> LdbState::ReadPosition() {
  LedgerPosition position;
  const absl::StatusOr<int64_t> sequence = ReadSequence();
  if (!sequence.ok()) return sequence.status();
  position.sequence = *sequence;
  absl::StatusOr<Value> written = ReadState(kStateSequence);
  if (!written.ok()) return written.status();
  absl::StatusOr<Value> digest = ReadState(kStateDigest);
  if (!digest.ok()) return digest.status();
  if (position.sequence != 0 && *written == Value::Integer(position.sequence) &&
      digest->kind() == ValueKind::kBytes) {
    position.digest = digest->data();
  }
  return position;
}

absl::StatusOr<int64_t> LdbState::ReadSequence() {
  absl::StatusOr<bool> row = read_sequence_->Step();
  int64_t sequence = 0;
  if (row.ok() && *row) {
    const ValueView value = read_sequence_->Column(0);
    if (value.kind() == ValueKind::kInteger) sequence = value.integer();
  }
  read_sequence_->Reset();
  if (!row.ok()) return row.status();
  return sequence;
}

absl::StatusOr<LedgerPosition> LdbState::WritePosition(const LedgerEntry& last) {
  LedgerPosition position = PositionAfter(last);
  absl::Status status = write_sequence_->Bind(1, position.sequence);
  if (status.ok()) status = write_sequence_->Run();
  if (status.ok()) status = write_position_state_->Bind(1, position.sequence);
  if (status.ok()) status = write_position_state_->Bind(2, ValueView::Bytes(position.digest));
  if (status.ok()) status = write_position_state_->Run();
  if (!status.ok()) return status;
  const absl::optional<absl::Time> time = ParseLeaderTime(last.leader_time);
  if (!time.has_value()) {
    // Better too old a time than none.
    LOG_FIRST_N(WARNING, 10) << "event=ldb_entry_without_time sequence=" << last.sequence;
    return position;
  }
  const std::string text = FormatLeaderTime(*time);
  status = write_last_update_->Bind(1, text);
  if (status.ok()) status = write_last_update_->Run();
  if (!status.ok()) return status;
  return position;
}

absl::Status LdbState::AddSkipped(int64_t sequence, absl::Time time, absl::string_view error) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(kWriteSkipped);
  if (!statement.ok()) return statement.status();
  const std::string time_text = FormatLeaderTime(time);
  absl::Status status = (*statement)->Bind(1, sequence);
  if (status.ok()) status = (*statement)->Bind(2, time_text);
  if (status.ok()) status = (*statement)->Bind(3, error);
  return status.ok() ? (*statement)->Run() : status;
}

absl::StatusOr<int64_t> LdbState::CountSkipped() {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(kCountSkipped);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row = (*statement)->Step();
  if (!row.ok()) return row.status();
  return (*statement)->Column(0).integer();
}

absl::StatusOr<Value> LdbState::ReadState(absl::string_view name) {
  absl::Status status = read_state_->Bind(1, name);
  if (!status.ok()) return status;
  absl::StatusOr<bool> row = read_state_->Step();
  Value value;
  if (row.ok() && *row) value = Value(read_state_->Column(0));
  read_state_->Reset();
  if (!row.ok()) return row.status();
  return value;
}

absl::Status LdbState::WriteState(absl::string_view name, const ValueView& value) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database_->Prepare(kWriteState);
  if (!statement.ok()) return statement.status();
  absl::Status status = (*statement)->Bind(1, name);
  if (status.ok()) status = (*statement)->Bind(2, value);
  return status.ok() ? (*statement)->Run() : status;
}

}  // namespace ctlstore::ldb
