// Plays random ledgers with the writer, and statement by statement with SQLite alone.

#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

// Makes statements for some tables: most as the executive writes them, the rest spelled in other
// ways, of other forms, or wrong.
class RandomLedger {
 public:
  explicit RandomLedger(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 5; ++i) {
      tables_.push_back(random_.Table("fam", absl::StrCat("tbl", i)));
      statements_.push_back(sql::CreateTableStatement(tables_.back()));
      rows_.emplace_back();
    }
  }

  std::string Next() {
    if (next_ < statements_.size()) return statements_[next_++];
    const size_t t = random_.Below(tables_.size());
    if (random_.OneIn(60)) return Define(t);
    if (random_.OneIn(12)) return Unusual(t);
    std::string statement = Usual(t);
    return random_.OneIn(4) ? Respell(statement) : statement;
  }

  sql::RandomData* random() { return &random_; }

 private:
  const std::string Name(size_t t) const { return SqlTableName(tables_[t].name()); }
  const std::string& FieldName(size_t t) {
    return tables_[t].fields()[random_.Below(tables_[t].fields().size())].name;
  }

  std::string Define(size_t t) {
    if (random_.OneIn(3)) {
      std::string drop = sql::DropTableStatement(tables_[t].name());
      tables_[t] = random_.Table("fam", absl::StrCat("tbl", t));
      rows_[t].clear();
      next_ = statements_.size();
      statements_.push_back(sql::CreateTableStatement(tables_[t]));
      return drop;
    }
    const Field field{absl::StrCat("added", ++added_), random_.Type()};
    std::vector<Field> ignored;
    tables_[t] = *tables_[t].WithFields({field}, &ignored);
    return sql::AddFieldStatement(tables_[t].name(), field);
  }

  std::string Usual(size_t t) {
    if (random_.OneIn(40)) return sql::ClearTableStatement(tables_[t].name());
    const TableSchema& table = tables_[t];
    std::vector<Value> row;
    for (size_t f = 0; f < table.fields().size(); ++f) {
      // At times a value of another type, which SQLite takes all the same.
      const FieldType type = random_.OneIn(30) ? random_.Type() : table.fields()[f].type;
      row.push_back(random_.Of(type, !table.is_key(f)));
    }
    std::vector<Value> key;
    if (!rows_[t].empty() && random_.OneIn(2)) {
      key = rows_[t][random_.Below(rows_[t].size())];
      for (size_t k = 0; k < key.size(); ++k) row[table.key_positions()[k]] = key[k];
    } else {
      for (size_t position : table.key_positions()) key.push_back(row[position]);
      rows_[t].push_back(key);
    }
    return random_.OneIn(4)
               ? sql::DeleteStatement(table, std::vector<ValueView>(key.begin(), key.end()))
               : sql::UpsertStatement(table, std::vector<ValueView>(row.begin(), row.end()));
  }

  // The same statement in other words.
  std::string Respell(const std::string& statement) {
    std::string text;
    bool quoted = false;
    for (char c : statement) {
      if (c == '\'' || c == '"') quoted = !quoted;
      if (!quoted && c == ' ') {
        static constexpr const char* kSpaces[] = {" ",    "  ",        "\n",    "\t",
                                                  "\r\n", " /* ' */ ", "--x\n", "\f"};
        text += kSpaces[random_.Below(std::size(kSpaces))];
      } else {
        // Names and words are the same in any case.
        text.push_back(
            !quoted && random_.OneIn(3) ? absl::ascii_tolower(static_cast<unsigned char>(c)) : c);
      }
    }
    if (random_.OneIn(3)) text = absl::StrCat(random_.OneIn(2) ? "\n " : "/**/", text);
    if (random_.OneIn(3)) absl::StrAppend(&text, random_.OneIn(2) ? " ;" : "; -- x");
    return text;
  }

  // A key is never null: the executive sees to that, and a table that is kept in the order of its
  // key refuses it.
  std::string Literal(bool may_be_null) {
    if (may_be_null && random_.OneIn(20)) return "NULL";
    // The forms that are bound and not run as text; where one is not, none of the statement is.
    static constexpr const char* kBound[] = {
        "true",   "FALSE", "True", "0",   "-0",      "007", "1.0",   "-0.0",   "0.5",     "''",
        "'a''b'", "''''",  "'1'",  "x''", "X'0aFF'", "-5",  "'1.0'", "'NULL'", "-12.250", "x'61'"};
    if (!random_.OneIn(12)) return kBound[random_.Below(std::size(kBound))];
    static constexpr const char* kLiterals[] = {"true",
                                                "FALSE",

                                                "0",
                                                "-0",
                                                "+5",
                                                "1e3",
                                                "-1.5E-3",
                                                ".5",
                                                "5.",
                                                "0x1F",
                                                "007",
                                                "-9223372036854775808",
                                                "9223372036854775807",
                                                "9223372036854775808",
                                                "-9223372036854775809",
                                                "1.0",
                                                "-0.0",
                                                "100000000000000000000.0",
                                                "''",
                                                "''''",
                                                "'a''b'",
                                                "x''",
                                                "X'0aFF'",
                                                "'1'",
                                                "'1.0'",
                                                "'\xC3\xA9'",
                                                "'\xFF'",
                                                "1+1",
                                                "-(5)",
                                                "'a'||'b'",
                                                "length('abc')",
                                                "current_date IS NULL",
                                                "'x' COLLATE NOCASE",
                                                "(SELECT 5)",
                                                "--x\n1",
                                                "1 /* , 2 */",
                                                "\"f0\"",
                                                "abs(-3)"};
    return kLiterals[random_.Below(std::size(kLiterals))];
  }

  // What the executive never writes. Some of it fails.
  std::string Unusual(size_t t) {
    const std::string name = Name(t);
    std::vector<std::string> columns, values, conditions;
    for (size_t f = 0; f < tables_[t].fields().size(); ++f) {
      const std::string& name = tables_[t].fields()[f].name;
      columns.push_back(random_.OneIn(2) ? absl::StrCat("\"", name, "\"") : name);
      values.push_back(Literal(!tables_[t].is_key(f)));
    }
    for (size_t position : tables_[t].key_positions()) {
      conditions.push_back(
          absl::StrCat("\"", tables_[t].fields()[position].name, "\" = ", Literal(false)));
    }
    const std::string list = absl::StrJoin(columns, ",");
    const std::string tuple = absl::StrCat("(", absl::StrJoin(values, " , "), ")");
    const std::string where = absl::StrCat(" WHERE ", absl::StrJoin(conditions, " AND "));
    switch (random_.Below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return absl::StrCat("REPLACE INTO ", name, " (", list, ") VALUES", tuple);
      case 4:
      case 5:
      case 6:
        return absl::StrCat("DELETE FROM ", name, where);
      case 7:
        return absl::StrCat("INSERT OR REPLACE INTO ", name, " (", list, ") VALUES", tuple);
      case 8:
        return absl::StrCat("INSERT OR IGNORE INTO \"", name, "\" (", list, ") VALUES", tuple);
      case 9:
        return absl::StrCat("REPLACE INTO ", name, " (", list, ") VALUES", tuple, ",", tuple);
      case 10:
        return absl::StrCat("UPDATE ", name, " SET \"", FieldName(t), "\" = ", Literal(false),
                            where);
      case 11:
        return absl::StrCat("DELETE FROM ", name, " WHERE \"", FieldName(t), "\" > ",
                            Literal(false));
      case 12:
        return absl::StrCat("REPLACE INTO main.", name, " SELECT * FROM ", name, " LIMIT 3");
      case 13:
        return absl::StrCat("REPLACE INTO ", name, " VALUES", tuple);
      case 14:
        // One column less than values.
        columns.pop_back();
        return absl::StrCat("REPLACE INTO ", name, " (", absl::StrJoin(columns, ","), ") VALUES",
                            tuple);
      default:
        return absl::StrCat("DELETE FROM ", name, " WHERE ", FieldName(t), " = ", FieldName(t),
                            random_.OneIn(2) ? " AND 1" : " ");
    }
  }

  sql::RandomData random_;
  std::vector<TableSchema> tables_;
  // The definitions at the beginning, and those that have to come next.
  std::vector<std::string> statements_;
  size_t next_ = 0;
  std::vector<std::vector<std::vector<Value>>> rows_;
  int added_ = 0;
};

