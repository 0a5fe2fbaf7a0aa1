#include "executive/executive.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/clear_tables.h"
#include "common/ctldb/writers.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "executive/audit.h"
#include "executive/retries.h"
#include "executive/table_cache.h"
#include "executive/table_reader.h"

namespace ctlstore::executive {
namespace {

using Lease = ctldb::ConnectionPool::Lease;
using rpc::Caller;
using rpc::RequireRole;
using rpc::Role;

// How long the ctldb may take to tell its state.
constexpr absl::Duration kStateTimeout = absl::Seconds(2);

int64_t SequenceOf(const absl::Status&) { return 0; }
int64_t SequenceOf(const absl::StatusOr<int64_t>& sequence) {
  return sequence.ok() ? *sequence : 0;
}

}  // namespace

class Executive::Impl {
 public:
  Impl(const Options& options, const Parts& parts)
      : options(options),
        pool(parts.pool),
        changer(parts.changer),
        workers(parts.workers),
        metrics(parts.metrics),
        limits(options.limits, parts.pool, parts.clock, parts.metrics),
        limit_admin(parts.pool, &limits),
        authenticator(options.writers, parts.clock, parts.metrics),
        committer(options.commits, parts.pool, parts.changer, &tables, &limits, parts.metrics) {}

  // Calls `work` with a connection, again where the ctldb refuses it for the moment.
  template <typename Work>
  auto WithConnection(absl::Time deadline, Work work)
      -> decltype(work(std::declval<ctldb::Connection*>())) {
    return WithRetries(deadline, [&]() -> decltype(work(std::declval<ctldb::Connection*>())) {
      absl::StatusOr<Lease> lease = pool->Acquire(deadline);
      if (!lease.ok()) return Noted(lease.status());
      auto result = work(lease->get());
      static_cast<void>(Noted(StatusOf(result)));
      return result;
    });
  }

  // What an admin asks for: his right, the work, and the audit line.
  template <typename Work>
  auto Change(const Caller& caller, absl::string_view action, absl::string_view target, Work work)
      -> decltype(work()) {
    const absl::Status allowed = RequireRole(caller, Role::kAdmin);
    auto result = allowed.ok() ? work() : decltype(work())(allowed);
    const int64_t sequence = SequenceOf(result);
    if (sequence > 0 && options.commits.committed) options.commits.committed(sequence);
    Audit(caller, action, target, StatusOf(result), sequence);
    if (!StatusOf(result).ok()) metrics->Refused(StatusOf(result));
    return result;
  }

  absl::Status CheckDestructive() const {
    if (options.destructive_changes) return absl::OkStatus();
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kDestructiveDisabled,
                           "this executive does not remove tables or their rows as a whole; it is "
                           "to be started with --enable_destructive_changes for that");
  }

  absl::Status CreateFamily(absl::string_view family, absl::Time deadline);
  absl::StatusOr<int64_t> CreateTables(absl::Span<const TableSchema> tables, absl::Time deadline);
  absl::StatusOr<int64_t> AddFields(const TableName& name, absl::Span<const Field> fields,
                                    absl::Time deadline);

  // From the cache, or, where it is not there or `reload` is set, from the ctldb.
  absl::StatusOr<std::shared_ptr<const TableSchema>> FindTable(const TableName& name, bool reload,
                                                               ctldb::Connection* connection);

  // Plans the call's request with the definitions that are known and submits it. False, with
  // nothing done, where that is not to be decided without the ctldb.
  bool SubmitFromMemory(MutateCall* call);
  // The same with the ctldb's help; always ends with an answer.
  void SubmitWithCtldb(MutateCall* call);
  void Submit(MutateCall* call, MutationPlan plan, int64_t version);

  // Answers a call that does not get as far as the committer, which counts its refusals itself.
  void Refuse(const MutateCall& call, const absl::Status& status) {
    metrics->Refused(status);
    call.done(status);
  }

  // Counts an error of the ctldb.
  const absl::Status& Noted(const absl::Status& status) {
    if (MayRetry(status)) metrics->CtldbError(status);
    return status;
  }

  const Options options;
  ctldb::ConnectionPool* const pool;
  ctldb::SchemaChanger* const changer;
  WorkerPool* const workers;
  ExecutiveMetrics* const metrics;
  const absl::Time started_at = absl::Now();
  TableCache tables;
  LimitBook limits;
  LimitAdmin limit_admin;
  WriterAuthenticator authenticator;
  GroupCommitter committer;
  absl::Mutex state_mutex;
  int64_t last_sequence ABSL_GUARDED_BY(state_mutex) = 0;
  int64_t ledger_rows ABSL_GUARDED_BY(state_mutex) = 0;
};

