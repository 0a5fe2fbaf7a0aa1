#include "cli/restore/restorer.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "cli/restore/restore_source.h"
#include "cli/restore/restore_target.h"
#include "cli/verify/report.h"
#include "cli/verify/table_comparison.h"
#include "cli/verify/table_definition.h"
#include "common/schema/value.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::cli {
namespace {

std::string ShownName(const TableSchema& schema) {
  return absl::StrCat(schema.name().family, ".", schema.name().table);
}

// A drop of a table that is not there: SQLite, every reflector and every filter of families know
// the statement, and it changes nothing.
std::string HarmlessStatement(const RestoreSource& source) {
  TableName name{"ctlstore", "restore_mark"};
  const auto is_there = [&] {
    return std::any_of(source.tables().begin(), source.tables().end(),
                       [&](const auto& table) { return table.schema.name() == name; });
  };
  for (int i = 2; is_there(); ++i) name.table = absl::StrCat("restore_mark_", i);
  return sql::DropTableStatement(name);
}

absl::Status InTable(const TableSchema& schema, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status result(status.code(), absl::StrCat(ShownName(schema), ": ", status.message()));
  status.ForEachPayload([&result](absl::string_view type, const absl::Cord& payload) {
    result.SetPayload(type, payload);
  });
  return result;
}

// Rows that own what they hold, up to a limit.
class Batch {
 public:
  explicit Batch(size_t fields) : fields_(fields) {}

  void Add(absl::Span<const ValueView> row) {
    for (const ValueView& value : row) {
      values_.emplace_back(value);
      bytes_ +=
          sizeof(Value) + (value.kind() == ValueKind::kText || value.kind() == ValueKind::kBytes
                               ? value.data().size()
                               : 0);
    }
  }
  size_t rows() const { return values_.size() / fields_; }
  size_t bytes() const { return bytes_; }

  absl::Status WriteTo(RestoreTarget* target, const TableSchema& schema) {
    const std::vector<ValueView> views(values_.begin(), values_.end());
    std::vector<absl::Span<const ValueView>> rows;
    for (size_t i = 0; i < views.size(); i += fields_) {
      rows.push_back(absl::MakeConstSpan(views).subspan(i, fields_));
    }
    return target->Insert(schema, rows);
  }
  void Clear() {
    values_.clear();
    bytes_ = 0;
  }

 private:
  const size_t fields_;
  std::vector<Value> values_;
  size_t bytes_ = 0;
};

class Restorer {
 public:
  explicit Restorer(const RestoreOptions& options) : options_(options) {}

  absl::StatusOr<RestoreResult> Run();

 private:
  using Table = RestoreSource::Table;

  absl::Status CheckJump();
  absl::Status ClearLeftovers();
  absl::Status CopyAll();
  absl::Status Copy(const Table& table);
  absl::Status CompareAll();
  // What differs, in words; empty where nothing does.
  absl::StatusOr<std::string> Compare(const Table& table, int64_t* rows);
  // Tells how it goes, and asks whether it is to end.
  absl::Status Tell(RestoreProgress::Stage stage, const Table* table);
  absl::Status Reach(absl::string_view point) const {
    return options_.fault_point == nullptr ? absl::OkStatus() : options_.fault_point(point);
  }

  const RestoreOptions& options_;
  std::unique_ptr<RestoreSource> source_;
  std::unique_ptr<RestoreTarget> target_;
  // Those that an earlier restore has made and that are equal.
  std::set<std::string> kept_;
  RestoreProgress progress_;
  RestoreResult result_;
};

absl::Status Restorer::Tell(RestoreProgress::Stage stage, const Table* table) {
  if (options_.on_progress != nullptr) {
    progress_.stage = stage;
    progress_.table = table == nullptr ? "" : ShownName(table->schema);
    progress_.tables = source_->tables().size();
    options_.on_progress(progress_);
  }
  if (options_.cancelled == nullptr || !options_.cancelled()) return absl::OkStatus();
  return absl::CancelledError("the restore was ended; --resume completes it");
}

absl::Status Restorer::CheckJump() {
  absl::StatusOr<int64_t> largest = target_->MaxSequence();
  if (!largest.ok()) return largest.status();
  const int64_t sequence = source_->sequence();
  if (options_.sequence_jump < 2) {
    return absl::InvalidArgumentError("the sequence jump must be at least 2");
  }
  // There has to be room for what is written afterwards.
  if (sequence > *largest - options_.sequence_jump - 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the ledger holds sequences up to ", *largest, ", and the snapshot's, ", sequence,
        ", with a jump of ", options_.sequence_jump, " would be beyond; take a smaller jump"));
  }
  result_.snapshot_sequence = sequence;
  result_.first_sequence = sequence + 1;
  result_.last_sequence = sequence + options_.sequence_jump;
  return absl::OkStatus();
}

