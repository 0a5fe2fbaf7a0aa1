#include "common/sql/parameterized_statement.h"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/sql/scanner.h"

namespace ctlstore::sql {
namespace {

using Kind = ParameterizedStatement::Kind;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// One pass over a statement. Everything but the literals is copied to the result as it stands, so
// that whatever it means to SQLite, it means in both forms.
class Parameterizer {
 public:
  Parameterizer(absl::string_view statement, ParameterizedStatement* result)
      : statement_(statement), scanner_(statement), result_(*result) {}

  bool Run() {
    result_.columns.clear();
    result_.parameters.clear();
    result_.sql.clear();
    result_.unescaped.clear();
    // SQLite's text ends at a NUL.
    if (statement_.find('\0') != absl::string_view::npos) return false;
    copied_ = scanner_.SkipSpace();
    if (scanner_.TakeWord("REPLACE")) {
      result_.kind = Kind::kUpsert;
      return Upsert();
    }
    if (scanner_.TakeWord("DELETE")) {
      result_.kind = Kind::kDelete;
      return Delete();
    }
    return false;
  }

 private:
  bool Upsert() {
    if (!scanner_.TakeWord("INTO") || !scanner_.TakeIdentifier(&result_.sql_table) ||
        !scanner_.TakeChar('(')) {
      return false;
    }
    do {
      absl::string_view column;
      if (!scanner_.TakeIdentifier(&column)) return false;
      result_.columns.push_back(column);
    } while (scanner_.TakeChar(','));
    if (!scanner_.TakeChar(')') || !scanner_.TakeWord("VALUES") || !scanner_.TakeChar('(')) {
      return false;
    }
    do {
      if (!Literal()) return false;
    } while (scanner_.TakeChar(','));
    if (!scanner_.TakeChar(')')) return false;
    return result_.parameters.size() == result_.columns.size() && End();
  }

  bool Delete() {
    if (!scanner_.TakeWord("FROM") || !scanner_.TakeIdentifier(&result_.sql_table) ||
        !scanner_.TakeWord("WHERE")) {
      return false;
    }
    do {
      absl::string_view column;
      if (!scanner_.TakeIdentifier(&column) || !scanner_.TakeChar('=')) return false;
      result_.columns.push_back(column);
      if (!Literal()) return false;
    } while (scanner_.TakeWord("AND"));
    return End();
  }

  bool End() {
    CopyUpTo(scanner_.position());
    return scanner_.TakeEnd();
  }

  void CopyUpTo(size_t end) {
    result_.sql.append(statement_.data() + copied_, end - copied_);
    copied_ = end;
  }

  // Takes one literal, and writes what is before it and a `?` to the result.
  bool Literal() {
    const size_t begin = scanner_.SkipSpace();
    if (begin >= statement_.size()) return false;
    CopyUpTo(begin);
    size_t end = 0;
    const char c = statement_[begin];
    if (c == '\'') {
      end = Text(begin);
    } else if (c == '-' || IsDigit(c)) {
      end = Number(begin);
    } else if ((c == 'x' || c == 'X') && begin + 1 < statement_.size() &&
               statement_[begin + 1] == '\'') {
      end = Bytes(begin);
    } else {
      end = Word();
    }
    // Nothing may follow directly that could make the literal, or the `?`, part of something else.
    if (end == 0 || (end < statement_.size() && !Scanner::IsSpace(statement_[end]) &&
                     !absl::StrContains(",);", statement_[end]))) {
      return false;
    }
    scanner_.set_position(end);
    copied_ = end;
    result_.sql.push_back('?');
    return true;
  }

  // Each of these adds the value of the literal at `begin` (Word: at the scanner) and returns where
  // it ends, or 0.

  size_t Text(size_t begin) {
    size_t segment = begin + 1;
    size_t unescaped_begin = 0;
    bool unescaped = false;
    while (true) {
      const size_t quote = statement_.find('\'', segment);
      if (quote == absl::string_view::npos) return 0;
      const bool doubled = quote + 1 < statement_.size() && statement_[quote + 1] == '\'';
      if (!doubled && !unescaped) {
        result_.parameters.push_back(statement_.substr(segment, quote - segment));
        return quote + 1;
      }
      if (!unescaped) {
        unescaped = true;
        unescaped_begin = BeginUnescaped();
      }
      // Of a doubled quote, the first one belongs to the text.
      result_.unescaped.append(statement_.data() + segment, quote - segment + (doubled ? 1 : 0));
      if (!doubled) {
        result_.parameters.push_back(absl::string_view(result_.unescaped).substr(unescaped_begin));
        return quote + 1;
      }
      segment = quote + 2;
    }
  }

  size_t Bytes(size_t begin) {
    const size_t unescaped_begin = BeginUnescaped();
    size_t i = begin + 2;
    while (i + 1 < statement_.size() && statement_[i] != '\'') {
      const int high = HexDigit(statement_[i]);
      const int low = HexDigit(statement_[i + 1]);
      if (high < 0 || low < 0) return 0;
      result_.unescaped.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    }
    if (i >= statement_.size() || statement_[i] != '\'') return 0;
    result_.parameters.push_back(
        ValueView::Bytes(absl::string_view(result_.unescaped).substr(unescaped_begin)));
    return i + 1;
  }

  size_t Number(size_t begin) {
    size_t end = begin + (statement_[begin] == '-' ? 1 : 0);
    const size_t digits = end;
    while (end < statement_.size() && IsDigit(statement_[end])) ++end;
    if (end == digits) return 0;
    if (end == statement_.size() || statement_[end] != '.') {
      // What does not fit is a REAL to SQLite.
      int64_t integer = 0;
      if (!absl::SimpleAtoi(statement_.substr(begin, end - begin), &integer)) return 0;
      result_.parameters.push_back(integer);
      return end;
    }
    const size_t fraction = ++end;
    while (end < statement_.size() && IsDigit(statement_[end])) ++end;
    if (end == fraction) return 0;
    double decimal = 0;
    const std::from_chars_result read = std::from_chars(
        statement_.data() + begin, statement_.data() + end, decimal, std::chars_format::fixed);
    if (read.ec != std::errc() || read.ptr != statement_.data() + end || !std::isfinite(decimal)) {
      return 0;
    }
    result_.parameters.push_back(decimal);
    return end;
  }

  size_t Word() {
    if (scanner_.TakeWord("NULL")) {
      result_.parameters.push_back(ValueView());
    } else if (result_.kind == Kind::kDelete) {
      // Beside columns these words name a column, where there is one that is called so.
      return 0;
    } else if (scanner_.TakeWord("TRUE")) {
      result_.parameters.push_back(1);
    } else if (scanner_.TakeWord("FALSE")) {
      result_.parameters.push_back(0);
    } else {
      return 0;
    }
    return scanner_.position();
  }

  // Where the next decoded bytes begin. Decoding never makes a literal longer, so that with room
  // for the whole statement the views stay where they are.
  size_t BeginUnescaped() {
    if (result_.unescaped.empty()) result_.unescaped.reserve(statement_.size());
    return result_.unescaped.size();
  }

  const absl::string_view statement_;
  Scanner scanner_;
  ParameterizedStatement& result_;
  // How much of the statement is in the result.
  size_t copied_ = 0;
};

}  // namespace

bool ParameterizeStatement(absl::string_view statement, ParameterizedStatement* result) {
  return Parameterizer(statement, result).Run();
}

}  // namespace ctlstore::sql
