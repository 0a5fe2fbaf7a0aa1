#include "executive/mutation_plan.h"

#include <cstddef>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/ctldb/writers.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::executive {
namespace {

std::string MutationPath(size_t i) { return absl::StrCat("mutations[", i, "]"); }

absl::Status CheckCookieSize(absl::string_view field,
                             const absl::optional<absl::string_view>& cookie) {
  if (!cookie.has_value() || cookie->size() <= limits::kCookieMaxBytes) return absl::OkStatus();
  return InvalidField(field, reason::kTooLarge,
                      absl::StrCat("a cookie has at most ", limits::kCookieMaxBytes, " bytes, not ",
                                   cookie->size()));
}

absl::Status WriterGone() {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadCredentials,
                         "the writer is not there any more");
}

// The position of the field that the caller wrote as `name`.
absl::optional<size_t> FindField(const TableSchema& schema, absl::string_view name) {
  const absl::optional<size_t> position = schema.FindField(name);
  if (position.has_value()) return position;
  const absl::StatusOr<std::string> normalized = NormalizeFieldName("", name);
  return normalized.ok() ? schema.FindField(*normalized) : absl::nullopt;
}

// The mutation's values in table order, checked; null where it has none.
absl::StatusOr<std::vector<ValueView>> OrderValues(size_t i, const Mutation& mutation,
                                                   const TableSchema& schema) {
  std::vector<ValueView> row(schema.fields().size());
  std::vector<bool> given(schema.fields().size(), false);
  for (const auto& [name, value] : mutation.values) {
    const std::string value_path = MutationValuePath(i, name);
    const absl::optional<size_t> position = FindField(schema, name);
    if (!position.has_value()) {
      return InvalidField(value_path, reason::kUnknownField,
                          absl::StrCat("the table ", schema.name().table, " has no such field"));
    }
    if (given[*position]) {
      return InvalidField(value_path, reason::kInvalidRequest,
                          "the field has a value already, written with other capitals");
    }
    const bool is_key = schema.is_key(*position);
    if (mutation.remove && !is_key) {
      return InvalidField(value_path, reason::kInvalidKey,
                          "to delete a row takes its key fields and no others");
    }
    const FieldType type = schema.fields()[*position].type;
    const ValueView adapted = AdaptValue(type, value);
    absl::Status valid = CheckValue(value_path, type, /*nullable=*/!is_key, adapted);
    if (!valid.ok()) return valid;
    row[*position] = adapted;
    given[*position] = true;
  }
  for (size_t position : schema.key_positions()) {
    if (given[position]) continue;
    return InvalidField(MutationValuePath(i, schema.fields()[position].name), reason::kInvalidKey,
                        "the key field has no value");
  }
  return row;
}

}  // namespace

std::string MutationValuePath(size_t mutation, absl::string_view name) {
  constexpr size_t kShown = limits::kFieldNameMax;
  const std::string path = absl::StrCat(MutationPath(mutation), ".values.");
  if (name.size() <= kShown) return absl::StrCat(path, name);
  size_t end = kShown;
  // Not within a UTF-8 character.
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(path, name.substr(0, end), "...");
}

absl::Status CheckMutateRequest(const MutateRequest& request) {
  absl::Status family = NormalizeFamilyName("family", request.family).status();
  if (!family.ok()) return family;
  if (request.mutations.empty()) {
    return InvalidField("mutations", reason::kInvalidRequest, "there has to be at least one");
  }
  if (request.mutations.size() > limits::kMutationsPerRequest) {
    return InvalidField("mutations", reason::kTooLarge,
                        absl::StrCat("a request has at most ", limits::kMutationsPerRequest,
                                     ", not ", request.mutations.size()));
  }
  for (size_t i = 0; i < request.mutations.size(); ++i) {
    absl::Status table =
        NormalizeTableName(absl::StrCat(MutationPath(i), ".table"), request.mutations[i].table)
            .status();
    if (!table.ok()) return table;
  }
  absl::Status cookie = CheckCookieSize("cookie", request.cookie);
  if (!cookie.ok()) return cookie;
  return CheckCookieSize("check_cookie", request.check_cookie);
}

