// Reads SQL text token by token, as far as the ledger's statements need it.

#ifndef CTLSTORE_COMMON_SQL_SCANNER_H_
#define CTLSTORE_COMMON_SQL_SCANNER_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace ctlstore::sql {

// Takes tokens from the front of a text. Every method skips white space (SQLite's: blank, tab, line
// feed, form feed, carriage return) first and returns false, having taken nothing else, where the
// text goes on with something different. Comments are no white space here. Not thread-safe; the
// text must outlive the scanner and the views it gives.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  // A whole word, in any case; `upper` is in capitals.
  bool TakeWord(absl::string_view upper);

  bool TakeChar(char c);

  // A bare name (ASCII letters, digits and _), or one in double quotes without a quote inside. The
  // view has no quotes.
  bool TakeIdentifier(absl::string_view* name);

  // The end of the statement: one semicolon or none, and nothing behind it.
  bool TakeEnd();

  // Where the next token begins.
  size_t SkipSpace();

  size_t position() const { return position_; }
  void set_position(size_t position) { position_ = position; }

  static bool IsSpace(char c);
  // Whether `c` may go on a bare word in SQLite.
  static bool IsWordCharacter(char c);

 private:
  absl::string_view text_;
  size_t position_ = 0;
};

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_SCANNER_H_
