#include "cli/import/importer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "cli/import/cell_conversion.h"
#include "cli/import/column_names.h"
#include "cli/import/type_inference.h"
#include "common/base/backoff.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::cli {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Seconds(5);

// A row has room for 85 strings beside its texts.
constexpr int kMostStrings = 80;

absl::Status WithPrefix(absl::string_view prefix, const absl::Status& status) {
  absl::Status result(status.code(), absl::StrCat(prefix, status.message()));
  status.ForEachPayload([&result](absl::string_view url, const absl::Cord& payload) {
    result.SetPayload(url, payload);
  });
  return result;
}

// The executive is well, and tells when to come back.
bool AsksToWait(const absl::Status& status) {
  return absl::IsResourceExhausted(status) && RetryDelay(status).has_value();
}

bool IsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// The request has more rows than its writer may change in a whole period.
bool HasTooManyRows(const absl::Status& status) {
  return ErrorReason(status) == std::string(reason::kRateLimited) && !AsksToWait(status);
}

// The position in "mutations[3].values.code", where the status names one.
absl::optional<size_t> RefusedMutation(const absl::Status& status) {
  const std::string field = ErrorField(status).value_or("");
  absl::string_view rest = field;
  size_t position = 0;
  if (!absl::ConsumePrefix(&rest, "mutations[")) return absl::nullopt;
  if (!absl::SimpleAtoi(rest.substr(0, rest.find(']')), &position)) return absl::nullopt;
  return position;
}

}  // namespace

struct Importer::Contents {
  std::vector<std::string> fields;
  std::vector<ColumnProfile> profiles;
  int64_t rows = 0;

  absl::optional<size_t> Find(const std::string& field) const {
    const auto found = std::find(fields.begin(), fields.end(), field);
    if (found == fields.end()) return absl::nullopt;
    return found - fields.begin();
  }
};

struct Importer::Batch {
  v1::MutateRequest request;
  size_t bytes = 0;
  // Of each mutation.
  std::vector<int64_t> lines;

  void Clear() {
    request.clear_mutations();
    bytes = 0;
    lines.clear();
  }
};

Importer::Importer(std::string file_name, RowSource* source, Executive* executive, Clock* clock,
                   Observer* observer, Options options)
    : file_name_(std::move(file_name)),
      source_(source),
      executive_(executive),
      clock_(clock),
      observer_(observer),
      options_(std::move(options)),
      batch_rows_(options_.max_batch_rows) {}

absl::Status Importer::AtLine(int64_t line, const absl::Status& status) const {
  return WithPrefix(absl::StrCat(file_name_, ":", line, ": "), status);
}

