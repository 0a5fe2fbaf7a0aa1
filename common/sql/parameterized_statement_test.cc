#include "common/sql/parameterized_statement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/random_data.h"
#include "common/sqlite/database.h"

namespace ctlstore::sql {
namespace {

using Kind = ParameterizedStatement::Kind;

std::vector<Value> Parameters(const ParameterizedStatement& statement) {
  return std::vector<Value>(statement.parameters.begin(), statement.parameters.end());
}

TEST(ParameterizedStatementTest, TakesTheLiteralsOutOfAnUpsert) {
  const std::string statement =
      "REPLACE INTO fam___tbl (\"a\",\"b\",\"c\",\"d\",\"e\",\"f\") "
      "VALUES('it''s',-1,0.5,NULL,x'00fF',x'')";
  ParameterizedStatement result;
  ASSERT_TRUE(ParameterizeStatement(statement, &result));
  EXPECT_EQ(result.kind, Kind::kUpsert);
  EXPECT_EQ(result.sql_table, "fam___tbl");
  EXPECT_EQ(result.columns, (std::vector<absl::string_view>{"a", "b", "c", "d", "e", "f"}));
  EXPECT_EQ(result.sql,
            "REPLACE INTO fam___tbl (\"a\",\"b\",\"c\",\"d\",\"e\",\"f\") VALUES(?,?,?,?,?,?)");
  EXPECT_EQ(Parameters(result),
            (std::vector<Value>{Value::Text("it's"), Value::Integer(-1), Value::Decimal(0.5),
                                Value::Null(), Value::Bytes(std::string("\0\xFF", 2)),
                                Value::Bytes("")}));
}

TEST(ParameterizedStatementTest, TakesTheLiteralsOutOfADelete) {
  const std::string statement = "DELETE FROM fam___tbl WHERE \"a\" = 'x' AND \"b\" = 1";
  ParameterizedStatement result;
  ASSERT_TRUE(ParameterizeStatement(statement, &result));
  EXPECT_EQ(result.kind, Kind::kDelete);
  EXPECT_EQ(result.sql_table, "fam___tbl");
  EXPECT_EQ(result.columns, (std::vector<absl::string_view>{"a", "b"}));
  EXPECT_EQ(result.sql, "DELETE FROM fam___tbl WHERE \"a\" = ? AND \"b\" = ?");
  EXPECT_EQ(Parameters(result), (std::vector<Value>{Value::Text("x"), Value::Integer(1)}));
}

TEST(ParameterizedStatementTest, StatementsThatDifferInTheirValuesShareTheirText) {
  ParameterizedStatement a, b;
  ASSERT_TRUE(ParameterizeStatement("REPLACE INTO f___t (\"a\",\"b\") VALUES('x',1)", &a));
  ASSERT_TRUE(ParameterizeStatement("REPLACE INTO f___t (\"a\",\"b\") VALUES(NULL,x'00');", &b));
  EXPECT_EQ(a.sql, b.sql);
}

TEST(ParameterizedStatementTest, TakesOtherCaseSpacingAndQuotes) {
  for (absl::string_view statement : {"replace into f___t(\"a\",\"b\")values('x',1);",
                                      " REPLACE\nINTO\tf___t ( a , b ) VALUES ( 'x' , 1 ) ; ",
                                      "REPLACE INTO \"f___t\"(a,\"b\") VALUES('x',\n1)"}) {
    ParameterizedStatement result;
    ASSERT_TRUE(ParameterizeStatement(statement, &result)) << statement;
    EXPECT_EQ(result.sql_table, "f___t");
    EXPECT_EQ(result.columns, (std::vector<absl::string_view>{"a", "b"}));
    EXPECT_EQ(Parameters(result), (std::vector<Value>{Value::Text("x"), Value::Integer(1)}));
  }
  ParameterizedStatement result;
  EXPECT_TRUE(ParameterizeStatement("delete from f___t where a='x'\nand b=-1;\n", &result));
}

TEST(ParameterizedStatementTest, JsonBooleansAreIntegers) {
  ParameterizedStatement result;
  ASSERT_TRUE(ParameterizeStatement(
      "REPLACE INTO f___t (\"a\",\"b\",\"c\") VALUES(true,FALSE,null)", &result));
  EXPECT_EQ(Parameters(result),
            (std::vector<Value>{Value::Integer(1), Value::Integer(0), Value::Null()}));
}

TEST(ParameterizedStatementTest, TextMayHoldAnything) {
  for (std::string text : {"", "?", ";", "--", "\n", "\\", "😀", "x'00'", "VALUES('a')", "''", "\"",
                           "' AND \"b\" = 2", "\xFF\xFE"}) {
    const std::string statement = absl::StrCat("REPLACE INTO f___t (\"a\") VALUES('",
                                               absl::StrReplaceAll(text, {{"'", "''"}}), "')");
    ParameterizedStatement result;
    ASSERT_TRUE(ParameterizeStatement(statement, &result)) << statement;
    EXPECT_EQ(result.sql, "REPLACE INTO f___t (\"a\") VALUES(?)");
    EXPECT_EQ(Parameters(result), (std::vector<Value>{Value::Text(text)}));
  }
}

TEST(ParameterizedStatementTest, IntegersEndWhereSqlitesDo) {
  ParameterizedStatement result;
  ASSERT_TRUE(ParameterizeStatement(
      "REPLACE INTO t (a,b,c) VALUES(-9223372036854775808,9223372036854775807,007)", &result));
  EXPECT_EQ(
      Parameters(result),
      (std::vector<Value>{Value::Integer(std::numeric_limits<int64_t>::min()),
                          Value::Integer(std::numeric_limits<int64_t>::max()), Value::Integer(7)}));
  EXPECT_FALSE(ParameterizeStatement("REPLACE INTO t (a) VALUES(9223372036854775808)", &result));
  EXPECT_FALSE(ParameterizeStatement("REPLACE INTO t (a) VALUES(-9223372036854775809)", &result));
}

TEST(ParameterizedStatementTest, ViewsStayWhenManyLiteralsAreDecoded) {
  std::string statement = "REPLACE INTO t (a";
  for (int i = 1; i < 300; ++i) absl::StrAppend(&statement, ",a", i);
  absl::StrAppend(&statement, ") VALUES('0''0'");
  for (int i = 1; i < 300; ++i) {
    absl::StrAppend(&statement, i % 2 == 0 ? absl::StrCat(",'", i, "''", i, "'") : ",x'616263'");
  }
  statement += ")";
  ParameterizedStatement result;
  ASSERT_TRUE(ParameterizeStatement(statement, &result));
  ASSERT_EQ(result.parameters.size(), 300u);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(Value(result.parameters[i]),
              i % 2 == 0 ? Value::Text(absl::StrCat(i, "'", i)) : Value::Bytes("abc"));
  }
  // Used again, nothing of the last statement is left.
  ASSERT_TRUE(ParameterizeStatement("DELETE FROM u WHERE z = 'q''q'", &result));
  EXPECT_EQ(result.columns, (std::vector<absl::string_view>{"z"}));
  EXPECT_EQ(Parameters(result), (std::vector<Value>{Value::Text("q'q")}));
}

TEST(ParameterizedStatementTest, LeavesEverythingElseAlone) {
  const absl::string_view with_nul("REPLACE INTO t (a) VALUES('\0')", 30);
  for (absl::string_view statement : std::initializer_list<absl::string_view>{
           "",
           " ",
           ";",
           "--- BEGIN",
           "--- COMMIT",
           with_nul,
           "DELETE FROM t",
           "DELETE FROM t;",
           "DROP TABLE IF EXISTS t",
           "CREATE TABLE t (\"a\" INTEGER, PRIMARY KEY(\"a\"));",
           "REPLACE INTO t VALUES(1)",
           "REPLACE INTO t () VALUES()",
           "REPLACE INTO t (a) VALUES()",
           "REPLACE INTO t (a,b) VALUES(1)",
           "REPLACE INTO t (a) VALUES(1,2)",
           "REPLACE INTO t (a) VALUES(1),(2)",
           "REPLACE INTO t (a) VALUES(1) x",
           "REPLACE INTO t (a) VALUES(1);;",
           "REPLACE INTO t (a) VALUES(1); DELETE FROM t",
           "REPLACE INTO t (a) VALUES(1) -- x",
           "REPLACE INTO t (a) VALUES(?)",
           "REPLACE INTO t (a) VALUES(b)",
           "REPLACE INTO t (a) VALUES(\"b\")",
           "REPLACE INTO t (a) VALUES(1+1)",
           "REPLACE INTO t (a) VALUES((1))",
           "REPLACE INTO t (a) VALUES(+1)",
           "REPLACE INTO t (a) VALUES(- 1)",
           "REPLACE INTO t (a) VALUES(--1\n)",
           "REPLACE INTO t (a) VALUES(-)",
           "REPLACE INTO t (a) VALUES(1.)",
           "REPLACE INTO t (a) VALUES(.5)",
           "REPLACE INTO t (a) VALUES(1e5)",
           "REPLACE INTO t (a) VALUES(1.5e5)",
           "REPLACE INTO t (a) VALUES(0x10)",
           "REPLACE INTO t (a) VALUES(1.2.3)",
           "REPLACE INTO t (a) VALUES(1a)",
           "REPLACE INTO t (a) VALUES(x'0')",
           "REPLACE INTO t (a) VALUES(x'0g')",
           "REPLACE INTO t (a) VALUES(x'00)",
           "REPLACE INTO t (a) VALUES(x '00')",
           "REPLACE INTO t (a) VALUES('x",
           "REPLACE INTO t (a) VALUES('x''",
           "REPLACE INTO t (a) VALUES('x'||'y')",
           "REPLACE INTO t (a) VALUES('x'COLLATE NOCASE)",
           "REPLACE INTO t (a) VALUES(NULLx)",
           "REPLACE INTO t (a) VALUES(truex)",
           "REPLACE INTO main.t (a) VALUES(1)",
           "REPLACE INTO [t] (a) VALUES(1)",
           "REPLACE INTO `t` (a) VALUES(1)",
           "REPLACE INTO t ('a') VALUES(1)",
           "REPLACE INTO t (a) SELECT 1",
           "INSERT INTO t (a) VALUES(1)",
           "INSERT OR REPLACE INTO t (a) VALUES(1)",
           "REPLACE /**/ INTO t (a) VALUES(1)",
           "DELETE FROM t WHERE a",
           "DELETE FROM t WHERE a = b",
           "DELETE FROM t WHERE a = 1 OR b = 2",
           "DELETE FROM t WHERE a == 1",
           "DELETE FROM t WHERE a IS 1",
           "DELETE FROM t WHERE (a = 1)",
           "DELETE FROM t WHERE a = 1AND b = 2",
           "DELETE FROM t WHERE a = 'x'AND b = 2",
           "DELETE FROM t WHERE a = 1 AND",
           "DELETE FROM t WHERE a = 1 LIMIT 1",
           "DELETE FROM t WHERE a = true",
           "DELETE FROM t WHERE a = 1 = 1",
           "DELETE FROM t WHERE t.a = 1",
           "DELETE FROM t WHERE a = 1 COLLATE NOCASE"}) {
    ParameterizedStatement result;
    EXPECT_FALSE(ParameterizeStatement(statement, &result)) << statement;
  }
}

TEST(ParameterizedStatementTest, NumbersOutsideTheDoublesRangeAreLeftAlone) {
  ParameterizedStatement result;
  EXPECT_FALSE(ParameterizeStatement(
      absl::StrCat("REPLACE INTO t (a) VALUES(1", std::string(400, '0'), ".0)"), &result));
}

// Two tables that must stay the same: one gets the text, the other what was made of it.
class DifferentialTest : public testing::Test {
 protected:
  struct Table {
    Table()
        : database(*sqlite::Database::Open(":memory:", sqlite::Database::Mode::kReadWrite,
                                           absl::ZeroDuration())) {
      EXPECT_TRUE(database
                      ->Execute("CREATE TABLE fam___tbl (\"a\" VARCHAR(191), \"b\" INTEGER, \"c\" "
                                "REAL, \"d\" TEXT, \"e\" BLOB, \"true\" INTEGER, PRIMARY KEY(\"a\","
                                "\"b\")); PRAGMA synchronous=OFF")
                      .ok());
    }

