// Columns of text that stand under one another.

#ifndef CTLSTORE_CLI_TEXT_TABLE_H_
#define CTLSTORE_CLI_TEXT_TABLE_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ctlstore::cli {

// Writes rows under a header. The first rows decide how wide the columns are; then memory is
// bounded, however many rows follow. Very wide columns are not waited for: a long cell pushes its
// neighbours to the right. Not thread-safe.
class TextTable {
 public:
  // An empty header writes none. The stream must outlive the table.
  TextTable(std::vector<std::string> header, std::ostream* out);

  // `cells` hold no line ends.
  void AddRow(std::vector<std::string> cells);

  // To be called once, after the last row.
  void Finish();

 private:
  void WriteHeldBack();
  void Write(const std::vector<std::string>& cells);

  std::ostream* const out_;
  // The header and the first rows, until the widths are known.
  std::vector<std::vector<std::string>> held_back_;
  std::vector<size_t> widths_;
  bool widths_known_ = false;
};

// How many cells of a terminal `text` (UTF-8) takes: none for combining marks, two for East Asian
// wide characters and emoji, one for all else.
size_t DisplayWidth(absl::string_view text);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_TEXT_TABLE_H_