absl::StatusOr<Importer::Contents> Importer::ReadContents() {
  Contents contents;
  absl::Status read = source_->Read([&](const SourceRow& row) {
    if (!row.status.ok()) {
      return options_.skip_bad_rows ? absl::OkStatus() : AtLine(row.line, row.status);
    }
    ++contents.rows;
    for (const SourceRow::Item& item : row.items) {
      if (item.column >= contents.profiles.size()) contents.profiles.resize(item.column + 1);
      contents.profiles[item.column].Add(item.cell);
    }
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  absl::StatusOr<std::vector<std::string>> fields = FieldNamesForColumns(source_->columns());
  if (!fields.ok()) return WithPrefix(absl::StrCat(file_name_, ": "), fields.status());
  contents.fields = *std::move(fields);
  contents.profiles.resize(contents.fields.size());
  return contents;
}

absl::StatusOr<Importer::Plan> Importer::Prepare() {
  absl::StatusOr<TableSchema> table = executive_->GetTable(options_.name);
  if (!table.ok() && !absl::IsNotFound(table.status())) return table.status();
  if (!table.ok() && options_.key.empty()) {
    return WithPrefix("to create the table, name its key with --key: ", table.status());
  }
  absl::StatusOr<Contents> contents = ReadContents();
  if (!contents.ok()) return contents.status();
  return table.ok() ? PlanExistingTable(*table, *contents) : PlanNewTable(*contents);
}

// The fields that `columns` of the file become.
absl::StatusOr<std::vector<Field>> Importer::TypedFields(const Contents& contents,
                                                         const std::vector<size_t>& columns,
                                                         const std::vector<std::string>& key) {
  std::vector<Field> fields;
  std::vector<size_t> optional_strings;
  int strings = 0;
  for (const size_t column : columns) {
    const std::string& name = contents.fields[column];
    const bool in_key = std::find(key.begin(), key.end(), name) != key.end();
    const auto given = std::find_if(options_.types.begin(), options_.types.end(),
                                    [&](const Field& field) { return field.name == name; });
    const ColumnProfile& profile = contents.profiles[column];
    Field field{name, given != options_.types.end() ? given->type : profile.Type(in_key)};
    if (in_key && field.type == FieldType::kString &&
        profile.max_characters() > limits::kStringMaxCharacters) {
      return InvalidField(name, reason::kTooLarge,
                          absl::StrCat("a key holds at most ", limits::kStringMaxCharacters,
                                       " characters, the column has ", profile.max_characters()));
    }
    if (field.type == FieldType::kString) {
      ++strings;
      if (!in_key && given == options_.types.end()) optional_strings.push_back(fields.size());
    }
    fields.push_back(std::move(field));
  }
  if (strings > kMostStrings) {
    for (const size_t i : optional_strings) fields[i].type = FieldType::kText;
  }
  return fields;
}

absl::StatusOr<Importer::Plan> Importer::PlanNewTable(const Contents& contents) {
  if (contents.fields.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name_, ": without rows, nothing tells the fields of a new table"));
  }
  for (const std::string& name : options_.key) {
    if (contents.Find(name).has_value()) continue;
    return InvalidField("key", reason::kUnknownField,
                        absl::StrCat("the file has no column ", name, "; it has ",
                                     absl::StrJoin(contents.fields, ", ")));
  }
  for (const Field& field : options_.types) {
    if (contents.Find(field.name).has_value()) continue;
    return InvalidField("types", reason::kUnknownField,
                        absl::StrCat("the file has no column ", field.name));
  }
  std::vector<size_t> positions(contents.fields.size());
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = i;
  absl::StatusOr<std::vector<Field>> fields = TypedFields(contents, positions, options_.key);
  if (!fields.ok()) return fields.status();
  absl::StatusOr<TableSchema> schema = TableSchema::Create(
      options_.name.family, options_.name.table, *std::move(fields), options_.key);
  if (!schema.ok()) return schema.status();
  return Plan{*std::move(schema), /*create=*/true,      /*added=*/{},
              /*missing=*/{},     std::move(positions), contents.rows};
}