Executive::Executive(const Options& options, const Parts& parts)
    : impl_(std::make_unique<Impl>(options, parts)) {
  parts.metrics->SetQueueCapacity(options.commits.max_queue_requests,
                                  options.commits.max_queue_bytes);
}

Executive::~Executive() { impl_->committer.Shutdown(); }

absl::Status Executive::LoadLimits(absl::Time deadline) { return impl_->limits.Refresh(deadline); }

absl::Status Executive::CheckRequestSize(size_t bytes) {
  if (bytes <= limits::kRequestMaxBytes) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, reason::kTooLarge,
      absl::StrCat("a request has at most ", limits::kRequestMaxBytes, " bytes, not ", bytes));
}

absl::Status Executive::CreateFamily(const Caller& caller, absl::string_view family,
                                     absl::Time deadline) {
  return impl_->Change(caller, "create_family", family,
                       [&] { return impl_->CreateFamily(family, deadline); });
}

absl::Status Executive::Impl::CreateFamily(absl::string_view family, absl::Time deadline) {
  absl::StatusOr<std::string> name = NormalizeFamilyName("family", family);
  if (!name.ok()) return name.status();
  return WithConnection(deadline, [&](ctldb::Connection* connection) -> absl::Status {
    absl::StatusOr<bool> exists = ctldb::FamilyExists(connection, *name);
    if (!exists.ok()) return exists.status();
    return *exists ? absl::OkStatus() : ctldb::CreateFamily(connection, *name);
  });
}

absl::StatusOr<int64_t> Executive::CreateTables(const Caller& caller,
                                                absl::Span<const TableSchema> tables,
                                                absl::Time deadline) {
  const std::string names = absl::StrJoin(tables, ",", [](std::string* out, const TableSchema& t) {
    absl::StrAppend(out, t.name().family, ".", t.name().table);
  });
  return impl_->Change(caller, "create_tables", names,
                       [&] { return impl_->CreateTables(tables, deadline); });
}

absl::StatusOr<int64_t> Executive::Impl::CreateTables(absl::Span<const TableSchema> tables,
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
  return WithRetries(deadline, [&] { return changer->CreateTables(tables, deadline); });
}

absl::StatusOr<int64_t> Executive::AddFields(const Caller& caller, absl::string_view family,
                                             absl::string_view table,
                                             absl::Span<const Field> fields, absl::Time deadline) {
  const std::string target =
      absl::StrCat(family, ".", table, ": ",
                   absl::StrJoin(fields, ",", [](std::string* out, const Field& field) {
                     absl::StrAppend(out, field.name);
                   }));
  return impl_->Change(caller, "add_fields", target, [&]() -> absl::StatusOr<int64_t> {
    absl::StatusOr<TableName> name = NormalizeName(family, table);
    if (!name.ok()) return name.status();
    return impl_->AddFields(*name, fields, deadline);
  });
}

absl::StatusOr<int64_t> Executive::Impl::AddFields(const TableName& name,
                                                   absl::Span<const Field> fields,
                                                   absl::Time deadline) {
  if (fields.empty()) {
    return InvalidField("fields", reason::kInvalidRequest, "there has to be at least one");
  }
  if (fields.size() > limits::kFieldsMax) {
    return InvalidField(
        "fields", reason::kInvalidSchema,
        absl::StrCat("a table has at most ", limits::kFieldsMax, " fields, not ", fields.size()));
  }
  // Before the changer begins anything, so that a request that is plainly wrong costs little.
  absl::Status possible =
      WithConnection(deadline, [&](ctldb::Connection* connection) -> absl::Status {
        absl::StatusOr<TableSchema> schema = ReadTable(name, connection);
        if (!schema.ok()) return schema.status();
        std::vector<Field> added;
        return schema->WithFields(fields, &added).status();
      });
  if (!possible.ok()) return possible;
  absl::StatusOr<int64_t> sequence =
      WithRetries(deadline, [&] { return changer->AddFields(name, fields, deadline); });
  // Even a change that failed here may have been made by another executive.
  tables.Forget(name);
  return sequence;
}

