#include "common/schema/utf8.h"

#include <cstdint>

namespace ctlstore {

absl::optional<size_t> CountUtf8Characters(absl::string_view text) {
  size_t count = 0;
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<uint8_t>(text[i]);
    size_t length;
    // The first continuation byte's range excludes overlong forms, surrogates and what lies above
    // U+10FFFF (RFC 3629, section 4).
    uint8_t low = 0x80, high = 0xBF;
    if (lead < 0x80) {
      length = 1;
    } else if (lead >= 0xC2 && lead <= 0xDF) {
      length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      length = 3;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      length = 4;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return absl::nullopt;
    }
    if (i + length > text.size()) return absl::nullopt;
    for (size_t j = 1; j < length; ++j) {
      const auto byte = static_cast<uint8_t>(text[i + j]);
      if (byte < low || byte > high) return absl::nullopt;
      low = 0x80;
      high = 0xBF;
    }
    i += length;
    ++count;
  }
  return count;
}

bool IsTextWithoutNul(absl::string_view text) {
  return text.find('\0') == absl::string_view::npos && CountUtf8Characters(text).has_value();
}

}  // namespace ctlstore