absl::StatusOr<Importer::Plan> Importer::PlanExistingTable(const TableSchema& table,
                                                           const Contents& contents) {
  if (!options_.key.empty() && options_.key != table.key_field_names()) {
    return ErrorWithReason(
        absl::StatusCode::kAlreadyExists, reason::kTableDiffers,
        absl::StrCat("the table's key is (", absl::StrJoin(table.key_field_names(), ", "),
                     "), wanted was (", absl::StrJoin(options_.key, ", "), ")"));
  }
  for (const Field& field : options_.types) {
    const absl::optional<size_t> position = table.FindField(field.name);
    if (position.has_value() && table.fields()[*position].type != field.type) {
      return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kFieldDiffers,
                             absl::StrCat("the table's field ", field.name, " is a ",
                                          FieldTypeName(table.fields()[*position].type),
                                          ", wanted was ", FieldTypeName(field.type)));
    }
    if (!position.has_value() && !contents.Find(field.name).has_value()) {
      return InvalidField("types", reason::kUnknownField,
                          absl::StrCat("neither the file nor the table has a column ", field.name));
    }
  }

  std::vector<size_t> unknown;
  std::vector<std::string> unknown_names;
  for (size_t i = 0; i < contents.fields.size(); ++i) {
    if (table.FindField(contents.fields[i]).has_value()) continue;
    unknown.push_back(i);
    unknown_names.push_back(contents.fields[i]);
  }
  if (!unknown.empty() && !options_.add_fields) {
    return InvalidField("columns", reason::kUnknownField,
                        absl::StrCat("the table has no field ", absl::StrJoin(unknown_names, ", "),
                                     "; --add_fields adds what it lacks"));
  }
  absl::StatusOr<std::vector<Field>> added = TypedFields(contents, unknown, {});
  if (!added.ok()) return added.status();
  std::vector<Field> really_added;
  absl::StatusOr<TableSchema> schema = table.WithFields(*added, &really_added);
  if (!schema.ok()) return schema.status();

  Plan plan{*std::move(schema), /*create=*/false, std::move(really_added), /*missing=*/{},
            /*positions=*/{},   contents.rows};
  for (const std::string& name : contents.fields) {
    plan.positions.push_back(*plan.schema.FindField(name));
  }
  for (const Field& field : table.fields()) {
    if (!contents.Find(field.name).has_value()) plan.missing.push_back(field.name);
  }
  return plan;
}

absl::StatusOr<Importer::Result> Importer::Run(const Plan& plan) {
  result_ = Result();
  if (plan.create) {
    absl::Status created =
        WithRetries([&] { return executive_->CreateFamily(options_.name.family); });
    if (!created.ok()) return created;
    created = WithRetries([&] {
      absl::StatusOr<int64_t> sequence = executive_->CreateTable(plan.schema);
      if (sequence.ok()) result_.sequence = *sequence;
      return sequence.status();
    });
    if (!created.ok()) return created;
  } else if (!plan.added.empty()) {
    absl::Status added = WithRetries([&] {
      absl::StatusOr<int64_t> sequence = executive_->AddFields(options_.name, plan.added);
      if (sequence.ok()) result_.sequence = *sequence;
      return sequence.status();
    });
    if (!added.ok()) return added;
  }

  Batch batch;
  batch.request.set_family(options_.name.family);
  absl::Status read =
      source_->Read([&](const SourceRow& row) { return AddRow(plan, row, &batch); });
  if (read.ok()) read = Flush(&batch);
  if (read.ok()) return result_;
  if (result_.rows_written == 0) return read;
  return absl::Status(WithPrefix(
      absl::StrCat("stopped after ", result_.rows_written, " rows were written: "), read));
}

absl::StatusOr<v1::Mutation> Importer::ConvertRow(const Plan& plan, const SourceRow& row) const {
  if (!row.status.ok()) return row.status;
  v1::Mutation mutation;
  mutation.set_table(options_.name.table);
  for (const SourceRow::Item& item : row.items) {
    if (item.column >= plan.positions.size()) {
      return absl::InvalidArgumentError("the file has changed: there is a new column");
    }
    const size_t position = plan.positions[item.column];
    const Field& field = plan.schema.fields()[position];
    absl::StatusOr<Value> value = ConvertCell(field, plan.schema.is_key(position), item.cell);
    if (!value.ok()) return value.status();
    if (!value->is_null()) rpc::ToProto(*value, &(*mutation.mutable_values())[field.name]);
  }
  for (const std::string& name : plan.schema.key_field_names()) {
    if (mutation.values().contains(name)) continue;
    return InvalidField(name, reason::kInvalidValue, "the row lacks this field of the key");
  }
  return mutation;
}

absl::Status Importer::BadRow(const absl::Status& why) {
  if (!options_.skip_bad_rows) return why;
  ++result_.bad_rows;
  observer_->OnBadRow(why);
  return absl::OkStatus();
}