    std::vector<std::vector<Value>> Rows() {
      std::unique_ptr<sqlite::Statement> rows =
          *database->Prepare("SELECT * FROM fam___tbl ORDER BY a, b, d, e");
      std::vector<std::vector<Value>> result;
      while (*rows->Step()) {
        result.emplace_back();
        for (int i = 0; i < rows->column_count(); ++i) result.back().emplace_back(rows->Column(i));
      }
      return result;
    }

    absl::Status RunParameterized(const ParameterizedStatement& statement) {
      absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared =
          database->Prepare(statement.sql);
      if (!prepared.ok()) return prepared.status();
      for (size_t i = 0; i < statement.parameters.size(); ++i) {
        absl::Status status = (*prepared)->Bind(static_cast<int>(i + 1), statement.parameters[i]);
        if (!status.ok()) return status;
      }
      return (*prepared)->Run();
    }

    std::unique_ptr<sqlite::Database> database;
  };

  static bool NearlyEqual(const Value& a, const Value& b) {
    if (a == b) return true;
    if (a.kind() != b.kind()) return false;
    const auto number = [](const Value& value) {
      switch (value.kind()) {
        case ValueKind::kInteger:
          return static_cast<double>(value.integer());
        case ValueKind::kDecimal:
          return value.decimal();
        default:
          return std::strtod(value.data().c_str(), nullptr);
      }
    };
    return number(a) == number(b) || std::nextafter(number(a), number(b)) == number(b) ||
           (a.kind() == ValueKind::kText && std::abs(number(a) / number(b) - 1) < 1e-13);
  }

