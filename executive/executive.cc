#include "executive/executive.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/backoff.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/ledger_reader.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/limits.h"
#include "executive/writer_secrets.h"

namespace ctlstore::executive {
namespace {

constexpr int kMaxAttempts = 5;
constexpr absl::Duration kFirstRetryWait = absl::Milliseconds(10);
constexpr absl::Duration kMaxRetryWait = absl::Milliseconds(500);

// How often one call completes schema changes of others before it gives up.
constexpr int kMaxCompletions = 20;

// What callers are advised to wait.
constexpr absl::Duration kBusyDelay = absl::Milliseconds(200);
constexpr absl::Duration kUnavailableDelay = absl::Seconds(1);

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

bool HasReason(const absl::Status& status, absl::string_view wanted) {
  const absl::optional<std::string> found = ErrorReason(status);
  return found.has_value() && *found == wanted;
}

// Whether the same may succeed when tried again.
bool MayRetry(const absl::Status& status) {
  return HasReason(status, reason::kCtldbBusy) || HasReason(status, reason::kCtldbUnavailable);
}

absl::Status DeadlineStatus() {
  return absl::DeadlineExceededError("the deadline came before the ctldb could answer");
}

// What the caller gets for an error of the ctldb.
absl::Status ForCaller(const absl::Status& status, absl::Time deadline) {
  if (MayRetry(status) && absl::Now() >= deadline) return DeadlineStatus();
  if (!absl::IsUnavailable(status) || RetryDelay(status).has_value()) return status;
  return WithRetryDelay(status,
                        HasReason(status, reason::kCtldbBusy) ? kBusyDelay : kUnavailableDelay);
}

// Calls `attempt`, which returns a Status or StatusOr, until it succeeds or fails for good.
template <typename Attempt>
auto WithRetries(absl::Time deadline, Attempt attempt) -> decltype(attempt()) {
  Backoff backoff(kFirstRetryWait, kMaxRetryWait);
  for (int i = 1;; ++i) {
    if (absl::Now() >= deadline) return DeadlineStatus();
    auto result = attempt();
    const absl::Status& status = StatusOf(result);
    if (status.ok()) return result;
    if (!MayRetry(status) || i == kMaxAttempts) return ForCaller(status, deadline);
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= deadline) return ForCaller(status, deadline);
    absl::SleepFor(wait);
  }
}

absl::Status FamilyNotFound(absl::string_view family) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kFamilyNotFound,
                         absl::StrCat("there is no family ", family));
}

absl::Status TableNotFound(const TableName& name) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound,
                         absl::StrCat("the family ", name.family, " has no table ", name.table));
}

// One of ctlstore's tables, or which of its two names is not there.
absl::StatusOr<TableSchema> ReadTable(const TableName& name, ctldb::Connection* connection) {
  absl::StatusOr<TableSchema> schema = ctldb::ReadTable(connection, name);
  if (!absl::IsNotFound(schema.status())) return schema;
  absl::StatusOr<bool> family_exists = ctldb::FamilyExists(connection, name.family);
  if (!family_exists.ok()) return family_exists.status();
  return *family_exists ? TableNotFound(name) : FamilyNotFound(name.family);
}

absl::Status BadCredentials() {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadCredentials,
                         "the writer is not known or the secret is not its own");
}

// Whether other definitions of the tables than those that were used could let it succeed.
bool MayBeStaleTable(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsInvalidArgument(status) || absl::IsInternal(status);
}

// The ledger entries that appending the statements makes.
std::vector<std::string> EntriesOf(const std::vector<std::string>& statements) {
  if (statements.size() == 1) return statements;
  std::vector<std::string> entries = {kBeginMarker};
  entries.insert(entries.end(), statements.begin(), statements.end());
  entries.push_back(kCommitMarker);
  return entries;
}

}  // namespace

Executive::Executive(Options options, ctldb::ConnectionPool* pool, ctldb::SchemaChanger* changer)
    : options_(std::move(options)), pool_(pool), changer_(changer) {}