absl::Status Restorer::ClearLeftovers() {
  absl::StatusOr<std::vector<std::string>> there = target_->ListTables();
  if (!there.ok()) return there.status();
  for (const std::string& sql_table : *there) {
    const auto wanted =
        std::find_if(source_->tables().begin(), source_->tables().end(),
                     [&](const Table& table) { return table.sql_name == sql_table; });
    if (wanted != source_->tables().end()) {
      absl::Status told = Tell(RestoreProgress::Stage::kComparing, &*wanted);
      if (!told.ok()) return told;
      int64_t rows = 0;
      absl::StatusOr<std::string> differs = Compare(*wanted, &rows);
      if (!differs.ok()) return differs.status();
      if (differs->empty()) {
        kept_.insert(sql_table);
        continue;
      }
    }
    absl::Status status = target_->DropTable(sql_table);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Restorer::Copy(const Table& table) {
  absl::Status status = target_->CreateTable(table.schema);
  if (status.ok()) status = Reach("created");
  if (!status.ok()) return status;
  Batch batch(table.schema.fields().size());
  const auto write = [&]() -> absl::Status {
    if (batch.rows() == 0) return absl::OkStatus();
    absl::Status written = batch.WriteTo(target_.get(), table.schema);
    if (!written.ok()) return written;
    progress_.rows += static_cast<int64_t>(batch.rows());
    batch.Clear();
    written = Tell(RestoreProgress::Stage::kCopying, &table);
    return written.ok() ? Reach("inserted") : written;
  };
  status = source_->ReadRows(table, [&](absl::Span<const ValueView> row) {
    batch.Add(row);
    const bool full = batch.rows() >= options_.batch_rows || batch.bytes() >= options_.batch_bytes;
    return full ? write() : absl::OkStatus();
  });
  return status.ok() ? write() : status;
}

absl::Status Restorer::CopyAll() {
  progress_.rows = 0;
  progress_.tables_done = 0;
  for (const Table& table : source_->tables()) {
    absl::Status status = Tell(RestoreProgress::Stage::kCopying, &table);
    if (!status.ok()) return status;
    if (kept_.count(table.sql_name) == 0) {
      status = Copy(table);
      if (absl::IsCancelled(status)) return status;
      if (!status.ok()) return InTable(table.schema, status);
    }
    ++progress_.tables_done;
  }
  return Tell(RestoreProgress::Stage::kCopying, nullptr);
}

absl::StatusOr<std::string> Restorer::Compare(const Table& table, int64_t* rows) {
  ctldb::Connection* const ctldb = target_->connection();
  absl::StatusOr<absl::optional<TableDefinition>> definition =
      ReadCtldbDefinition(ctldb, table.sql_name);
  if (!definition.ok()) return definition.status();
  if (!definition->has_value()) return "it is not there";
  const std::vector<std::string> differences =
      DescribeDifferences(**definition, table.definition, {});
  if (!differences.empty()) return differences.front();
  absl::Status status = ctldb->BeginRead();
  if (!status.ok()) return status;
  TableReport report;
  TableComparison comparison(ctldb, source_->database(), table.sql_name, table.definition, 0,
                             &report);
  status = comparison.CompareAll({});
  ctldb->Rollback();
  if (!status.ok()) return status;
  *rows = report.rows;
  if (report.differing_rows > 0) return absl::StrCat(report.differing_rows, " rows differ");
  return report.ldb_digest == report.ctldb_digest ? "" : "the digests differ";
}

absl::Status Restorer::CompareAll() {
  progress_.rows = 0;
  progress_.tables_done = 0;
  for (const Table& table : source_->tables()) {
    absl::Status told = Tell(RestoreProgress::Stage::kComparing, &table);
    if (!told.ok()) return told;
    int64_t rows = 0;
    absl::StatusOr<std::string> differs = Compare(table, &rows);
    if (!differs.ok()) return InTable(table.schema, differs.status());
    if (!differs->empty()) {
      return InTable(table.schema,
                     absl::DataLossError(absl::StrCat(
                         "the ctldb does not hold what was written to it: ", *differs)));
    }
    progress_.rows += rows;
    ++progress_.tables_done;
  }
  result_.rows = progress_.rows;
  return Tell(RestoreProgress::Stage::kComparing, nullptr);
}

absl::StatusOr<RestoreResult> Restorer::Run() {
  absl::StatusOr<std::unique_ptr<RestoreSource>> source = RestoreSource::Open(options_.ldb_path);
  if (!source.ok()) return source.status();
  source_ = *std::move(source);
  absl::StatusOr<std::unique_ptr<RestoreTarget>> target =
      RestoreTarget::Open(options_.ctldb, options_.connection);
  if (!target.ok()) return target.status();
  target_ = *std::move(target);

  const std::vector<std::string> families = source_->families();
  const std::vector<std::pair<absl::string_view, std::function<absl::Status()>>> steps = {
      {"checked", [this] { return CheckJump(); }},
      {"claimed", [this] { return target_->Claim(options_.resume); }},
      {"cleared", [this] { return ClearLeftovers(); }},
      {"copied", [this] { return CopyAll(); }},
      {"families", [&] { return target_->SetFamilies(families); }},
      {"compared", [this] { return CompareAll(); }},
      {"finished",
       [this] {
         return target_->Finish(result_.first_sequence, result_.last_sequence,
                                HarmlessStatement(*source_));
       }},
  };
  for (const auto& [point, step] : steps) {
    absl::Status status = step();
    if (status.ok()) status = Reach(point);
    if (!status.ok()) return status;
  }
  result_.families = families.size();
  result_.tables = source_->tables().size();
  return result_;
}

}  // namespace

absl::Status CheckRestoreTarget(const RestoreOptions& options) {
  absl::StatusOr<std::unique_ptr<RestoreTarget>> target =
      RestoreTarget::Open(options.ctldb, options.connection);
  return target.ok() ? (*target)->Check(options.resume) : target.status();
}

absl::StatusOr<RestoreResult> Restore(const RestoreOptions& options) {
  return Restorer(options).Run();
}

}  // namespace ctlstore::cli