absl::StatusOr<int64_t> Executive::DropTable(const Caller& caller, absl::string_view family,
                                             absl::string_view table, absl::Time deadline) {
  return impl_->Change(
      caller, "drop_table", absl::StrCat(family, ".", table), [&]() -> absl::StatusOr<int64_t> {
        absl::StatusOr<TableName> name = NormalizeName(family, table);
        if (!name.ok()) return name.status();
        absl::Status allowed = impl_->CheckDestructive();
        if (!allowed.ok()) return allowed;
        absl::StatusOr<int64_t> sequence =
            WithRetries(deadline, [&] { return impl_->changer->DropTable(*name, deadline); });
        impl_->tables.Forget(*name);
        return sequence;
      });
}

absl::StatusOr<int64_t> Executive::ClearTable(const Caller& caller, absl::string_view family,
                                              absl::string_view table, absl::Time deadline) {
  return impl_->Change(caller, "clear_table", absl::StrCat(family, ".", table),
                       [&]() -> absl::StatusOr<int64_t> {
                         absl::StatusOr<TableName> name = NormalizeName(family, table);
                         if (!name.ok()) return name.status();
                         absl::Status allowed = impl_->CheckDestructive();
                         if (!allowed.ok()) return allowed;
                         return WithRetries(deadline, [&] {
                           return ctldb::ClearTable(impl_->pool, impl_->changer, *name, deadline);
                         });
                       });
}

absl::StatusOr<int64_t> Executive::ClearFamily(const Caller& caller, absl::string_view family,
                                               absl::Time deadline) {
  return impl_->Change(caller, "clear_family", family, [&]() -> absl::StatusOr<int64_t> {
    absl::StatusOr<std::string> name = NormalizeFamilyName("family", family);
    if (!name.ok()) return name.status();
    absl::Status allowed = impl_->CheckDestructive();
    if (!allowed.ok()) return allowed;
    return WithRetries(
        deadline, [&] { return ctldb::ClearFamily(impl_->pool, impl_->changer, *name, deadline); });
  });
}

absl::StatusOr<TableSchema> Executive::GetTable(const Caller& caller, absl::string_view family,
                                                absl::string_view table, absl::Time deadline) {
  absl::Status allowed = RequireRole(caller, Role::kReader);
  if (!allowed.ok()) return allowed;
  absl::StatusOr<TableName> name = NormalizeName(family, table);
  if (!name.ok()) return name.status();
  return impl_->WithConnection(
      deadline, [&](ctldb::Connection* connection) { return ReadTable(*name, connection); });
}

absl::StatusOr<std::vector<TableSchema>> Executive::ListTables(const Caller& caller,
                                                               absl::string_view family,
                                                               absl::Time deadline) {
  absl::Status allowed = RequireRole(caller, Role::kReader);
  if (!allowed.ok()) return allowed;
  std::string name;
  if (!family.empty()) {
    absl::StatusOr<std::string> normalized = NormalizeFamilyName("family", family);
    if (!normalized.ok()) return normalized.status();
    name = *std::move(normalized);
  }
  return impl_->WithConnection(
      deadline, [&](ctldb::Connection* connection) -> absl::StatusOr<std::vector<TableSchema>> {
        if (!name.empty()) {
          absl::Status exists = ctldb::CheckFamilyExists(connection, name);
          if (!exists.ok()) return exists;
        }
        return ctldb::ReadTables(connection, name);
      });
}

absl::StatusOr<std::vector<std::string>> Executive::ListFamilies(const Caller& caller,
                                                                 absl::Time deadline) {
  absl::Status allowed = RequireRole(caller, Role::kReader);
  if (!allowed.ok()) return allowed;
  return impl_->WithConnection(
      deadline, [&](ctldb::Connection* connection) { return ctldb::ListFamilies(connection); });
}

absl::StatusOr<TableLimits> Executive::ListTableLimits(const Caller& caller, absl::Time deadline) {
  absl::Status allowed = RequireRole(caller, Role::kReader);
  if (!allowed.ok()) return allowed;
  return WithRetries(deadline, [&] { return impl_->limit_admin.ListTableLimits(deadline); });
}

absl::Status Executive::SetTableLimit(const Caller& caller, absl::string_view family,
                                      absl::string_view table, const ctldb::TableSizeLimit& limit,
                                      absl::Time deadline) {
  return impl_->Change(
      caller, "set_table_limit",
      absl::StrCat(family, ".", table, ": warn=", limit.warn_bytes, " max=", limit.max_bytes), [&] {
        return WithRetries(deadline, [&] {
          return impl_->limit_admin.SetTableLimit(family, table, limit, deadline);
        });
      });
}