absl::Status Executive::CheckRequestSize(size_t bytes) {
  if (bytes <= limits::kRequestMaxBytes) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kTooLarge,
      absl::StrCat("a request has at most ", limits::kRequestMaxBytes, " bytes, not ", bytes));
}

absl::Status Executive::CreateFamily(absl::string_view family, absl::Time deadline) {
  absl::StatusOr<std::string> name = NormalizeFamilyName("family", family);
  if (!name.ok()) return name.status();
  return WithRetries(deadline, [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<bool> exists = ctldb::FamilyExists(lease->get(), *name);
    if (!exists.ok()) return exists.status();
    if (*exists) return absl::OkStatus();
    absl::Status created = ctldb::CreateFamily(lease->get(), *name);
    if (created.ok()) LOG(INFO) << "event=family_created family=" << *name;
    return created;
  });
}

absl::StatusOr<int64_t> Executive::CreateTables(absl::Span<const TableSchema> tables,
                                                absl::Time deadline) {
  if (tables.empty()) {
    return InvalidField("tables", reason::kInvalidRequest, "there has to be at least one");
  }
  if (tables.size() > limits::kTablesPerRequest) {
    return InvalidField(
        "tables", reason::kTooLarge,
        absl::StrCat("a request has at most ", limits::kTablesPerRequest, ", not ", tables.size()));
  }
  absl::flat_hash_map<TableName, size_t> positions;
  for (size_t i = 0; i < tables.size(); ++i) {
    const auto [first, inserted] = positions.emplace(tables[i].name(), i);
    if (!inserted) {
      return InvalidField(absl::StrCat("tables[", i, "]"), reason::kInvalidRequest,
                          absl::StrCat("is the same table as tables[", first->second, "]"));
    }
  }
  // Only for the log, which names what is new.
  absl::flat_hash_set<TableName> existing;
  absl::Status read = WithRetries(deadline, [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    for (const TableSchema& table : tables) {
      absl::StatusOr<TableSchema> schema = ctldb::ReadTable(lease->get(), table.name());
      if (schema.ok()) {
        existing.insert(table.name());
      } else if (!absl::IsNotFound(schema.status())) {
        return schema.status();
      }
    }
    return absl::OkStatus();
  });
  if (!read.ok()) return read;

  absl::StatusOr<int64_t> sequence =
      WithRetries(deadline, [&] { return changer_->CreateTables(tables, deadline); });
  if (!sequence.ok()) return sequence;
  for (const TableSchema& table : tables) {
    if (*sequence == 0 || existing.contains(table.name())) continue;
    LOG(INFO) << "event=table_created family=" << table.name().family
              << " table=" << table.name().table << " sequence=" << *sequence;
  }
  return sequence;
}

absl::StatusOr<int64_t> Executive::AddFields(absl::string_view family, absl::string_view table,
                                             absl::Span<const Field> fields, absl::Time deadline) {
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  if (fields.empty()) {
    return InvalidField("fields", reason::kInvalidRequest, "there has to be at least one");
  }
  if (fields.size() > limits::kFieldsMax) {
    return InvalidField(
        "fields", reason::kInvalidSchema,
        absl::StrCat("a table has at most ", limits::kFieldsMax, " fields, not ", fields.size()));
  }
  std::vector<Field> added;
  absl::StatusOr<int64_t> sequence = WithRetries(deadline, [&]() -> absl::StatusOr<int64_t> {
    absl::Status refused;
    {
      absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
      if (!lease.ok()) return lease.status();
      absl::StatusOr<TableSchema> schema = ReadTable(*name, lease->get());
      if (!schema.ok()) return schema.status();
      refused = schema->WithFields(fields, &added).status();
    }
    // Before the changer begins anything, so that a request that is plainly wrong costs little.
    if (!refused.ok()) return refused;
    return changer_->AddFields(*name, fields, deadline);
  });
  // Even a change that failed here may have been made by another executive.
  tables_.Forget(*name);
  if (sequence.ok() && *sequence != 0) {
    LOG(INFO) << "event=fields_added family=" << name->family << " table=" << name->table
              << " fields="
              << absl::StrJoin(
                     added, ",",
                     [](std::string* out, const Field& field) { absl::StrAppend(out, field.name); })
              << " sequence=" << *sequence;
  }
  return sequence;
}