// Each row of each table with what its values are stored as.
Rows ContentsAndTypes(sqlite::Database* database) {
  Rows contents;
  for (const auto& table :
       Query(database,
             "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '!_ldb!_%' "
             "ESCAPE '!' ORDER BY name")) {
    std::vector<std::string> columns;
    for (const auto& column : Query(database, absl::StrCat("SELECT name FROM pragma_table_info('",
                                                           table[0].data(), "')"))) {
      columns.push_back(
          absl::StrCat("typeof(\"", column[0].data(), "\"), \"", column[0].data(), "\""));
    }
    const std::string list = absl::StrJoin(columns, ", ");
    contents.push_back({table[0], Value::Text(list)});
    Rows rows = Query(
        database, absl::StrCat("SELECT ", list, " FROM \"", table[0].data(), "\" ORDER BY ", list));
    contents.insert(contents.end(), rows.begin(), rows.end());
  }
  return contents;
}

// Whether the rows are the same, but for a decimal's last digit: SQLite does not always round
// correctly when it reads one in text.
void ExpectSame(const Rows& expected, const Rows& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(expected[i].size(), actual[i].size());
    for (size_t j = 0; j < expected[i].size(); ++j) {
      if (expected[i][j].kind() == ValueKind::kDecimal &&
          actual[i][j].kind() == ValueKind::kDecimal) {
        ASSERT_DOUBLE_EQ(expected[i][j].decimal(), actual[i][j].decimal());
      } else {
        ASSERT_EQ(expected[i][j], actual[i][j]) << "row " << i << " column " << j;
      }
    }
  }
}

