#include "executive/group_transaction.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/time/clock.h"
#include "common/ctldb/writers.h"
#include "executive/retries.h"
#include "executive/table_reader.h"

namespace ctlstore::executive {
namespace {

int64_t RowsOf(const MutationPlan& plan) { return static_cast<int64_t>(plan.statements().size()); }

bool SameTables(const MutationPlan& a, const MutationPlan& b) {
  return std::equal(a.tables().begin(), a.tables().end(), b.tables().begin(), b.tables().end(),
                    [](const auto& one, const auto& other) { return *one == *other; });
}

}  // namespace

GroupTransaction::GroupTransaction(ctldb::Connection* connection,
                                   ctldb::LedgerTransaction transaction, TableCache* tables,
                                   const LimitBook* limits)
    : connection_(connection),
      transaction_(std::move(transaction)),
      tables_(tables),
      limits_(limits) {}

absl::StatusOr<std::shared_ptr<const TableSchema>> GroupTransaction::FindTable(
    const TableName& name, bool reload) {
  const auto read = read_tables_.find(name);
  if (read != read_tables_.end()) return read->second;
  if (!reload) {
    std::shared_ptr<const TableSchema> known = tables_->Find(name);
    if (known != nullptr) return known;
  }
  absl::StatusOr<TableSchema> schema = ReadTable(name, connection_);
  if (absl::IsNotFound(schema.status())) tables_->Forget(name);
  if (!schema.ok()) return schema.status();
  std::shared_ptr<const TableSchema> shared =
      tables_->Put(*std::move(schema), transaction_.schema_version());
  read_tables_.emplace(name, shared);
  return shared;
}

absl::StatusOr<MutationPlan> GroupTransaction::Plan(const Submission& request, bool reload) {
  return MutationPlan::Create(request.request,
                              [&](const TableName& name) { return FindTable(name, reload); });
}

absl::Status GroupTransaction::Prepare(absl::Span<const std::unique_ptr<Submission>> requests,
                                       std::vector<absl::Status>* refused) {
  refused->assign(requests.size(), absl::OkStatus());
  const int64_t version = transaction_.schema_version();
  tables_->SetVersion(version);
  for (size_t i = 0; i < requests.size(); ++i) {
    Submission& request = *requests[i];
    if (request.schema_version == version) continue;
    absl::StatusOr<MutationPlan> plan = Plan(request, /*reload=*/false);
    if (plan.ok()) {
      request.plan = *std::move(plan);
      request.schema_version = version;
      continue;
    }
    if (MayRetry(plan.status()) || lost()) return plan.status();
    (*refused)[i] = plan.status();
  }

  std::vector<absl::string_view> with_cookies;
  std::vector<std::string> writers;
  writers.reserve(requests.size());
  for (const std::unique_ptr<Submission>& request : requests) {
    writers.push_back(request->writer);
    if (request->plan.cookie().has_value() || request->plan.check_cookie().has_value()) {
      with_cookies.push_back(request->writer);
    }
  }
  if (!with_cookies.empty()) {
    absl::StatusOr<absl::flat_hash_map<std::string, std::string>> cookies =
        ctldb::ReadCookies(connection_, with_cookies);
    if (!cookies.ok()) return cookies.status();
    cookies_ = *std::move(cookies);
  }
  absl::StatusOr<RateWindow> rates = RateWindow::Open(*limits_, absl::Now(), writers, connection_);
  if (!rates.ok()) return rates.status();
  rates_.emplace(*std::move(rates));
  return absl::OkStatus();
}

absl::Status GroupTransaction::Check(const Submission& request) {
  const MutationPlan& plan = request.plan;
  if (plan.cookie().has_value() || plan.check_cookie().has_value()) {
    const auto stored = cookies_.find(request.writer);
    if (stored == cookies_.end()) return WriterGone();
    if (plan.check_cookie().has_value()) {
      const auto replaced = new_cookies_.find(request.writer);
      const absl::string_view cookie =
          replaced == new_cookies_.end() ? absl::string_view(stored->second) : replaced->second;
      if (cookie != *plan.check_cookie()) return CookieMismatch();
    }
  }
  for (const TableSchema* table : plan.upserted_tables()) {
    absl::Status size = limits_->CheckTableSize(table->name());
    if (!size.ok()) return size;
  }
  return rates_->Take(request.writer, RowsOf(plan));
}

absl::StatusOr<int64_t> GroupTransaction::Gather(const Submission& request) {
  absl::Status valid = Check(request);
  if (!valid.ok()) return valid;
  if (request.plan.cookie().has_value()) {
    new_cookies_.insert_or_assign(request.writer, *request.plan.cookie());
  }
  return request.plan.Gather(&transaction_);
}

absl::StatusOr<int64_t> GroupTransaction::WriteOrTakeBack(const Submission& request) {
  const absl::optional<absl::string_view>& cookie = request.plan.cookie();
  absl::StatusOr<int64_t> sequence = request.plan.Write(&transaction_);
  if (sequence.ok() && cookie.has_value()) {
    absl::Status written = ctldb::WriteCookie(connection_, request.writer, *cookie);
    if (!written.ok()) sequence = written;
  }
  if (sequence.ok() || MayRetry(sequence.status()) || lost()) return sequence;
  absl::Status taken_back = transaction_.RollbackToSavepoint();
  can_take_back_ = taken_back.ok();
  if (!taken_back.ok()) return taken_back;
  return sequence;
}

absl::StatusOr<int64_t> GroupTransaction::Write(Submission* request) {
  cookies_written_ = true;
  absl::Status status = transaction_.SetSavepoint();
  can_take_back_ = status.ok();
  if (status.ok()) status = Check(*request);
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> sequence = WriteOrTakeBack(*request);
  if (!lost() && MayBeStaleTable(sequence.status())) {
    absl::StatusOr<MutationPlan> plan = Plan(*request, /*reload=*/true);
    if (!plan.ok()) {
      sequence = plan.status();
    } else if (!SameTables(*plan, request->plan)) {
      request->plan = *std::move(plan);
      sequence = WriteOrTakeBack(*request);
    }
  }
  if (!sequence.ok()) {
    rates_->GiveBack(request->writer, RowsOf(request->plan));
  } else if (request->plan.cookie().has_value()) {
    new_cookies_.insert_or_assign(request->writer, *request->plan.cookie());
  }
  return sequence;
}

absl::Status GroupTransaction::Finish() {
  absl::Status status = transaction_.Flush();
  if (!status.ok()) return status;
  if (!cookies_written_ && !new_cookies_.empty()) {
    std::vector<ctldb::WriterCookie> cookies;
    cookies.reserve(new_cookies_.size());
    for (const auto& [writer, cookie] : new_cookies_) cookies.push_back({writer, cookie});
    status = ctldb::WriteCookies(connection_, cookies);
    if (!status.ok()) return status;
  }
  return rates_->Write(connection_);
}

}  // namespace ctlstore::executive