absl::StatusOr<TableSchema> Executive::GetTable(absl::string_view family, absl::string_view table,
                                                absl::Time deadline) {
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  return WithRetries(deadline, [&]() -> absl::StatusOr<TableSchema> {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<std::shared_ptr<const TableSchema>> schema =
        FindTable(*name, /*reload=*/true, lease->get());
    if (!schema.ok()) return schema.status();
    return **schema;
  });
}

absl::StatusOr<std::vector<TableSchema>> Executive::ListTables(absl::string_view family,
                                                               absl::Time deadline) {
  std::string name;
  if (!family.empty()) {
    absl::StatusOr<std::string> normalized = NormalizeFamilyName("family", family);
    if (!normalized.ok()) return normalized.status();
    name = *std::move(normalized);
  }
  return WithRetries(deadline, [&]() -> absl::StatusOr<std::vector<TableSchema>> {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    if (!name.empty()) {
      absl::StatusOr<bool> exists = ctldb::FamilyExists(lease->get(), name);
      if (!exists.ok()) return exists.status();
      if (!*exists) return FamilyNotFound(name);
    }
    return ctldb::ReadTables(lease->get(), name);
  });
}

absl::StatusOr<std::vector<std::string>> Executive::ListFamilies(absl::Time deadline) {
  return WithRetries(deadline, [&]() -> absl::StatusOr<std::vector<std::string>> {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    return ctldb::ListFamilies(lease->get());
  });
}

absl::Status Executive::RegisterWriter(absl::string_view writer, absl::string_view secret,
                                       absl::Time deadline) {
  absl::Status valid = CheckWriterName("writer", writer);
  if (!valid.ok()) return valid;
  valid = CheckWriterSecret("secret", secret);
  if (!valid.ok()) return valid;
  const std::string hash = GoSecretHash(secret);
  return WithRetries(deadline, [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<bool> added = ctldb::AddWriter(lease->get(), writer, hash);
    if (!added.ok()) return added.status();
    if (*added) {
      LOG(INFO) << "event=writer_registered writer=\"" << absl::Utf8SafeCEscape(writer) << "\"";
      return absl::OkStatus();
    }
    absl::StatusOr<absl::optional<ctldb::Writer>> existing =
        ctldb::ReadWriter(lease->get(), writer);
    if (!existing.ok()) return existing.status();
    if (existing->has_value()) {
      const absl::StatusOr<bool> right = SecretMatches(secret, (*existing)->secret_hash);
      if (!right.ok() || *right) return right.status();
    }
    return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kWriterDiffers,
                           "the writer exists with another secret");
  });
}

absl::StatusOr<ctldb::Writer> Executive::Authenticate(const Credentials& credentials,
                                                      ctldb::Connection* connection) {
  // No writer has a name that breaks the rules.
  if (!CheckWriterName("writer", credentials.writer).ok()) return BadCredentials();
  absl::StatusOr<absl::optional<ctldb::Writer>> writer =
      ctldb::ReadWriter(connection, credentials.writer);
  if (!writer.ok()) return writer.status();
  const absl::StatusOr<bool> right =
      SecretMatches(credentials.secret, writer->has_value() ? (*writer)->secret_hash : "");
  if (!right.ok()) return right.status();
  if (!*right) return BadCredentials();
  return **std::move(writer);
}

absl::StatusOr<std::string> Executive::GetCookie(const Credentials& credentials,
                                                 absl::Time deadline) {
  return WithRetries(deadline, [&]() -> absl::StatusOr<std::string> {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<ctldb::Writer> writer = Authenticate(credentials, lease->get());
    if (!writer.ok()) return writer.status();
    return std::move(writer->cookie);
  });
}

