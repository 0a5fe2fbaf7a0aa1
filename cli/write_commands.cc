#include "cli/write_commands.h"

#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "cli/command_result.h"
#include "cli/executive_client.h"
#include "cli/exit_status.h"
#include "cli/import/source_file.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/value_text.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

// JSON takes more room than the request that it describes, which has 1 MiB at most.
constexpr size_t kMaxInputBytes = size_t{16} << 20;

absl::Status Send(ExecutiveClient* client, const v1::MutateRequest& request) {
  absl::StatusOr<int64_t> sequence = client->Mutate(request);
  if (!sequence.ok()) return sequence.status();
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"sequence", *sequence}})) << "\n";
  } else {
    std::cout << "written at sequence " << *sequence << "\n";
  }
  return absl::OkStatus();
}

absl::Status SetValue(const Field& field, absl::string_view text, v1::Mutation* mutation) {
  absl::StatusOr<Value> value = ParseValueText(field.name, field.type, text);
  if (!value.ok()) return value.status();
  rpc::ToProto(*value, &(*mutation->mutable_values())[field.name]);
  return absl::OkStatus();
}

absl::Status Put(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::StatusOr<ExecutiveClient::Options> options = WriterOptionsFromFlags();
  if (!options.ok()) return options.status();
  ExecutiveClient client(*std::move(options));
  absl::StatusOr<TableSchema> schema = client.GetTable(*name);
  if (!schema.ok()) return schema.status();

  v1::MutateRequest request;
  request.set_family(name->family);
  v1::Mutation* mutation = request.add_mutations();
  mutation->set_table(name->table);
  for (size_t i = 2; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    if (equals == std::string::npos) {
      return UsageError(absl::StrCat("'", arguments[i], "' is not of the form field=value"));
    }
    const std::string field = absl::AsciiStrToLower(arguments[i].substr(0, equals));
    const absl::optional<size_t> position = schema->FindField(field);
    if (!position.has_value()) {
      return InvalidField(
          field, reason::kUnknownField,
          absl::StrCat("the table ", name->family, ".", name->table, " has no such field"));
    }
    if (mutation->values().contains(field)) {
      return UsageError(absl::StrCat("the field ", field, " is given twice"));
    }
    absl::Status set =
        SetValue(schema->fields()[*position], arguments[i].substr(equals + 1), mutation);
    if (!set.ok()) return set;
  }
  return Send(&client, request);
}

absl::Status Delete(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::StatusOr<ExecutiveClient::Options> options = WriterOptionsFromFlags();
  if (!options.ok()) return options.status();
  ExecutiveClient client(*std::move(options));
  absl::StatusOr<TableSchema> schema = client.GetTable(*name);
  if (!schema.ok()) return schema.status();
  const size_t key_size = schema->key_positions().size();
  if (arguments.size() - 2 != key_size) {
    return InvalidField(
        "key", reason::kInvalidKey,
        absl::StrCat("the table's key has ", key_size, " fields, not ", arguments.size() - 2));
  }

  v1::MutateRequest request;
  request.set_family(name->family);
  v1::Mutation* mutation = request.add_mutations();
  mutation->set_table(name->table);
  mutation->set_delete_(true);
  for (size_t i = 0; i < key_size; ++i) {
    absl::Status set = SetValue(schema->key_field(i), arguments[2 + i], mutation);
    if (!set.ok()) return set;
  }
  return Send(&client, request);
}

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  absl::StatusOr<std::unique_ptr<SourceFile>> file = SourceFile::Open(path);
  if (!file.ok()) return file.status();
  std::string text(kMaxInputBytes + 1, '\0');
  absl::StatusOr<size_t> size = (*file)->Read(text.data(), text.size());
  if (!size.ok()) return size.status();
  if (*size > kMaxInputBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat((*file)->name(), " has more than ", kMaxInputBytes >> 20, " MiB"));
  }
  text.resize(*size);
  return text;
}

absl::Status Mutate(const Arguments& arguments) {
  absl::StatusOr<std::string> family = NormalizeFamilyName("family", arguments[0]);
  if (!family.ok()) return family.status();
  absl::StatusOr<ExecutiveClient::Options> options = WriterOptionsFromFlags();
  if (!options.ok()) return options.status();
  absl::StatusOr<std::string> input = ReadInput(arguments.size() > 1 ? arguments[1] : "-");
  if (!input.ok()) return input.status();

  std::string json = *std::move(input);
  if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(json), "[")) {
    json = absl::StrCat("{\"mutations\":", json, "}");
  }
  v1::MutateRequest request;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &request);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the input is not a MutateRequest in JSON, nor a list of its mutations: ",
                     absl::string_view(parsed.message().data(), parsed.message().size())));
  }
  if (!request.family().empty() && absl::AsciiStrToLower(request.family()) != *family) {
    return InvalidField("family", reason::kInvalidRequest,
                        "the input names another family than the command line");
  }
  request.set_family(*family);
  ExecutiveClient client(*std::move(options));
  return Send(&client, request);
}

}  // namespace

std::vector<Command> WriteCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "put";
    command.arguments = "FAMILY TABLE FIELD=VALUE...";
    command.summary = "Writes one row, in place of the one with the same key";
    command.description =
        "  ctlstore put geo countries code=NZ 'name=New Zealand' population=5124100\n\n"
        "The row is replaced as a whole: fields that are not given become null. Values\n"
        "have the types of the table's fields; bytes are written as 0x and hex digits,\n"
        "or as base64: and base64.\n\n"
        "Writing needs a writer and its secret: --writer and --writer_secret_file, or\n"
        "the variable CTLSTORE_WRITER_SECRET. Where the writer has used up its rows for\n"
        "now, or the executive has too much to do, nothing is written, the error says how\n"
        "long to wait, and the exit status is 5.";
    command.min_arguments = 3;
    command.max_arguments = Command::kAnyNumber;
    command.flags = WriterFlags();
    command.run = Returning(Put);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "delete";
    command.arguments = "FAMILY TABLE KEY...";
    command.summary = "Deletes the row with this key, if it is there";
    command.description =
        "  ctlstore delete geo countries NZ\n\n"
        "A key of several fields is given in the order of the table's key.";
    command.min_arguments = 3;
    command.max_arguments = Command::kAnyNumber;
    command.flags = WriterFlags();
    command.run = Returning(Delete);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "mutate";
    command.arguments = "FAMILY [FILE]";
    command.summary = "Applies up to 100 mutations together, from a file or standard input";
    command.description =
        "The input is JSON: a MutateRequest, which may hold a cookie to set and to check,\n"
        "or just a list of its mutations. All of them are applied, or none.\n\n"
        "  echo '[{\"table\": \"countries\",\n"
        "          \"values\": {\"code\": {\"text\": \"NZ\"}, \"population\": {\"integer\": "
        "5124100}}},\n"
        "         {\"table\": \"countries\", \"delete\": true,\n"
        "          \"values\": {\"code\": {\"text\": \"XX\"}}}]' | ctlstore mutate geo";
    command.min_arguments = 1;
    command.max_arguments = 2;
    command.flags = WriterFlags();
    command.run = Returning(Mutate);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
