#include "common/sql/quote.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/sql/parameterized_statement.h"
#include "common/sql/random_data.h"
#include "common/sqlite/database.h"

namespace ctlstore::sql {
namespace {

std::string Literal(const ValueView& value) {
  std::string sql;
  AppendLiteral(value, &sql);
  return sql;
}

// What ParameterizeStatement() reads a literal as.
Value Parsed(const std::string& literal) {
  const std::string statement = absl::StrCat("REPLACE INTO t (\"a\") VALUES(", literal, ")");
  ParameterizedStatement result;
  if (!ParameterizeStatement(statement, &result)) {
    ADD_FAILURE() << "not understood: " << literal;
    return Value();
  }
  return Value(result.parameters.at(0));
}

// Reads literals with SQLite.
class Sqlite {
 public:
  Sqlite()
      : database_(*sqlite::Database::Open(":memory:", sqlite::Database::Mode::kReadWrite,
                                          absl::ZeroDuration())) {}

  Value Read(const std::string& literal) {
    std::unique_ptr<sqlite::Statement> statement =
        *database_->Prepare(absl::StrCat("SELECT ", literal));
    EXPECT_TRUE(*statement->Step());
    return Value(statement->Column(0));
  }

 private:
  const std::unique_ptr<sqlite::Database> database_;
};

TEST(QuoteTest, WritesTheLedgersFormat) {
  EXPECT_EQ(Literal(ValueView()), "NULL");
  EXPECT_EQ(Literal(42), "42");
  EXPECT_EQ(Literal(-1), "-1");
  EXPECT_EQ(Literal(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(Literal(std::numeric_limits<int64_t>::max()), "9223372036854775807");
  EXPECT_EQ(Literal(""), "''");
  EXPECT_EQ(Literal("it's"), "'it''s'");
  EXPECT_EQ(Literal("''"), "''''''");
  EXPECT_EQ(Literal("a\\b\n;--?"), "'a\\b\n;--?'");
  EXPECT_EQ(Literal(ValueView::Bytes("")), "x''");
  EXPECT_EQ(Literal(ValueView::Bytes(absl::string_view("\0\xFFz", 3))), "x'00ff7a'");
}

TEST(QuoteTest, DecimalsHaveAPointAndNoExponent) {
  EXPECT_EQ(Literal(0.0), "0.0");
  EXPECT_EQ(Literal(1.0), "1.0");
  EXPECT_EQ(Literal(-1.5), "-1.5");
  EXPECT_EQ(Literal(0.1), "0.1");
  EXPECT_EQ(Literal(100.0), "100.0");
  EXPECT_EQ(Literal(123456.789), "123456.789");
  EXPECT_EQ(Literal(1e-7), "0.0000001");
  EXPECT_EQ(Literal(-1.25e-3), "-0.00125");
  EXPECT_EQ(Literal(1e23), absl::StrCat("1", std::string(23, '0'), ".0"));
  EXPECT_EQ(Literal(std::numeric_limits<double>::max()),
            absl::StrCat("17976931348623157", std::string(292, '0'), ".0"));
  EXPECT_EQ(Literal(5e-324), absl::StrCat("0.", std::string(323, '0'), "5"));
}

TEST(QuoteTest, NamesAreInDoubleQuotesWithQuotesDoubled) {
  std::string sql = "x ";
  AppendIdentifier("a\"b", &sql);
  EXPECT_EQ(sql, "x \"a\"\"b\"");
}

TEST(QuoteTest, EveryDecimalReadsBackAsItself) {
  RandomData random(1);
  for (int i = 0; i < 50000; ++i) {
    const double decimal = random.Decimal();
    const std::string literal = Literal(decimal);
    ASSERT_EQ(Parsed(literal), Value::Decimal(decimal)) << literal;
    ASSERT_EQ(literal.find_first_not_of("-.0123456789"), std::string::npos) << literal;
    ASSERT_NE(literal.find('.'), std::string::npos) << literal;
  }
}

TEST(QuoteTest, SqliteReadsDecimalsAsRealsOfNearlyTheSameValue) {
  Sqlite sqlite;
  RandomData random(2);
  for (int i = 0; i < 20000; ++i) {
    const double decimal = random.Decimal();
    const Value read = sqlite.Read(Literal(decimal));
    ASSERT_EQ(read.kind(), ValueKind::kDecimal) << Literal(decimal);
    const bool near =
        read.decimal() == decimal || std::nextafter(decimal, read.decimal()) == read.decimal();
    ASSERT_TRUE(near) << decimal << " " << read;
  }
}

TEST(QuoteTest, SqliteReadsEverythingElseAsItIs) {
  Sqlite sqlite;
  RandomData random(3);
  for (int i = 0; i < 20000; ++i) {
    const FieldType type = random.Type();
    if (type == FieldType::kDecimal) continue;
    const Value value = random.Of(type, /*nullable=*/true);
    ASSERT_EQ(sqlite.Read(Literal(value)), value) << Literal(value);
    ASSERT_EQ(Parsed(Literal(value)), value) << Literal(value);
  }
}

TEST(QuoteTest, SqliteReadsLongTextAndBytes) {
  Sqlite sqlite;
  RandomData random(4);
  std::string text;
  while (text.size() < 500000) text += random.Text(500);
  EXPECT_TRUE(sqlite.Read(Literal(text)) == Value::Text(text));
  EXPECT_TRUE(Parsed(Literal(text)) == Value::Text(text));
  std::string bytes;
  while (bytes.size() < 500000) bytes += random.Bytes(500);
  EXPECT_TRUE(sqlite.Read(Literal(ValueView::Bytes(bytes))) == Value::Bytes(bytes));
  EXPECT_TRUE(Parsed(Literal(ValueView::Bytes(bytes))) == Value::Bytes(bytes));
}

}  // namespace
}  // namespace ctlstore::sql