// Runs one ledger transaction with SQLite alone; false where a statement fails, and then nothing
// is changed.
bool RunPlain(sqlite::Database* plain, const std::vector<std::string>& statements) {
  EXPECT_TRUE(plain->Execute("BEGIN").ok());
  for (const std::string& statement : statements) {
    if (plain->Execute(statement).ok()) continue;
    EXPECT_TRUE(!plain->in_transaction() || plain->Execute("ROLLBACK").ok());
    return false;
  }
  EXPECT_TRUE(plain->Execute("COMMIT").ok());
  return true;
}

TEST(LdbWriterDifferentialTest, ARandomLedgerLeavesWhatSqliteAloneLeaves) {
  constexpr int kStatements = 3000;
  TestFolder folder;
  int64_t failed = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    RandomLedger random(seed);
    std::unique_ptr<sqlite::Database> plain = OpenPlain(":memory:", /*read_only=*/false);
    // Ledger transactions, with those that SQLite alone cannot run, which an operator skips.
    TestLedger ledger;
    std::vector<int64_t> bad;
    int statements = 0;
    while (statements < kStatements) {
      std::vector<std::string> transaction;
      for (size_t i = 1 + (random.random()->OneIn(3) ? random.random()->Below(12) : 0); i > 0;
           --i) {
        transaction.push_back(random.Next());
        ++statements;
      }
      const bool works = RunPlain(plain.get(), transaction);
      if (!works && transaction.size() > 1) {
        // Statement by statement, to know which ones are at fault.
        ledger.Begin();
        for (const std::string& statement : transaction) {
          const int64_t sequence = ledger.Add(statement);
          if (!RunPlain(plain.get(), {statement})) bad.push_back(sequence);
        }
        ledger.Commit();
        continue;
      }
      if (transaction.size() > 1) ledger.Begin();
      for (const std::string& statement : transaction) {
        const int64_t sequence = ledger.Add(statement);
        if (!works) bad.push_back(sequence);
      }
      if (transaction.size() > 1) ledger.Commit();
    }
    failed += static_cast<int64_t>(bad.size());

    const std::string path = folder.Path(absl::StrCat("ldb", seed, ".db"));
    LdbWriter::Options options;
    options.checkpoint_wal_bytes = 100000;
    options.max_commit_entries = 1 + random.random()->Below(200);
    std::unique_ptr<LdbWriter> writer = OpenWriter(path, options);
    size_t met = 0;
    while (writer->received_sequence() < static_cast<int64_t>(ledger.entries().size())) {
      const absl::Status status =
          writer->Apply(ledger.After(writer->received_sequence(), 1 + random.random()->Below(300)));
      if (!status.ok()) {
        // The same statements fail, in the same order, and no others.
        ASSERT_EQ(ErrorReason(status), reason::kEntryFailed) << status;
        ASSERT_LT(met, bad.size()) << status;
        ASSERT_EQ(writer->failed_sequence(), bad[met])
            << status << " " << ledger.entries()[*writer->failed_sequence() - 1].statement;
        writer->SkipEntry(bad[met++]);
      } else if (random.random()->OneIn(20)) {
        writer = nullptr;
        writer = OpenWriter(path, options);
        // What is told to be skipped is not written down until it is.
        for (size_t i = 0; i < met; ++i) writer->SkipEntry(bad[i]);
      }
    }
    EXPECT_EQ(met, bad.size());
    EXPECT_EQ(writer->skipped_entries(), static_cast<int64_t>(bad.size()));
    ExpectSame(ContentsAndTypes(plain.get()), ContentsAndTypes(OpenPlain(path).get()));
    EXPECT_EQ(QueryFile(path, "PRAGMA integrity_check"), (Rows{{Value::Text("ok")}}));
    if (HasFailure()) return;
  }
  EXPECT_GT(failed, 50) << "too few of the statements are wrong";
}

}  // namespace
}  // namespace ctlstore::ldb
