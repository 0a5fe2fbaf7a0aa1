#include "executive/mutation_plan.h"

#include <algorithm>
#include <cstddef>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/base64.h"
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

// The position of the field that the caller wrote as `name`.
absl::optional<size_t> FindField(const TableSchema& schema, absl::string_view name) {
  const absl::optional<size_t> position = schema.FindField(name);
  if (position.has_value()) return position;
  const absl::StatusOr<std::string> normalized = NormalizeFieldName("", name);
  return normalized.ok() ? schema.FindField(*normalized) : absl::nullopt;
}

// The mutation's values in table order, checked; null where it has none. Where `decoded` is given,
// base64 for fields that hold bytes is decoded into it.
absl::StatusOr<std::vector<ValueView>> OrderValues(size_t i, const Mutation& mutation,
                                                   const TableSchema& schema,
                                                   std::forward_list<std::string>* decoded) {
  std::vector<ValueView> row(schema.fields().size());
  std::vector<bool> given(schema.fields().size(), false);
  for (const auto& [name, value] : mutation.values) {
    // Paths are made for errors only.
    const auto value_path = [i, name = name] { return MutationValuePath(i, name); };
    const absl::optional<size_t> position = FindField(schema, name);
    if (!position.has_value()) {
      return InvalidField(value_path(), reason::kUnknownField,
                          absl::StrCat("the table ", schema.name().table, " has no such field"));
    }
    if (given[*position]) {
      return InvalidField(value_path(), reason::kInvalidRequest,
                          "the field has a value already, written with other capitals");
    }
    const bool is_key = schema.is_key(*position);
    if (mutation.remove && !is_key) {
      return InvalidField(value_path(), reason::kInvalidKey,
                          "to delete a row takes its key fields and no others");
    }
    const FieldType type = schema.fields()[*position].type;
    ValueView adapted = AdaptValue(type, value);
    if (decoded != nullptr && KindOf(type) == ValueKind::kBytes &&
        adapted.kind() == ValueKind::kText) {
      absl::optional<std::string> bytes = DecodeBase64(adapted.data());
      if (!bytes.has_value()) {
        return InvalidField(value_path(), reason::kInvalidValue,
                            absl::StrCat("a ", FieldTypeName(type),
                                         " field takes base64 in the standard alphabet, with "
                                         "padding"));
      }
      decoded->push_front(*std::move(bytes));
      adapted = ValueView::Bytes(decoded->front());
    }
    if (!CheckValue("", type, /*nullable=*/!is_key, adapted).ok()) {
      return CheckValue(value_path(), type, /*nullable=*/!is_key, adapted);
    }
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

absl::Status CookieMismatch() {
  return ErrorWithReason(absl::StatusCode::kAborted, reason::kCookieMismatch,
                         "check_cookie is not the writer's cookie; nothing was changed");
}

absl::Status WriterGone() {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadCredentials,
                         "the writer is not there any more");
}

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
    const absl::string_view table = request.mutations[i].table;
    if (NormalizeTableName("", table).ok()) continue;
    return NormalizeTableName(absl::StrCat(MutationPath(i), ".table"), table).status();
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
  plan.bytes_ = request.cookie.value_or("").size();
  plan.steps_.reserve(request.mutations.size());
  plan.statements_.reserve(request.mutations.size());
  absl::flat_hash_map<std::string, const TableSchema*> tables;
  for (size_t i = 0; i < request.mutations.size(); ++i) {
    const Mutation& mutation = request.mutations[i];
    // Was checked above.
    absl::StatusOr<std::string> table = NormalizeTableName("", mutation.table);
    if (!table.ok()) return table.status();
    const TableSchema*& schema = tables[*table];
    if (schema == nullptr) {
      absl::StatusOr<std::shared_ptr<const TableSchema>> found =
          find_table(TableName{*family, *table});
      if (!found.ok()) return found.status();
      schema = found->get();
      plan.tables_.push_back(*std::move(found));
    }

    absl::StatusOr<std::vector<ValueView>> row =
        OrderValues(i, mutation, *schema, request.bytes_are_base64 ? &plan.decoded_ : nullptr);
    if (!row.ok()) return row.status();
    Step step{schema, mutation.remove, {}};
    std::string statement;
    if (mutation.remove) {
      for (size_t position : schema->key_positions()) step.values.push_back((*row)[position]);
      statement = sql::DeleteStatement(*schema, step.values);
    } else {
      step.values = *std::move(row);
      statement = sql::UpsertStatement(*schema, step.values);
      const auto& upserted = plan.upserted_tables_;
      if (std::find(upserted.begin(), upserted.end(), schema) == upserted.end()) {
        plan.upserted_tables_.push_back(schema);
      }
    }
    if (statement.size() > limits::kStatementMaxBytes) {
      return InvalidField(
          MutationPath(i), reason::kTooLarge,
          absl::StrCat("the row takes at most ", limits::kStatementMaxBytes,
                       " bytes as a ledger statement (where a byte of binary takes two), not ",
                       statement.size()));
    }
    plan.bytes_ += statement.size();
    plan.steps_.push_back(std::move(step));
    plan.statements_.push_back(std::move(statement));
  }
  return plan;
}

void MutationPlan::GatherStep(const Step& step, ctldb::LedgerTransaction* transaction) const {
  if (step.remove) {
    transaction->Delete(*step.schema, step.values);
  } else {
    transaction->Upsert(*step.schema, step.values);
  }
}

int64_t MutationPlan::Gather(ctldb::LedgerTransaction* transaction) const {
  for (const Step& step : steps_) GatherStep(step, transaction);
  return transaction->Append(statements_);
}

absl::StatusOr<int64_t> MutationPlan::Write(ctldb::LedgerTransaction* transaction) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    GatherStep(steps_[i], transaction);
    absl::Status status = transaction->Flush();
    if (absl::IsInvalidArgument(status) && !ErrorField(status).has_value()) {
      return InvalidField(MutationPath(i), ErrorReason(status).value_or(reason::kInvalidValue),
                          status.message());
    }
    if (!status.ok()) return status;
  }
  const int64_t sequence = transaction->Append(statements_);
  absl::Status appended = transaction->Flush();
  if (!appended.ok()) return appended;
  return sequence;
}

}  // namespace ctlstore::executive
