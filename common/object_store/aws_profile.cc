#include "common/object_store/aws_profile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ctlstore::object_store {
namespace {

// The text of a file; empty where there is none.
absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return std::string();
    return absl::PermissionDeniedError(
        absl::StrCat("cannot read the AWS configuration file ", path, ": ", strerror(errno)));
  }
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Where it is, or nothing where there is no home.
std::string FileOf(const AwsEnvironment& environment, const char* variable, const char* name) {
  std::string path = environment(variable);
  const std::string home = environment("HOME");
  if (path.empty()) return home.empty() ? "" : absl::StrCat(home, "/.aws/", name);
  if (path.rfind("~/", 0) == 0) path = absl::StrCat(home, path.substr(1));
  return path;
}

// Without a comment at the line's end, which begins after a blank.
absl::string_view WithoutComment(absl::string_view value) {
  for (const absl::string_view start : {" #", " ;", "\t#", "\t;"}) {
    value = value.substr(0, value.find(start));
  }
  return absl::StripAsciiWhitespace(value);
}

// The profile that a section's line "[...]" is about; empty where about none.
absl::string_view ProfileOf(absl::string_view line, bool is_config) {
  line = line.substr(1, line.find(']') - 1);
  line = absl::StripAsciiWhitespace(line);
  if (is_config && absl::ConsumePrefix(&line, "profile") &&
      (line.empty() || !absl::ascii_isspace(static_cast<unsigned char>(line[0])))) {
    return "";
  }
  line = absl::StripAsciiWhitespace(line);
  if (absl::ConsumePrefix(&line, "\"")) absl::ConsumeSuffix(&line, "\"");
  return line;
}

}  // namespace

AwsEnvironment ProcessEnvironment() {
  return [](const char* name) -> std::string {
    const char* const value = getenv(name);
    return value != nullptr ? value : "";
  };
}

bool ReadAwsSection(absl::string_view text, absl::string_view name, bool is_config,
                    AwsProfile* profile) {
  bool found = false;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::ConsumeSuffix(&line, "\r");
    // Indented lines are settings within a setting.
    if (line.empty() || absl::ascii_isspace(static_cast<unsigned char>(line[0]))) continue;
    if (line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      inside = ProfileOf(line, is_config) == name;
      found = found || inside;
      continue;
    }
    const size_t equals = line.find('=');
    if (!inside || equals == absl::string_view::npos) continue;
    const std::string setting =
        absl::AsciiStrToLower(absl::StripAsciiWhitespace(line.substr(0, equals)));
    profile->emplace(setting, std::string(WithoutComment(line.substr(equals + 1))));
  }
  return found;
}

absl::StatusOr<AwsProfile> ReadAwsProfile(const AwsEnvironment& environment) {
  const std::string named = environment("AWS_PROFILE");
  const std::string name = named.empty() ? "default" : named;
  AwsProfile profile;
  bool found = false;
  for (const bool is_config : {false, true}) {
    const std::string path =
        is_config ? FileOf(environment, "AWS_CONFIG_FILE", "config")
                  : FileOf(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    if (path.empty()) continue;
    const absl::StatusOr<std::string> text = ReadIfThere(path);
    if (!text.ok()) return text.status();
    found = ReadAwsSection(*text, name, is_config, &profile) || found;
  }
  if (!found && !named.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("AWS_PROFILE names the profile \"", named,
                     "\", which is neither in the credentials file nor in the configuration file"));
  }
  return profile;
}

AwsSettings ReadAwsSettings(const AwsEnvironment& environment) {
  AwsProfile profile;
  if (absl::StatusOr<AwsProfile> read = ReadAwsProfile(environment); read.ok()) profile = *read;
  const auto first = [](const std::vector<std::string>& values) -> std::string {
    for (const std::string& value : values) {
      if (!value.empty()) return value;
    }
    return "";
  };
  AwsSettings settings;
  settings.region =
      first({environment("AWS_REGION"), environment("AWS_DEFAULT_REGION"), profile["region"]});
  settings.endpoint = first({environment("AWS_ENDPOINT_URL_S3"), environment("AWS_ENDPOINT_URL"),
                             profile["endpoint_url"]});
  return settings;
}

}  // namespace ctlstore::object_store
