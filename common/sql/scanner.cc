#include "common/sql/scanner.h"

#include "absl/strings/ascii.h"

namespace ctlstore::sql {

bool Scanner::IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

bool Scanner::IsWordCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return absl::ascii_isalnum(byte) || c == '_' || c == '$' || byte >= 0x80;
}

size_t Scanner::SkipSpace() {
  while (position_ < text_.size() && IsSpace(text_[position_])) ++position_;
  return position_;
}

bool Scanner::TakeWord(absl::string_view upper) {
  SkipSpace();
  if (text_.size() - position_ < upper.size()) return false;
  for (size_t i = 0; i < upper.size(); ++i) {
    if (absl::ascii_toupper(static_cast<unsigned char>(text_[position_ + i])) != upper[i]) {
      return false;
    }
  }
  const size_t end = position_ + upper.size();
  if (end < text_.size() && IsWordCharacter(text_[end])) return false;
  position_ = end;
  return true;
}

bool Scanner::TakeChar(char c) {
  SkipSpace();
  if (position_ >= text_.size() || text_[position_] != c) return false;
  ++position_;
  return true;
}

bool Scanner::TakeIdentifier(absl::string_view* name) {
  SkipSpace();
  if (position_ >= text_.size()) return false;
  if (text_[position_] == '"') {
    const size_t end = text_.find('"', position_ + 1);
    if (end == absl::string_view::npos || end == position_ + 1) return false;
    // A doubled quote would be part of the name.
    if (end + 1 < text_.size() && text_[end + 1] == '"') return false;
    *name = text_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    return true;
  }
  size_t end = position_;
  while (end < text_.size() && IsWordCharacter(text_[end])) {
    const auto byte = static_cast<unsigned char>(text_[end]);
    if (byte >= 0x80 || text_[end] == '$') return false;
    if (end == position_ && absl::ascii_isdigit(byte)) return false;
    ++end;
  }
  if (end == position_) return false;
  // x'..' is a literal, not a name.
  if (end < text_.size() && (text_[end] == '\'' || text_[end] == '"')) return false;
  *name = text_.substr(position_, end - position_);
  position_ = end;
  return true;
}

bool Scanner::TakeEnd() {
  TakeChar(';');
  return SkipSpace() == text_.size();
}

}  // namespace ctlstore::sql
