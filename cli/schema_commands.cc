#include "cli/schema_commands.h"

#include <algorithm>
#include <iostream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/command_result.h"
#include "cli/confirmation.h"
#include "cli/executive_client.h"
#include "cli/exit_status.h"
#include "cli/field_list.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "common/schema/names.h"
#include "common/schema/table_schema.h"

ABSL_FLAG(std::string, fields, "",
          "The new table's fields, in order, as name:type,... The types are string (up to 191 "
          "characters), integer (64 bits), decimal (a double), text, binary and bytestring (bytes; "
          "up to 255 of them may be in a key).");

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

absl::Status CreateFamily(const Arguments& arguments) {
  absl::StatusOr<std::string> family = NormalizeFamilyName("family", arguments[0]);
  if (!family.ok()) return family.status();
  absl::Status created = ExecutiveClient(ExecutiveOptionsFromFlags()).CreateFamily(*family);
  if (!created.ok()) return created;
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"family", *family}})) << "\n";
  } else {
    std::cout << "family " << *family << " is there\n";
  }
  return absl::OkStatus();
}

absl::Status ListFamilies(const Arguments&) {
  absl::StatusOr<std::vector<std::string>> families =
      ExecutiveClient(ExecutiveOptionsFromFlags()).ListFamilies();
  if (!families.ok()) return families.status();
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json(*families)) << "\n";
    return absl::OkStatus();
  }
  for (const std::string& family : *families) std::cout << family << "\n";
  return absl::OkStatus();
}

void PrintChange(const TableName& name, absl::string_view what, int64_t sequence) {
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object(
                     {{"family", name.family}, {"table", name.table}, {"sequence", sequence}}))
              << "\n";
    return;
  }
  std::cout << name.family << "." << name.table << ": ";
  if (sequence == 0) {
    std::cout << "nothing to do, it was so already\n";
  } else {
    std::cout << what << " at sequence " << sequence << "\n";
  }
}

absl::Status CreateTable(const Arguments& arguments) {
  absl::StatusOr<std::vector<Field>> fields = ParseFieldList(absl::GetFlag(FLAGS_fields));
  if (!fields.ok()) return fields.status();
  if (fields->empty()) return UsageError("--fields=name:type,... says which fields the table has");
  const std::vector<std::string> key = ParseNameList(absl::GetFlag(FLAGS_key));
  if (key.empty()) return UsageError("--key=name,... says which fields are its key");
  absl::StatusOr<TableSchema> schema =
      TableSchema::Create(arguments[0], arguments[1], *std::move(fields), key);
  if (!schema.ok()) return schema.status();
  absl::StatusOr<int64_t> sequence =
      ExecutiveClient(ExecutiveOptionsFromFlags()).CreateTable(*schema);
  if (!sequence.ok()) return sequence.status();
  PrintChange(schema->name(), "created", *sequence);
  return absl::OkStatus();
}

absl::Status ShowTable(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::StatusOr<TableSchema> schema = ExecutiveClient(ExecutiveOptionsFromFlags()).GetTable(*name);
  if (!schema.ok()) return schema.status();
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(ToJson(*schema)) << "\n";
    return absl::OkStatus();
  }
  TextTable table({"FIELD", "TYPE", "KEY"}, &std::cout);
  const std::vector<size_t>& key = schema->key_positions();
  for (size_t i = 0; i < schema->fields().size(); ++i) {
    const Field& field = schema->fields()[i];
    const auto in_key = std::find(key.begin(), key.end(), i);
    table.AddRow({field.name, std::string(FieldTypeName(field.type)),
                  in_key == key.end() ? "" : absl::StrCat(in_key - key.begin() + 1)});
  }
  table.Finish();
  return absl::OkStatus();
}

absl::Status ListTables(const Arguments& arguments) {
  std::string family;
  if (!arguments.empty()) {
    absl::StatusOr<std::string> name = NormalizeFamilyName("family", arguments[0]);
    if (!name.ok()) return name.status();
    family = *std::move(name);
  }
  absl::StatusOr<std::vector<TableSchema>> tables =
      ExecutiveClient(ExecutiveOptionsFromFlags()).ListTables(family);
  if (!tables.ok()) return tables.status();
  if (absl::GetFlag(FLAGS_json)) {
    Json array = Json::array();
    for (const TableSchema& schema : *tables) array.push_back(ToJson(schema));
    std::cout << Compact(array) << "\n";
    return absl::OkStatus();
  }
  TextTable table({"FAMILY", "TABLE", "KEY", "FIELDS"}, &std::cout);
  for (const TableSchema& schema : *tables) {
    table.AddRow({schema.name().family, schema.name().table,
                  absl::StrJoin(schema.key_field_names(), ","),
                  absl::StrCat(schema.fields().size())});
  }
  table.Finish();
  return absl::OkStatus();
}

absl::Status AddFields(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  std::vector<Field> fields;
  for (size_t i = 2; i < arguments.size(); ++i) {
    absl::StatusOr<std::vector<Field>> some = ParseFieldList(arguments[i]);
    if (!some.ok()) return some.status();
    fields.insert(fields.end(), some->begin(), some->end());
  }
  absl::StatusOr<int64_t> sequence =
      ExecutiveClient(ExecutiveOptionsFromFlags()).AddFields(*name, fields);
  if (!sequence.ok()) return sequence.status();
  PrintChange(*name, "fields added", *sequence);
  return absl::OkStatus();
}

