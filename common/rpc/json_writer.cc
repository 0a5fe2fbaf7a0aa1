#include "common/rpc/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/schema/utf8.h"

namespace ctlstore::rpc {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";
constexpr size_t kMaxSequence = 4;
// "-1.7976931348623157e+308" has 24.
constexpr size_t kMaxDecimal = 32;

bool IsPlain(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\'; }

void AppendEscaped(char c, std::string* json) {
  switch (c) {
    case '"':
    case '\\':
      json->push_back('\\');
      json->push_back(c);
      return;
    case '\n':
      json->append("\\n");
      return;
    case '\r':
      json->append("\\r");
      return;
    case '\t':
      json->append("\\t");
      return;
    default:
      absl::StrAppend(json, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
  }
}

// `text` has to be UTF-8.
void AppendCharacters(absl::string_view text, std::string* json) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsPlain(text[i])) continue;
    json->append(text.data() + begin, i - begin);
    AppendEscaped(text[i], json);
    begin = i + 1;
  }
  json->append(text.data() + begin, text.size() - begin);
}

// The bytes of the character with which `text` begins; 0 where it begins with none.
size_t FirstCharacter(absl::string_view text) {
  for (size_t size = 1; size <= kMaxSequence && size <= text.size(); ++size) {
    if (CountUtf8Characters(text.substr(0, size)).has_value()) return size;
  }
  return 0;
}

std::string WithReplacements(absl::string_view text) {
  std::string replaced;
  while (!text.empty()) {
    const size_t size = FirstCharacter(text);
    if (size == 0) {
      replaced.append(kReplacement);
      text.remove_prefix(1);
    } else {
      replaced.append(text.data(), size);
      text.remove_prefix(size);
    }
  }
  return replaced;
}

void AppendDecimal(double decimal, std::string* json) {
  if (!std::isfinite(decimal)) {
    json->append("null");
    return;
  }
  char buffer[kMaxDecimal];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), decimal);
  const absl::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  json->append(text.data(), text.size());
  if (text.find_first_of(".e") == absl::string_view::npos) json->append(".0");
}

}  // namespace

void AppendJsonString(absl::string_view text, std::string* json) {
  json->push_back('"');
  if (CountUtf8Characters(text).has_value()) {
    AppendCharacters(text, json);
  } else {
    AppendCharacters(WithReplacements(text), json);
  }
  json->push_back('"');
}

void AppendJson(const ValueView& value, std::string* json) {
  switch (value.kind()) {
    case ValueKind::kNull:
      json->append("null");
      return;
    case ValueKind::kInteger:
      absl::StrAppend(json, value.integer());
      return;
    case ValueKind::kDecimal:
      AppendDecimal(value.decimal(), json);
      return;
    case ValueKind::kText:
      AppendJsonString(value.data(), json);
      return;
    case ValueKind::kBytes:
      absl::StrAppend(json, "\"", absl::Base64Escape(value.data()), "\"");
      return;
  }
}

}  // namespace ctlstore::rpc
