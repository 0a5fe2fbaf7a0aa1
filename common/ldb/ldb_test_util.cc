#include "common/ldb/ldb_test_util.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace ctlstore::ldb {
namespace {

template <typename T>
T MustHave(absl::StatusOr<T> result, const std::string& what) {
  if (!result.ok()) {
    std::cerr << what << ": " << result.status() << std::endl;
    std::abort();
  }
  return *std::move(result);
}

}  // namespace

TestFolder::TestFolder() : path_(testing::TempDir() + "/ldb-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TestFolder::Path(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

int64_t TestLedger::Add(std::string statement) {
  const int64_t sequence = static_cast<int64_t>(entries_.size()) + 1;
  entries_.push_back({sequence, "2024-02-29 23:59:58", std::move(statement)});
  return sequence;
}

absl::Span<const LedgerEntry> TestLedger::After(int64_t sequence, size_t count) const {
  return absl::MakeConstSpan(entries_).subspan(sequence, count);
}

std::vector<LedgerEntry> TestLedger::Take() {
  std::vector<LedgerEntry> result(entries_.begin() + taken_, entries_.end());
  taken_ = entries_.size();
  return result;
}

std::unique_ptr<LdbWriter> OpenWriter(const std::string& path, const LdbWriter::Options& options) {
  return MustHave(LdbWriter::Open(path, options), path);
}

std::unique_ptr<sqlite::Database> OpenPlain(const std::string& path, bool read_only) {
  return MustHave(
      sqlite::Database::Open(
          path, read_only ? sqlite::Database::Mode::kReadOnly : sqlite::Database::Mode::kReadWrite,
          absl::Seconds(10)),
      path);
}

Rows Query(sqlite::Database* database, const std::string& sql) {
  std::unique_ptr<sqlite::Statement> statement = MustHave(database->Prepare(sql), sql);
  Rows rows;
  while (MustHave(statement->Step(), sql)) {
    rows.emplace_back();
    for (int i = 0; i < statement->column_count(); ++i) {
      rows.back().emplace_back(statement->Column(i));
    }
  }
  return rows;
}

Rows QueryFile(const std::string& path, const std::string& sql) {
  return Query(OpenPlain(path).get(), sql);
}

Rows Contents(sqlite::Database* database) {
  Rows contents;
  for (const auto& table :
       Query(database,
             "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_ldb\\_%' "
             "ESCAPE '\\' ORDER BY name")) {
    const std::string& name = table[0].data();
    std::string order;
    for (const auto& column :
         Query(database, absl::StrCat("SELECT name FROM pragma_table_info('", name, "')"))) {
      absl::StrAppend(&order, order.empty() ? "" : ", ", "\"", column[0].data(), "\"");
    }
    contents.push_back({table[0], Value::Text(order)});
    Rows rows = Query(database, absl::StrCat("SELECT * FROM \"", name, "\" ORDER BY ", order));
    contents.insert(contents.end(), rows.begin(), rows.end());
  }
  return contents;
}

}  // namespace ctlstore::ldb