  // Runs the statement both ways, where it can be, and compares.
  void Try(const std::string& statement) {
    ParameterizedStatement parameterized;
    if (!ParameterizeStatement(statement, &parameterized)) {
      ++left_alone_;
      return;
    }
    ++taken_;
    bool has_decimal = false;
    for (const ValueView& value : parameterized.parameters) {
      has_decimal = has_decimal || value.kind() == ValueKind::kDecimal;
    }
    seen_decimal_ = seen_decimal_ || has_decimal;
    const absl::Status text_status = text_.database->Execute(statement);
    const absl::Status bound_status = bound_.RunParameterized(parameterized);
    ASSERT_EQ(text_status.ok(), bound_status.ok()) << statement << "\n"
                                                   << text_status << "\n"
                                                   << bound_status;
    const std::vector<std::vector<Value>> text_rows = text_.Rows();
    const std::vector<std::vector<Value>> bound_rows = bound_.Rows();
    ASSERT_EQ(text_rows.size(), bound_rows.size()) << statement;
    for (size_t row = 0; row < text_rows.size(); ++row) {
      for (size_t i = 0; i < text_rows[row].size(); ++i) {
        if (seen_decimal_) {
          ASSERT_TRUE(NearlyEqual(text_rows[row][i], bound_rows[row][i]))
              << statement << "\n"
              << text_rows[row][i] << "\n"
              << bound_rows[row][i];
        } else {
          ASSERT_EQ(text_rows[row][i], bound_rows[row][i]) << statement;
        }
      }
    }
    if (text_rows.size() > 12) Clear();
  }