absl::Status DropTable(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::Status confirmed = Confirm(absl::StrCat("drops the table ", name->family, ".", name->table,
                                                " with all its rows, on every host"));
  if (!confirmed.ok()) return confirmed;
  absl::StatusOr<int64_t> sequence = ExecutiveClient(ExecutiveOptionsFromFlags()).DropTable(*name);
  if (!sequence.ok()) return sequence.status();
  PrintChange(*name, "dropped", *sequence);
  return absl::OkStatus();
}

absl::Status ClearTable(const Arguments& arguments) {
  absl::StatusOr<TableName> name = NormalizeName(arguments[0], arguments[1]);
  if (!name.ok()) return name.status();
  absl::Status confirmed = Confirm(absl::StrCat("deletes all rows of the table ", name->family, ".",
                                                name->table, ", on every host"));
  if (!confirmed.ok()) return confirmed;
  absl::StatusOr<int64_t> sequence = ExecutiveClient(ExecutiveOptionsFromFlags()).ClearTable(*name);
  if (!sequence.ok()) return sequence.status();
  PrintChange(*name, "cleared", *sequence);
  return absl::OkStatus();
}

absl::Status ClearFamily(const Arguments& arguments) {
  absl::StatusOr<std::string> family = NormalizeFamilyName("family", arguments[0]);
  if (!family.ok()) return family.status();
  absl::Status confirmed = Confirm(
      absl::StrCat("deletes all rows of all tables of the family ", *family, ", on every host"));
  if (!confirmed.ok()) return confirmed;
  absl::StatusOr<int64_t> sequence =
      ExecutiveClient(ExecutiveOptionsFromFlags()).ClearFamily(*family);
  if (!sequence.ok()) return sequence.status();
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"family", *family}, {"sequence", *sequence}})) << "\n";
  } else if (*sequence == 0) {
    std::cout << "family " << *family << ": nothing to do, it has no tables\n";
  } else {
    std::cout << "family " << *family << ": cleared at sequence " << *sequence << "\n";
  }
  return absl::OkStatus();
}

constexpr char kDestructiveDescription[] =
    "Asks first, unless --yes is set; without a terminal to ask at, --yes is needed.\n"
    "Only where the executive allows destructive changes (exit status 4 otherwise).";

}  // namespace

std::vector<Command> SchemaCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "family create";
    command.arguments = "NAME";
    command.summary = "Creates a family of tables, if it is not there";
    command.description = "A name has 3 to 30 characters: a-z, 0-9 and _, beginning with a letter.";
    command.min_arguments = command.max_arguments = 1;
    command.flags = ExecutiveFlags();
    command.run = Returning(CreateFamily);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "family list";
    command.summary = "Lists all families";
    command.flags = ExecutiveFlags();
    command.run = Returning(ListFamilies);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "table create";
    command.arguments = "FAMILY TABLE --fields=NAME:TYPE,... --key=NAME,...";
    command.summary = "Creates a table, if it is not there";
    command.description =
        "  ctlstore table create geo countries \\\n"
        "      --fields=code:string,name:text,population:integer --key=code\n\n"
        "A table that is there with another definition is refused (exit status 4).\n"
        "Fields of the types string, integer and bytestring may be in the key.";
    command.min_arguments = command.max_arguments = 2;
    command.flags = Joined(ExecutiveFlags(), {"fields", "key"});
    command.run = Returning(CreateTable);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "table show";
    command.arguments = "FAMILY TABLE";
    command.summary = "Shows a table's fields and key";
    command.min_arguments = command.max_arguments = 2;
    command.flags = ExecutiveFlags();
    command.run = Returning(ShowTable);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "table list";
    command.arguments = "[FAMILY]";
    command.summary = "Lists the tables of one or all families";
    command.max_arguments = 1;
    command.flags = ExecutiveFlags();
    command.run = Returning(ListTables);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "fields add";
    command.arguments = "FAMILY TABLE NAME:TYPE...";
    command.summary = "Adds fields to a table";
    command.description =
        "Rows that are there hold null in them. Fields that are there with the same\n"
        "type are left as they are; with another type, nothing is added (exit status 4).";
    command.min_arguments = 3;
    command.max_arguments = Command::kAnyNumber;
    command.flags = ExecutiveFlags();
    command.run = Returning(AddFields);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "table clear";
    command.arguments = "FAMILY TABLE";
    command.summary = "Deletes all rows of a table";
    command.description = kDestructiveDescription;
    command.min_arguments = command.max_arguments = 2;
    command.flags = Joined(ExecutiveFlags(), {"yes"});
    command.run = Returning(ClearTable);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "table drop";
    command.arguments = "FAMILY TABLE";
    command.summary = "Removes a table with all its rows";
    command.description =
        absl::StrCat("One of the same name can be created afterwards, with other fields.\n\n",
                     kDestructiveDescription);
    command.min_arguments = command.max_arguments = 2;
    command.flags = Joined(ExecutiveFlags(), {"yes"});
    command.run = Returning(DropTable);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "family clear";
    command.arguments = "FAMILY";
    command.summary = "Deletes all rows of all tables of a family, at once";
    command.description = kDestructiveDescription;
    command.min_arguments = command.max_arguments = 1;
    command.flags = Joined(ExecutiveFlags(), {"yes"});
    command.run = Returning(ClearFamily);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
