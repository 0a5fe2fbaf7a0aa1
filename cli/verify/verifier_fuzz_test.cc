// Random tables with random differences planted: all are found, and nothing else is reported.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/verify/value_excerpt.h"
#include "cli/verify/verifier_test_base.h"
#include "common/sql/dml.h"
#include "common/sql/random_data.h"

namespace ctlstore::cli {
namespace {

using ::testing::UnorderedElementsAreArray;

class VerifierFuzzTest : public VerifierTest {};

CTLSTORE_FOR_BOTH_KINDS(VerifierFuzzTest);

// A table as a test knows it: rows by their key's text.
struct Content {
  TableSchema schema;
  std::map<std::string, TableRow> rows;

  TableRow KeyOf(const TableRow& row) const {
    TableRow key;
    for (const size_t position : schema.key_positions()) key.push_back(row[position]);
    return key;
  }
  std::string KeyText(const TableRow& row) const {
    std::vector<std::string> parts;
    for (const size_t position : schema.key_positions()) {
      parts.push_back(absl::StrCat(schema.fields()[position].name, "=", WholeText(row[position])));
    }
    return absl::StrJoin(parts, ",");
  }
};

TableRow RandomRow(const TableSchema& schema, sql::RandomData* random) {
  TableRow row;
  for (size_t i = 0; i < schema.fields().size(); ++i) {
    const FieldType type = schema.fields()[i].type;
    row.push_back(random->Of(type, !schema.is_key(i)));
    // Now and then far more than fits into a page, or into what is shown.
    if (!random->OneIn(20) || schema.is_key(i)) continue;
    if (type == FieldType::kText) row.back() = Value::Text(random->Text(9000));
    if (type == FieldType::kBinary) row.back() = Value::Bytes(random->Bytes(9000));
  }
  return row;
}

// The value changed as little as can be.
Value SlightlyOther(const Value& value, FieldType type, sql::RandomData* random) {
  if (value.is_null() || random->OneIn(4)) {
    while (true) {
      Value other = random->Of(type, true);
      if (other != value) return other;
    }
  }
  std::string data = value.data();
  switch (value.kind()) {
    case ValueKind::kInteger:
      return Value::Integer(value.integer() ^ (int64_t{1} << random->Below(63)));
    case ValueKind::kDecimal:
      return Value::Decimal(value.decimal() == 0 ? 5e-324 : value.decimal() / 2);
    case ValueKind::kText:
      if (data.empty() || random->OneIn(2)) return Value::Text(data + " ");
      return random->OneIn(2) ? Value::Bytes(data) : Value::Text("x" + data);
    default:
      if (data.empty()) return Value::Bytes(std::string(1, '\0'));
      data[random->Below(data.size())] ^= 1 << random->Below(8);
      return Value::Bytes(data);
  }
}

TEST_P(VerifierFuzzTest, AllThatIsPlantedIsFoundAndNothingElse) {
  sql::RandomData random(is_mariadb() ? 31 : 32);
  constexpr int kTables = 8;
  std::vector<Content> tables;
  for (int i = 0; i < kTables; ++i) {
    Content content{random.Table("fam", absl::StrCat("table", i)), {}};
    executive_->Create(content.schema);
    std::vector<TableRow> rows;
    for (size_t row = 0; row < 250; ++row) {
      TableRow values = RandomRow(content.schema, &random);
      content.rows[content.KeyText(values)] = values;
      rows.push_back(std::move(values));
    }
    ASSERT_TRUE(executive_->Write(content.schema, rows));
    tables.push_back(std::move(content));
  }
  Reflect();
  ASSERT_THAT(Findings(Verify()), testing::IsEmpty());

  Verifier::Options options = HastyOptions();
  options.max_differences = 1000;
  for (int round = 0; round < 6; ++round) {
    std::vector<std::string> planted;
    for (Content& table : tables) {
      const std::string name = absl::StrCat("fam.", table.schema.name().table, ": ");
      const auto put = [&](const TableRow& row) { InLdb(sql::UpsertSql(table.schema), row); };
      std::vector<std::string> keys;
      for (const auto& [key, row] : table.rows) keys.push_back(key);
      for (size_t i = random.Below(6); i > 0; --i) {
        const std::string key = keys[random.Below(keys.size())];
        const auto found = table.rows.find(key);
        if (found == table.rows.end()) continue;
        TableRow row = found->second;
        // What was planted stays planted: it is no part of the rows any more.
        table.rows.erase(found);
        const size_t column = random.Below(row.size());
        if (random.OneIn(3) || table.schema.is_key(column)) {
          InLdb(sql::DeleteSql(table.schema), table.KeyOf(row));
          planted.push_back(absl::StrCat(name, key, ": not in the LDB"));
        } else {
          const Field& field = table.schema.fields()[column];
          const Value other = SlightlyOther(row[column], field.type, &random);
          planted.push_back(absl::StrCat(name, key, ": ", field.name, " is ",
                                         Excerpt(row[column], other), ", in the LDB ",
                                         Excerpt(other, row[column])));
          row[column] = other;
          put(row);
        }
      }
      if (random.OneIn(2)) {
        const TableRow row = RandomRow(table.schema, &random);
        if (std::find(keys.begin(), keys.end(), table.KeyText(row)) == keys.end()) {
          put(row);
          planted.push_back(absl::StrCat(name, table.KeyText(row), ": not in the ctldb"));
        }
      }
    }
    absl::StatusOr<Report> report = Run(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(Findings(*report), UnorderedElementsAreArray(planted)) << "round " << round;
    EXPECT_EQ(report->verdict(), planted.empty() ? Verdict::kEqual : Verdict::kDiffers);
    // The next round begins with a new copy.
    std::filesystem::remove(ldb_path_);
    std::filesystem::remove(ldb_path_ + "-wal");
    std::filesystem::remove(ldb_path_ + "-shm");
    Reflect();
    for (Content& table : tables) {
      table.rows.clear();
      for (auto& row : ctldb::testing::MustQuery(
               connection_.get(),
               absl::StrCat("SELECT * FROM ", SqlTableName(table.schema.name())))) {
        table.rows[table.KeyText(row)] = row;
      }
    }
  }
}

}  // namespace
}  // namespace ctlstore::cli