  void Clear() {
    ASSERT_TRUE(text_.database->Execute("DELETE FROM fam___tbl").ok());
    ASSERT_TRUE(bound_.database->Execute("DELETE FROM fam___tbl").ok());
    seen_decimal_ = false;
  }

  // A statement as an executive writes it, over few keys.
  std::string Written(RandomData* random) {
    static const TableSchema* const schema =
        new TableSchema(*TableSchema::Create("fam", "tbl",
                                             {{"a", FieldType::kString},
                                              {"b", FieldType::kInteger},
                                              {"c", FieldType::kDecimal},
                                              {"d", FieldType::kText},
                                              {"e", FieldType::kBinary},
                                              {"true", FieldType::kInteger}},
                                             {"a", "b"}));
    const std::string a = random->OneIn(3) ? random->Text(3) : "it's";
    const int64_t b = random->OneIn(4) ? random->Integer() : static_cast<int64_t>(random->Below(3));
    if (random->OneIn(3)) return DeleteStatement(*schema, {a, b});
    const Value c = random->Of(FieldType::kDecimal, true);
    const Value d = random->Of(FieldType::kText, true);
    const Value e = random->Of(FieldType::kBinary, true);
    const Value f = random->Of(FieldType::kInteger, true);
    return UpsertStatement(*schema, {a, b, random->OneIn(2) ? ValueView() : c, d, e, f});
  }

