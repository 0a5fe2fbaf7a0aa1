#include "cli/text_table.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace ctlstore::cli {
namespace {

constexpr size_t kRowsHeldBack = 1000;
constexpr size_t kWidest = 60;
constexpr size_t kGap = 2;

struct Range {
  uint32_t first;
  uint32_t last;
};

constexpr Range kNoWidth[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD},
                              {0x0610, 0x061A}, {0x064B, 0x065F}, {0x200B, 0x200F},
                              {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
constexpr Range kDoubleWidth[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},
                                  {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
                                  {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE4F},
                                  {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F},
                                  {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

template <size_t kSize>
bool Contains(const Range (&ranges)[kSize], uint32_t character) {
  return std::any_of(std::begin(ranges), std::end(ranges), [character](const Range& range) {
    return character >= range.first && character <= range.last;
  });
}

}  // namespace

size_t DisplayWidth(absl::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    uint32_t character = size == 1 ? lead : lead & (0x3F >> (size - 1));
    for (size_t j = 1; j < size && i + j < text.size(); ++j) {
      character = character << 6 | (static_cast<unsigned char>(text[i + j]) & 0x3F);
    }
    width += Contains(kNoWidth, character) ? 0 : Contains(kDoubleWidth, character) ? 2 : 1;
    i += size;
  }
  return width;
}

TextTable::TextTable(std::vector<std::string> header, std::ostream* out) : out_(out) {
  if (!header.empty()) held_back_.push_back(std::move(header));
}

void TextTable::AddRow(std::vector<std::string> cells) {
  if (widths_known_) {
    Write(cells);
    return;
  }
  held_back_.push_back(std::move(cells));
  if (held_back_.size() > kRowsHeldBack) WriteHeldBack();
}

void TextTable::Finish() {
  if (!widths_known_) WriteHeldBack();
}

void TextTable::WriteHeldBack() {
  for (const std::vector<std::string>& cells : held_back_) {
    widths_.resize(std::max(widths_.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) {
      widths_[i] = std::max(widths_[i], std::min(kWidest, DisplayWidth(cells[i])));
    }
  }
  widths_known_ = true;
  for (const std::vector<std::string>& cells : held_back_) Write(cells);
  held_back_.clear();
}

void TextTable::Write(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    line += cells[i];
    if (i + 1 == cells.size()) break;
    const size_t width = DisplayWidth(cells[i]);
    const size_t wanted = i < widths_.size() ? widths_[i] : 0;
    line.append(kGap + (wanted > width ? wanted - width : 0), ' ');
  }
  // No blanks at the end of a line.
  line.erase(line.find_last_not_of(' ') + 1);
  *out_ << line << "\n";
}

}  // namespace ctlstore::cli