absl::Status Executive::SetCookie(const Credentials& credentials, absl::string_view cookie,
                                  absl::Time deadline) {
  if (cookie.size() > limits::kCookieMaxBytes) {
    return InvalidField("cookie", reason::kTooLarge,
                        absl::StrCat("a cookie has at most ", limits::kCookieMaxBytes,
                                     " bytes, not ", cookie.size()));
  }
  return WithRetries(deadline, [&]() -> absl::Status {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<ctldb::Writer> writer = Authenticate(credentials, lease->get());
    if (!writer.ok()) return writer.status();
    return ctldb::WriteCookie(lease->get(), credentials.writer, cookie);
  });
}

absl::StatusOr<int64_t> Executive::Mutate(const Credentials& credentials,
                                          const MutateRequest& request, absl::Time deadline) {
  absl::Status valid = CheckMutateRequest(request);
  if (!valid.ok()) return valid;
  return WithRetries(deadline, [&] { return TryMutate(credentials, request, deadline); });
}

absl::StatusOr<std::shared_ptr<const TableSchema>> Executive::FindTable(
    const TableName& name, bool reload, ctldb::Connection* connection) {
  if (!reload) {
    std::shared_ptr<const TableSchema> known = tables_.Find(name);
    if (known != nullptr) return known;
  }
  const int64_t version = tables_.version();
  absl::StatusOr<TableSchema> schema = ReadTable(name, connection);
  if (absl::IsNotFound(schema.status())) tables_.Forget(name);
  if (!schema.ok()) return schema.status();
  return tables_.Put(*std::move(schema), version);
}

absl::StatusOr<MutationPlan> Executive::Plan(const MutateRequest& request, bool reload,
                                             ctldb::Connection* connection) {
  return MutationPlan::Create(
      request, [&](const TableName& name) { return FindTable(name, reload, connection); });
}

absl::StatusOr<int64_t> Executive::TryMutate(const Credentials& credentials,
                                             const MutateRequest& request, absl::Time deadline) {
  bool reloaded = false;
  const auto plan_again = [&](ctldb::Connection* connection) {
    reloaded = true;
    return Plan(request, /*reload=*/true, connection);
  };

  absl::StatusOr<MutationPlan> plan = [&]() -> absl::StatusOr<MutationPlan> {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    absl::StatusOr<ctldb::Writer> writer = Authenticate(credentials, lease->get());
    if (!writer.ok()) return writer.status();
    absl::StatusOr<MutationPlan> known = Plan(request, /*reload=*/false, lease->get());
    // What is wrong for the definition in the cache may be right for the one in the ctldb.
    return absl::IsInvalidArgument(known.status()) ? plan_again(lease->get()) : std::move(known);
  }();
  if (!plan.ok()) return plan.status();
  absl::StatusOr<int64_t> sequence = Commit(*plan, credentials.writer, deadline);
  if (reloaded || !MayBeStaleTable(sequence.status())) return sequence;

  absl::StatusOr<MutationPlan> new_plan = [&]() -> absl::StatusOr<MutationPlan> {
    absl::StatusOr<Lease> lease = pool_->Acquire(deadline);
    if (!lease.ok()) return lease.status();
    return plan_again(lease->get());
  }();
  if (!new_plan.ok()) return new_plan.status();
  const bool same =
      std::equal(plan->tables().begin(), plan->tables().end(), new_plan->tables().begin(),
                 new_plan->tables().end(),
                 [](const auto& before, const auto& after) { return *before == *after; });
  if (same) return sequence;
  return Commit(*new_plan, credentials.writer, deadline);
}

