#include "common/sql/changed_table.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/sql/scanner.h"

namespace ctlstore::sql {
namespace {

// Takes words and names from the front of a statement, going over comments as over white space.
class Words {
 public:
  explicit Words(absl::string_view text) : text_(text), scanner_(text) {}

  bool Take(absl::string_view upper) {
    SkipComments();
    return scanner_.TakeWord(upper);
  }

  // Any bare word.
  bool TakeAny() {
    SkipComments();
    const size_t end = EndOfWord();
    if (end == scanner_.position()) return false;
    scanner_.set_position(end);
    return true;
  }

  // A name as SQLite takes it: bare, or in any of its four kinds of quotes.
  bool TakeName(std::string* name) {
    SkipComments();
    const size_t begin = scanner_.position();
    if (begin >= text_.size()) return false;
    const char first = text_[begin];
    if (first == '[') return TakeQuoted(']', /*doubled=*/false, name);
    if (absl::StrContains("\"`'", first)) return TakeQuoted(first, /*doubled=*/true, name);
    if (absl::ascii_isdigit(static_cast<unsigned char>(first)) || first == '$') return false;
    const size_t end = EndOfWord();
    // x'...' is no name.
    if (end == begin || (end < text_.size() && text_[end] == '\'')) return false;
    *name = std::string(text_.substr(begin, end - begin));
    scanner_.set_position(end);
    return true;
  }

  bool AtDot() {
    SkipComments();
    return scanner_.position() < text_.size() && text_[scanner_.position()] == '.';
  }

 private:
  bool TakeQuoted(char quote, bool doubled, std::string* name) {
    name->clear();
    for (size_t i = scanner_.position() + 1; i < text_.size(); ++i) {
      if (text_[i] != quote) {
        name->push_back(text_[i]);
      } else if (doubled && i + 1 < text_.size() && text_[i + 1] == quote) {
        name->push_back(quote);
        ++i;
      } else {
        scanner_.set_position(i + 1);
        return true;
      }
    }
    return false;
  }

  size_t EndOfWord() const {
    size_t end = scanner_.position();
    while (end < text_.size() && Scanner::IsWordCharacter(text_[end])) ++end;
    return end;
  }

  void SkipComments() {
    while (true) {
      const absl::string_view rest = text_.substr(scanner_.SkipSpace());
      size_t end = absl::string_view::npos;
      if (absl::StartsWith(rest, "--")) {
        end = rest.find('\n');
        if (end != absl::string_view::npos) ++end;
      } else if (absl::StartsWith(rest, "/*")) {
        end = rest.find("*/", 2);
        if (end != absl::string_view::npos) end += 2;
      } else {
        return;
      }
      scanner_.set_position(end == absl::string_view::npos ? text_.size()
                                                           : scanner_.position() + end);
    }
  }

  const absl::string_view text_;
  Scanner scanner_;
};

// OR and the name of a way to deal with conflicts, or nothing.
bool TakeConflictClause(Words* words) { return !words->Take("OR") || words->TakeAny(); }

bool FindTable(Words* words, ChangedTable* table) {
  if (words->Take("REPLACE")) {
    return words->Take("INTO") && words->TakeName(&table->name);
  }
  if (words->Take("INSERT")) {
    return TakeConflictClause(words) && words->Take("INTO") && words->TakeName(&table->name);
  }
  if (words->Take("DELETE")) {
    return words->Take("FROM") && words->TakeName(&table->name);
  }
  if (words->Take("UPDATE")) {
    return TakeConflictClause(words) && words->TakeName(&table->name);
  }
  table->definition = true;
  if (words->Take("CREATE")) {
    return words->Take("TABLE") &&
           (!words->Take("IF") || (words->Take("NOT") && words->Take("EXISTS"))) &&
           words->TakeName(&table->name);
  }
  if (words->Take("DROP")) {
    return words->Take("TABLE") && (!words->Take("IF") || words->Take("EXISTS")) &&
           words->TakeName(&table->name);
  }
  // A table with a new name is another one.
  return words->Take("ALTER") && words->Take("TABLE") && words->TakeName(&table->name) &&
         words->Take("ADD");
}

}  // namespace

absl::optional<ChangedTable> FindChangedTable(absl::string_view statement) {
  // SQLite's text ends at a NUL.
  if (absl::StrContains(statement, '\0')) return absl::nullopt;
  Words words(statement);
  ChangedTable table;
  if (!FindTable(&words, &table) || words.AtDot()) return absl::nullopt;
  return table;
}

}  // namespace ctlstore::sql