absl::Status Executive::DeleteTableLimit(const Caller& caller, absl::string_view family,
                                         absl::string_view table, absl::Time deadline) {
  return impl_->Change(caller, "delete_table_limit", absl::StrCat(family, ".", table), [&] {
    return WithRetries(
        deadline, [&] { return impl_->limit_admin.DeleteTableLimit(family, table, deadline); });
  });
}

absl::StatusOr<WriterLimits> Executive::ListWriterLimits(const Caller& caller,
                                                         absl::Time deadline) {
  absl::Status allowed = RequireRole(caller, Role::kReader);
  if (!allowed.ok()) return allowed;
  return WithRetries(deadline, [&] { return impl_->limit_admin.ListWriterLimits(deadline); });
}

absl::Status Executive::SetWriterLimit(const Caller& caller, absl::string_view writer,
                                       const RateLimit& limit, absl::Time deadline) {
  return impl_->Change(
      caller, "set_writer_limit",
      absl::StrCat(writer, ": rows=", limit.rows, " period=", absl::FormatDuration(limit.period)),
      [&] {
        return WithRetries(
            deadline, [&] { return impl_->limit_admin.SetWriterLimit(writer, limit, deadline); });
      });
}

absl::Status Executive::DeleteWriterLimit(const Caller& caller, absl::string_view writer,
                                          absl::Time deadline) {
  return impl_->Change(caller, "delete_writer_limit", writer, [&] {
    return WithRetries(deadline,
                       [&] { return impl_->limit_admin.DeleteWriterLimit(writer, deadline); });
  });
}

absl::Status Executive::RegisterWriter(const Caller& caller, const Credentials& writer,
                                       absl::Time deadline) {
  return impl_->Change(caller, "register_writer", writer.writer, [&]() -> absl::Status {
    absl::Status valid = CheckWriterName("writer", writer.writer);
    if (!valid.ok()) return valid;
    valid = CheckWriterSecret("secret", writer.secret);
    if (!valid.ok()) return valid;
    return impl_->WithConnection(deadline, [&](ctldb::Connection* connection) {
      bool added = false;
      return impl_->authenticator.Register(writer, caller.peer, connection, &added);
    });
  });
}

absl::Status Executive::CheckCtldb(absl::Time deadline) {
  absl::StatusOr<Lease> lease = impl_->pool->Acquire(deadline);
  if (!lease.ok()) return impl_->Noted(lease.status());
  absl::Status status =
      (*lease)->Query("SELECT 1", {}, [](absl::Span<const ValueView>) { return absl::OkStatus(); });
  impl_->metrics->SetConnections(impl_->pool->open_connections(), impl_->pool->max_connections());
  return impl_->Noted(status);
}

absl::StatusOr<Executive::State> Executive::GetState(const Caller& caller, absl::Time deadline) {
  absl::Status allowed = RequireRole(caller, Role::kReader);
  if (!allowed.ok()) return allowed;
  State state;
  int64_t first = 0;
  int64_t last = 0;
  state.ctldb = [&]() -> absl::Status {
    absl::StatusOr<Lease> lease =
        impl_->pool->Acquire(std::min(deadline, absl::Now() + kStateTimeout));
    if (!lease.ok()) return lease.status();
    return (*lease)->Query(
        "SELECT COALESCE(MIN(seq), 1), COALESCE(MAX(seq), 0) FROM ctlstore_dml_ledger", {},
        [&](absl::Span<const ValueView> row) {
          first = row[0].integer();
          last = row[1].integer();
          return absl::OkStatus();
        });
  }();
  {
    absl::MutexLock lock(&impl_->state_mutex);
    if (impl_->Noted(state.ctldb).ok()) {
      impl_->last_sequence = last;
      // Sequences have no gaps, but those that a Go executive left.
      impl_->ledger_rows = last - first + 1;
    }
    state.last_sequence = impl_->last_sequence;
    state.ledger_rows = impl_->ledger_rows;
  }
  state.queue_length = impl_->committer.queue_length();
  state.queue_capacity = impl_->committer.options().max_queue_requests;
  state.open_connections = impl_->pool->open_connections();
  state.max_connections = impl_->pool->max_connections();
  state.started_at = impl_->started_at;
  state.destructive_changes = impl_->options.destructive_changes;
  return state;
}

absl::StatusOr<std::string> Executive::GetCookie(const Credentials& credentials,
                                                 absl::string_view peer, absl::Time deadline) {
  return impl_->WithConnection(
      deadline, [&](ctldb::Connection* connection) -> absl::StatusOr<std::string> {
        absl::Status known = impl_->authenticator.Check(credentials, peer, connection);
        if (!known.ok()) return known;
        absl::StatusOr<absl::optional<ctldb::Writer>> writer =
            ctldb::ReadWriter(connection, credentials.writer);
        if (!writer.ok()) return writer.status();
        return writer->has_value() ? std::move((*writer)->cookie) : "";
      });
}

