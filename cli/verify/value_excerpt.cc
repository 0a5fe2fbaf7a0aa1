#include "cli/verify/value_excerpt.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/schema/utf8.h"

namespace ctlstore::cli {
namespace {

constexpr size_t kShownTextBytes = 60;
constexpr size_t kShownBytes = 30;
// How much is shown before the first byte that differs.
constexpr size_t kShownBefore = 10;

// Text that is none is shown byte by byte.
std::string Escaped(absl::string_view data) {
  const bool is_text = CountUtf8Characters(data).has_value();
  std::string escaped;
  for (const char c : data) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      escaped += {'\\', c};
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !is_text)) {
      absl::StrAppend(&escaped, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Shown(ValueKind kind, absl::string_view data, bool cut_before, bool cut_behind) {
  const char* const before = cut_before ? "..." : "";
  const char* const behind = cut_behind ? "..." : "";
  if (kind == ValueKind::kBytes) {
    return absl::StrCat("bytes x'", before, absl::BytesToHexString(data), behind, "'");
  }
  return absl::StrCat("text \"", before, Escaped(data), behind, "\"");
}

// Whether a character of a text goes on at this place.
bool WithinCharacter(absl::string_view data, size_t place) {
  return place < data.size() && (data[place] & 0xC0) == 0x80;
}

bool IsData(const ValueView& value) {
  return value.kind() == ValueKind::kText || value.kind() == ValueKind::kBytes;
}

}  // namespace

std::string WholeText(const ValueView& value) {
  if (value.is_null()) return "null";
  if (!IsData(value)) return absl::StrCat(ValueKindName(value.kind()), " ", DebugString(value));
  return Shown(value.kind(), value.data(), false, false);
}

std::string Excerpt(const ValueView& value, const ValueView& other) {
  if (!IsData(value)) return WholeText(value);
  const absl::string_view data = value.data();
  const size_t shown = value.kind() == ValueKind::kBytes ? kShownBytes : kShownTextBytes;
  if (data.size() <= shown) return WholeText(value);
  size_t same = 0;
  if (IsData(other)) {
    const size_t size = std::min(data.size(), other.data().size());
    while (same < size && data[same] == other.data()[same]) ++same;
  }
  size_t begin = same > kShownBefore ? same - kShownBefore : 0;
  begin = std::min(begin, data.size() - shown);
  size_t end = begin + shown;
  if (value.kind() == ValueKind::kText) {
    // A character has at most 4 bytes.
    for (int i = 0; i < 3 && begin > 0 && WithinCharacter(data, begin); ++i) --begin;
    for (int i = 0; i < 3 && WithinCharacter(data, end); ++i) ++end;
  }
  return absl::StrCat(
      Shown(value.kind(), data.substr(begin, end - begin), begin > 0, end < data.size()),
      " (bytes ", begin, " to ", end, " of ", data.size(), ")");
}

}  // namespace ctlstore::cli
