// Writes a local database for tests in other languages: ldb_tool PATH
//
// Reads ledger statements from standard input, one a line; a line may be "x" and the statement in
// hex, where it has line ends. An empty line, and the end, applies those before it; then a line
// with the applied sequence is written to standard output. Keeps the database open until its input
// ends.

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/ledger_entry.h"

namespace ctlstore::ldb {
namespace {

int Run(const std::string& path) {
  absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(path, {});
  if (!writer.ok()) {
    std::cerr << writer.status() << "\n";
    return 1;
  }
  std::vector<LedgerEntry> entries;
  bool more = true;
  while (more) {
    std::string line;
    more = static_cast<bool>(std::getline(std::cin, line));
    if (!line.empty()) {
      const int64_t sequence =
          entries.empty() ? (*writer)->received_sequence() + 1 : entries.back().sequence + 1;
      const std::string time =
          absl::FormatTime("%Y-%m-%d %H:%M:%E6S", absl::Now(), absl::UTCTimeZone());
      if (line[0] == 'x') line = absl::HexStringToBytes(absl::string_view(line).substr(1));
      entries.push_back({sequence, time, line});
      continue;
    }
    const absl::Status status = (*writer)->Apply(entries);
    if (!status.ok()) {
      std::cerr << status << "\n";
      return 1;
    }
    entries.clear();
    std::cout << (*writer)->applied_sequence() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace ctlstore::ldb

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "Usage: ldb_tool PATH\n";
    return 1;
  }
  return ctlstore::ldb::Run(argv[1]);
}