absl::Status Executive::SetCookie(const Credentials& credentials, absl::string_view peer,
                                  absl::string_view cookie, absl::Time deadline) {
  if (cookie.size() > limits::kCookieMaxBytes) {
    return InvalidField("cookie", reason::kTooLarge,
                        absl::StrCat("a cookie has at most ", limits::kCookieMaxBytes,
                                     " bytes, not ", cookie.size()));
  }
  return impl_->WithConnection(deadline, [&](ctldb::Connection* connection) -> absl::Status {
    absl::Status known = impl_->authenticator.Check(credentials, peer, connection);
    if (!known.ok()) return known;
    return ctldb::WriteCookie(connection, credentials.writer, cookie);
  });
}

absl::StatusOr<std::shared_ptr<const TableSchema>> Executive::Impl::FindTable(
    const TableName& name, bool reload, ctldb::Connection* connection) {
  if (!reload) {
    std::shared_ptr<const TableSchema> known = tables.Find(name);
    if (known != nullptr) return known;
  }
  const int64_t version = tables.version();
  absl::StatusOr<TableSchema> schema = ReadTable(name, connection);
  if (absl::IsNotFound(schema.status())) tables.Forget(name);
  if (!schema.ok()) return schema.status();
  return tables.Put(*std::move(schema), version);
}

void Executive::Impl::Submit(MutateCall* call, MutationPlan plan, int64_t version) {
  auto submission = std::make_unique<GroupCommitter::Submission>(GroupCommitter::Submission{
      std::move(call->credentials.writer), std::move(call->request), std::move(plan), version,
      call->deadline, std::move(call->cancelled), std::move(call->done)});
  committer.Submit(std::move(submission));
}

bool Executive::Impl::SubmitFromMemory(MutateCall* call) {
  if (!authenticator.IsRemembered(call->credentials)) return false;
  const int64_t version = tables.version();
  absl::StatusOr<MutationPlan> plan = MutationPlan::Create(
      call->request,
      [this](const TableName& name) -> absl::StatusOr<std::shared_ptr<const TableSchema>> {
        std::shared_ptr<const TableSchema> known = tables.Find(name);
        if (known == nullptr) return absl::NotFoundError("not in memory");
        return known;
      });
  // What is wrong for the definition in memory may be right for the one in the ctldb.
  if (!plan.ok()) return false;
  Submit(call, *std::move(plan), version);
  return true;
}

void Executive::Impl::SubmitWithCtldb(MutateCall* call) {
  int64_t version = 0;
  absl::StatusOr<MutationPlan> plan = WithConnection(
      call->deadline, [&](ctldb::Connection* connection) -> absl::StatusOr<MutationPlan> {
        absl::Status known = authenticator.Check(call->credentials, call->peer, connection);
        if (!known.ok()) return known;
        for (const bool reload : {false, true}) {
          version = tables.version();
          absl::StatusOr<MutationPlan> created = MutationPlan::Create(
              call->request,
              [&](const TableName& name) { return FindTable(name, reload, connection); });
          if (reload || !absl::IsInvalidArgument(created.status())) return created;
        }
        return absl::InternalError("not reached");
      });
  if (!plan.ok()) {
    Refuse(*call, plan.status());
    return;
  }
  Submit(call, *std::move(plan), version);
}

void Executive::StartMutate(MutateCall call) {
  absl::Status valid = CheckMutateRequest(call.request);
  if (!valid.ok()) {
    impl_->Refuse(call, valid);
    return;
  }
  if (impl_->SubmitFromMemory(&call)) return;
  auto shared = std::make_shared<MutateCall>(std::move(call));
  if (!impl_->workers->TrySubmit([this, shared] { impl_->SubmitWithCtldb(shared.get()); })) {
    impl_->Refuse(*shared, TooManyCalls());
  }
}

absl::StatusOr<int64_t> Executive::Mutate(const Credentials& credentials,
                                          const MutateRequest& request, absl::Time deadline) {
  absl::Notification answered;
  absl::StatusOr<int64_t> result;
  StartMutate(MutateCall{credentials, "", request, deadline, nullptr,
                         [&](absl::StatusOr<int64_t> sequence) {
                           result = std::move(sequence);
                           answered.Notify();
                         }});
  answered.WaitForNotification();
  return result;
}

}  // namespace ctlstore::executive