  Table text_;
  Table bound_;
  int taken_ = 0;
  int left_alone_ = 0;
  // A decimal that came in by either way may differ in its last digit from then on.
  bool seen_decimal_ = false;
};

TEST_F(DifferentialTest, WhatExecutivesWriteIsTakenAndDoesTheSame) {
  RandomData random(1);
  for (int i = 0; i < 8000; ++i) {
    ASSERT_NO_FATAL_FAILURE(Try(Written(&random)));
  }
  EXPECT_EQ(left_alone_, 0);
}

TEST_F(DifferentialTest, OtherCaseAndSpacingDoesTheSame) {
  RandomData random(2);
  for (int i = 0; i < 8000; ++i) {
    std::string statement = Written(&random);
    if (random.OneIn(2)) {
      statement = absl::StrReplaceAll(statement, {{"REPLACE INTO", "replace  Into"},
                                                  {"DELETE FROM", "delete\nfrom"},
                                                  {" AND ", "\n  and "},
                                                  {" VALUES(", "Values ( "}});
    }
    if (random.OneIn(3)) statement += random.OneIn(2) ? ";" : " ;\n";
    if (random.OneIn(8)) statement = absl::StrReplaceAll(statement, {{"NULL", "true"}});
    if (random.OneIn(8)) statement = absl::StrReplaceAll(statement, {{"\"b\" = 1", "b = true"}});
    if (random.OneIn(8))
      statement = absl::StrReplaceAll(statement, {{"NULL", "9223372036854775808"}});
    if (random.OneIn(8)) statement = absl::StrReplaceAll(statement, {{"\"b\"", "b"}});
    ASSERT_NO_FATAL_FAILURE(Try(statement));
  }
  EXPECT_GT(taken_, 6000);
}

TEST_F(DifferentialTest, DamagedStatementsAreLeftAloneOrDoTheSame) {
  static constexpr const char* kPieces[] = {"'",
                                            "''",
                                            "\"",
                                            "?",
                                            ";",
                                            "-",
                                            "--",
                                            ",",
                                            "(",
                                            ")",
                                            "x'",
                                            "X'0f'",
                                            "0",
                                            "9",
                                            ".",
                                            "e5",
                                            " ",
                                            "\n",
                                            "/*",
                                            "*/",
                                            "NULL",
                                            "true",
                                            "=",
                                            "AND",
                                            " AND \"b\" = 1",
                                            "\"true\"",
                                            "a",
                                            "\v",
                                            "$",
                                            "\xC3\xA9",
                                            "+",
                                            "::",
                                            " OR 1",
                                            "rowid",
                                            "[",
                                            "`",
                                            "COLLATE NOCASE"};
  RandomData random(3);
  for (int i = 0; i < 60000; ++i) {
    std::string statement = Written(&random);
    for (size_t changes = 1 + random.Below(2); changes > 0; --changes) {
      const size_t at = random.Below(statement.size() + 1);
      switch (random.Below(5)) {
        case 0:
          statement.insert(at, kPieces[random.Below(std::size(kPieces))]);
          break;
        case 1:
          statement.erase(at, 1 + random.Below(3));
          break;
        case 2:
          if (at < statement.size()) statement[at] = static_cast<char>(random.Below(256));
          break;
        case 3:
          // Something from elsewhere in the statement once more.
          statement.insert(
              at, statement.substr(random.Below(statement.size() + 1), 1 + random.Below(12)));
          break;
        default:
          statement.replace(at, 1, kPieces[random.Below(std::size(kPieces))]);
      }
    }
    ASSERT_NO_FATAL_FAILURE(Try(statement));
  }
  EXPECT_GT(taken_, 5000);
  EXPECT_GT(left_alone_, 5000);
}

}  // namespace
}  // namespace ctlstore::sql