absl::Status Importer::AddRow(const Plan& plan, const SourceRow& row, Batch* batch) {
  absl::StatusOr<v1::Mutation> mutation = ConvertRow(plan, row);
  if (!mutation.ok()) return BadRow(AtLine(row.line, mutation.status()));
  const size_t bytes = mutation->ByteSizeLong();
  if (!batch->lines.empty() &&
      (batch->lines.size() >= batch_rows_ || batch->bytes + bytes > options_.max_batch_bytes)) {
    absl::Status flushed = Flush(batch);
    if (!flushed.ok()) return flushed;
  }
  *batch->request.add_mutations() = *std::move(mutation);
  batch->bytes += bytes;
  batch->lines.push_back(row.line);
  return absl::OkStatus();
}

absl::Status Importer::Flush(Batch* batch) {
  if (batch->lines.empty()) return absl::OkStatus();
  absl::Status sent = Send(batch->request);
  if (HasTooManyRows(sent) && batch->lines.size() > 1) {
    sent = FlushHalves(batch);
  } else if (absl::IsInvalidArgument(sent)) {
    if (options_.skip_bad_rows) {
      sent = FlushOneByOne(batch);
    } else {
      const size_t refused = RefusedMutation(sent).value_or(0);
      sent = AtLine(batch->lines[std::min(refused, batch->lines.size() - 1)], sent);
    }
  }
  batch->Clear();
  return sent;
}

absl::Status Importer::FlushHalves(Batch* batch) {
  batch_rows_ = std::max<size_t>(1, batch->lines.size() / 2);
  Batch part;
  part.request.set_family(batch->request.family());
  for (size_t i = 0; i < batch->lines.size(); ++i) {
    if (part.lines.size() >= batch_rows_) {
      absl::Status flushed = Flush(&part);
      if (!flushed.ok()) return flushed;
    }
    part.request.add_mutations()->Swap(batch->request.mutable_mutations(static_cast<int>(i)));
    part.lines.push_back(batch->lines[i]);
  }
  return Flush(&part);
}

// Finds the rows that the executive refuses.
absl::Status Importer::FlushOneByOne(Batch* batch) {
  v1::MutateRequest request;
  request.set_family(batch->request.family());
  for (size_t i = 0; i < batch->lines.size(); ++i) {
    request.clear_mutations();
    request.add_mutations()->Swap(batch->request.mutable_mutations(static_cast<int>(i)));
    absl::Status sent = Send(request);
    if (absl::IsInvalidArgument(sent)) sent = BadRow(AtLine(batch->lines[i], sent));
    if (!sent.ok()) return sent;
  }
  return absl::OkStatus();
}

absl::Status Importer::Send(const v1::MutateRequest& request) {
  absl::Status sent = WithRetries([&] {
    absl::StatusOr<int64_t> sequence = executive_->Mutate(request);
    if (sequence.ok()) result_.sequence = *sequence;
    return sequence.status();
  });
  if (!sent.ok()) return sent;
  result_.rows_written += request.mutations_size();
  observer_->OnProgress(result_.rows_written);
  return absl::OkStatus();
}

// Every call of an import may be repeated without harm, also where its outcome is unknown.
absl::Status Importer::WithRetries(const std::function<absl::Status()>& call) {
  Backoff backoff(kFirstRetry, kLongestRetry);
  const absl::Time start = clock_->Now();
  while (true) {
    absl::Status status = call();
    if (!AsksToWait(status) && !IsAway(status)) return status;
    const absl::Duration wait =
        std::max(backoff.Next(), RetryDelay(status).value_or(absl::ZeroDuration()));
    const absl::Time now = clock_->Now();
    // What is asked for is waited in full, or not at all.
    if (AsksToWait(status) ? now + wait > start + options_.wait_for
                           : now >= start + options_.retry_for) {
      return status;
    }
    observer_->OnRetry(status, wait);
    clock_->SleepOrStop(wait, &never_);
  }
}

}  // namespace ctlstore::cli
