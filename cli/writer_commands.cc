#include "cli/writer_commands.h"

#include <termios.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/command_result.h"
#include "cli/executive_client.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/value_text.h"
#include "common/base/environment_flags.h"
#include "common/schema/names.h"
#include "common/schema/utf8.h"

ABSL_DECLARE_FLAG(std::string, writer_secret_file);

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

constexpr char kSecretVariable[] = "CTLSTORE_WRITER_SECRET";

// One line of standard input; from a terminal without showing it.
std::string ReadSecretLine() {
  termios shown;
  const bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &shown) == 0;
  if (terminal) {
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    std::cerr << "secret: ";
  }
  std::string secret;
  std::getline(std::cin, secret);
  if (terminal) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    std::cerr << "\n";
  }
  if (!secret.empty() && secret.back() == '\r') secret.pop_back();
  return secret;
}

absl::Status RegisterWriter(const Arguments& arguments) {
  absl::Status named = CheckWriterName("writer", arguments[0]);
  if (!named.ok()) return named;
  absl::StatusOr<std::string> secret =
      ReadSecret(absl::GetFlag(FLAGS_writer_secret_file), kSecretVariable);
  if (!secret.ok()) return secret.status();
  if (secret->empty()) *secret = ReadSecretLine();
  absl::Status usable = CheckWriterSecret("secret", *secret);
  if (!usable.ok()) return usable;
  const ExecutiveClient::Options options = ExecutiveOptionsFromFlags();
  WarnWhereSecretGoesInClear(options);
  absl::Status registered = ExecutiveClient(options).RegisterWriter(arguments[0], *secret);
  if (!registered.ok()) return registered;
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"writer", arguments[0]}})) << "\n";
  } else {
    std::cout << "writer " << EscapedText(arguments[0]) << " is registered\n";
  }
  return absl::OkStatus();
}

absl::Status GetCookie(const Arguments&) {
  absl::StatusOr<ExecutiveClient::Options> options = WriterOptionsFromFlags();
  if (!options.ok()) return options.status();
  absl::StatusOr<std::string> cookie = ExecutiveClient(*std::move(options)).GetCookie();
  if (!cookie.ok()) return cookie.status();
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"cookie", absl::Base64Escape(*cookie)}})) << "\n";
  } else if (IsTextWithoutNul(*cookie)) {
    std::cout << EscapedText(*cookie) << "\n";
  } else {
    std::cout << DisplayText(ValueView::Bytes(*cookie)) << "\n";
  }
  return absl::OkStatus();
}

absl::Status SetCookie(const Arguments& arguments) {
  absl::StatusOr<ExecutiveClient::Options> options = WriterOptionsFromFlags();
  if (!options.ok()) return options.status();
  absl::StatusOr<Value> bytes = ParseValueText("cookie", FieldType::kBinary, arguments[0]);
  const std::string cookie = bytes.ok() ? bytes->data() : arguments[0];
  absl::Status set = ExecutiveClient(*std::move(options)).SetCookie(cookie);
  if (!set.ok()) return set;
  if (absl::GetFlag(FLAGS_json)) {
    std::cout << Compact(Json::object({{"cookie", absl::Base64Escape(cookie)}})) << "\n";
  } else {
    std::cout << "the cookie has " << cookie.size() << " bytes now\n";
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> WriterCommands() {
  std::vector<Command> commands;
  {
    Command command;
    command.name = "writer register";
    command.arguments = "NAME";
    command.summary = "Makes a writer known by its secret";
    command.description =
        "The secret (3 to 100 bytes) comes from the file that --writer_secret_file names,\n"
        "from the variable CTLSTORE_WRITER_SECRET, or else as a line of standard input.\n"
        "The same secret again is fine; another one is refused (exit status 4).";
    command.min_arguments = command.max_arguments = 1;
    command.flags = Joined(ExecutiveFlags(), {"writer_secret_file"});
    command.run = Returning(RegisterWriter);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "cookie get";
    command.summary = "Shows the writer's cookie";
    command.description =
        "A cookie is what a writer keeps with the data, usually its position in its own\n"
        "source. One that is not text is shown as 0x and hex digits.";
    command.flags = WriterFlags();
    command.run = Returning(GetCookie);
    commands.push_back(command);
  }
  {
    Command command;
    command.name = "cookie set";
    command.arguments = "VALUE";
    command.summary = "Replaces the writer's cookie";
    command.description =
        "The value is text, or bytes as 0x and hex digits or as base64: and base64.";
    command.min_arguments = command.max_arguments = 1;
    command.flags = WriterFlags();
    command.run = Returning(SetCookie);
    commands.push_back(command);
  }
  return commands;
}

}  // namespace ctlstore::cli