absl::StatusOr<MutationPlan> MutationPlan::Create(const MutateRequest& request,
                                                  TableFinder find_table) {
  absl::Status valid = CheckMutateRequest(request);
  if (!valid.ok()) return valid;
  absl::StatusOr<std::string> family = NormalizeFamilyName("family", request.family);
  if (!family.ok()) return family.status();

  MutationPlan plan;
  plan.cookie_ = request.cookie;
  plan.check_cookie_ = request.check_cookie;
  plan.steps_.reserve(request.mutations.size());
  plan.statements_.reserve(request.mutations.size());
  absl::flat_hash_map<std::string, const TableSchema*> tables;
  for (size_t i = 0; i < request.mutations.size(); ++i) {
    const Mutation& mutation = request.mutations[i];
    const std::string path = MutationPath(i);
    absl::StatusOr<std::string> table =
        NormalizeTableName(absl::StrCat(path, ".table"), mutation.table);
    if (!table.ok()) return table.status();
    const TableSchema*& schema = tables[*table];
    if (schema == nullptr) {
      absl::StatusOr<std::shared_ptr<const TableSchema>> found =
          find_table(TableName{*family, *table});
      if (!found.ok()) return found.status();
      schema = found->get();
      plan.tables_.push_back(*std::move(found));
    }

    absl::StatusOr<std::vector<ValueView>> row = OrderValues(i, mutation, *schema);
    if (!row.ok()) return row.status();
    Step step{schema, mutation.remove, {}};
    std::string statement;
    if (mutation.remove) {
      for (size_t position : schema->key_positions()) step.values.push_back((*row)[position]);
      statement = sql::DeleteStatement(*schema, step.values);
    } else {
      step.values = *std::move(row);
      statement = sql::UpsertStatement(*schema, step.values);
    }
    if (statement.size() > limits::kStatementMaxBytes) {
      return InvalidField(
          path, reason::kTooLarge,
          absl::StrCat("the row takes at most ", limits::kStatementMaxBytes,
                       " bytes as a ledger statement (where a byte of binary takes two), not ",
                       statement.size()));
    }
    plan.steps_.push_back(std::move(step));
    plan.statements_.push_back(std::move(statement));
  }
  return plan;
}

absl::StatusOr<int64_t> MutationPlan::Apply(absl::string_view writer, ctldb::Connection* connection,
                                            ctldb::LedgerTransaction* transaction) const {
  if (check_cookie_.has_value()) {
    absl::StatusOr<absl::optional<ctldb::Writer>> stored = ctldb::ReadWriter(connection, writer);
    if (!stored.ok()) return stored.status();
    if (!stored->has_value()) return WriterGone();
    if ((*stored)->cookie != *check_cookie_) {
      return ErrorWithReason(absl::StatusCode::kAborted, reason::kCookieMismatch,
                             "check_cookie is not the writer's cookie; nothing was changed");
    }
  }
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.remove) {
      transaction->Delete(*step.schema, step.values);
    } else {
      transaction->Upsert(*step.schema, step.values);
    }
    absl::Status status = transaction->Flush();
    if (absl::IsInvalidArgument(status) && !ErrorField(status).has_value()) {
      return InvalidField(MutationPath(i), ErrorReason(status).value_or(reason::kInvalidValue),
                          status.message());
    }
    if (!status.ok()) return status;
  }
  const int64_t sequence = transaction->Append(statements_);
  if (cookie_.has_value()) {
    absl::Status written = ctldb::WriteCookie(connection, writer, *cookie_);
    if (!written.ok()) return absl::IsNotFound(written) ? WriterGone() : written;
  }
  return sequence;
}

}  // namespace ctlstore::executive