absl::StatusOr<ctldb::LedgerTransaction> Executive::BeginLedger(absl::Time deadline,
                                                                absl::optional<Lease>* lease) {
  for (int i = 0; i < kMaxCompletions; ++i) {
    absl::StatusOr<Lease> acquired = pool_->Acquire(deadline);
    if (!acquired.ok()) return acquired.status();
    lease->emplace(*std::move(acquired));
    if (absl::Now() >= deadline) return DeadlineStatus();
    {
      absl::StatusOr<ctldb::LedgerTransaction> transaction =
          ctldb::LedgerTransaction::Begin((*lease)->get());
      if (!transaction.ok() || !transaction->schema_change_pending()) return transaction;
    }
    // The changer takes connections of its own; whoever kept one while waiting for another could
    // wait for good.
    lease->reset();
    absl::Status completed = changer_->CompletePending(deadline);
    if (!completed.ok()) return completed;
  }
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy,
                         "schema changes came one after the other; nothing was changed");
}

absl::StatusOr<int64_t> Executive::Commit(const MutationPlan& plan, absl::string_view writer,
                                          absl::Time deadline) {
  int64_t before = 0;
  absl::StatusOr<int64_t> sequence = 0;
  absl::Status committed;
  {
    absl::optional<Lease> lease;
    absl::StatusOr<ctldb::LedgerTransaction> transaction = BeginLedger(deadline, &lease);
    if (!transaction.ok()) return transaction.status();
    // The wait for the lock may have taken all the time there was.
    if (absl::Now() >= deadline) return DeadlineStatus();
    before = transaction->last_sequence();
    sequence = plan.Apply(writer, lease->get(), &*transaction);
    if (!sequence.ok()) return sequence;
    if (absl::Now() >= deadline) return DeadlineStatus();
    committed = transaction->Commit();
  }
  if (committed.ok()) return sequence;
  if (!HasReason(committed, reason::kOutcomeUnknown)) return committed;

  absl::StatusOr<bool> applied = IsCommitted(plan, before, deadline);
  if (!applied.ok()) {
    LOG(WARNING) << "event=commit_outcome_unknown sequence=" << *sequence << " error=\""
                 << applied.status().message() << "\"";
    return committed;
  }
  LOG(WARNING) << "event=commit_outcome_found sequence=" << *sequence
               << " committed=" << (*applied ? "true" : "false");
  if (*applied) return sequence;
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable,
                         "the connection to the ctldb broke before the commit; nothing was "
                         "changed");
}

absl::StatusOr<bool> Executive::IsCommitted(const MutationPlan& plan, int64_t before,
                                            absl::Time deadline) {
  const std::vector<std::string> expected = EntriesOf(plan.statements());
  const absl::Time until = std::min(deadline, absl::Now() + options_.outcome_timeout);
  Backoff backoff(kFirstRetryWait, kMaxRetryWait);
  while (true) {
    const absl::StatusOr<bool> applied = [&]() -> absl::StatusOr<bool> {
      absl::StatusOr<Lease> lease = pool_->Acquire(until);
      if (!lease.ok()) return lease.status();
      // The lost connection's transaction may still be going on in the database. It holds the
      // ledger lock to its end, so with the lock its outcome is known.
      absl::StatusOr<ctldb::LedgerTransaction> transaction =
          ctldb::LedgerTransaction::Begin(lease->get());
      if (!transaction.ok()) return transaction.status();
      if (transaction->last_sequence() <= before) return false;
      ctldb::LedgerReader reader(options_.ctldb, options_.connection);
      absl::StatusOr<std::vector<LedgerEntry>> entries =
          reader.ReadAfter(before, expected.size(), std::numeric_limits<size_t>::max());
      if (!entries.ok()) return entries.status();
      return std::equal(entries->begin(), entries->end(), expected.begin(), expected.end(),
                        [](const LedgerEntry& entry, const std::string& statement) {
                          return entry.statement == statement;
                        });
    }();
    if (applied.ok()) return applied;
    const absl::Duration wait = backoff.Next();
    if (absl::Now() + wait >= until) return applied;
    absl::SleepFor(wait);
  }
}

}  // namespace ctlstore::executive
