#include "common/ldb/row_encoding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/sql/random_data.h"
#include "common/sqlite/database.h"

namespace ctlstore::ldb {
namespace {

std::string Exact(const std::vector<Value>& row) {
  std::string bytes;
  for (const Value& value : row) AppendExact(value, &bytes);
  return bytes;
}

std::string Ordered(const std::vector<Value>& key) {
  std::string bytes;
  for (const Value& value : key) AppendOrdered(value, &bytes);
  return bytes;
}

TEST(RowEncodingTest, RowsOfOtherValuesHaveOtherBytes) {
  const std::vector<std::vector<Value>> rows = {
      {},
      {Value::Null()},
      {Value::Null(), Value::Null()},
      {Value::Text("")},
      {Value::Bytes("")},
      {Value::Integer(0)},
      {Value::Decimal(0)},
      {Value::Decimal(-0.0)},
      {Value::Text("0")},
      {Value::Bytes("0")},
      {Value::Text("n")},
      {Value::Text("ab"), Value::Text("c")},
      {Value::Text("a"), Value::Text("bc")},
      {Value::Text("a"), Value::Bytes("bc")},
      {Value::Decimal(0.1)},
      {Value::Decimal(std::nextafter(0.1, 1))},
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < rows.size(); ++j) EXPECT_EQ(Exact(rows[i]) == Exact(rows[j]), i == j);
  }
}

// Digests of different versions of the program are compared with each other.
TEST(RowEncodingTest, TheBytesAreForever) {
  EXPECT_EQ(absl::BytesToHexString(Exact({Value::Null(), Value::Integer(-2), Value::Decimal(1.5),
                                          Value::Text("é"), Value::Bytes("\x01")})),
            "6e69feffffffffffffff64000000000000f83f740200000000000000c3a962010000000000000001");
}

Value AnyValue(sql::RandomData* random) {
  switch (random->Below(6)) {
    case 0:
      return Value::Null();
    case 1:
      return Value::Integer(random->Integer());
    case 2:
      return Value::Decimal(random->Decimal());
    case 3:
      return Value::Decimal(static_cast<double>(random->Integer()));
    case 4:
      return Value::Text(random->Text(4));
    default:
      return Value::Bytes(random->Bytes(3));
  }
}

TEST(RowEncodingTest, KeysOfAnyKindsAreInTheOrderOfSqlite) {
  sql::RandomData random(20);
  auto database =
      *sqlite::Database::Open(absl::StrCat(testing::TempDir(), "/row_encoding_order.db"),
                              sqlite::Database::Mode::kReadWrite, absl::Seconds(1));
  // Without types nothing is converted.
  ASSERT_TRUE(database->Execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a, b)").ok());
  auto insert = *database->Prepare("INSERT INTO t VALUES (?, ?)");
  ASSERT_TRUE(database->Execute("BEGIN").ok());
  for (const double edge :
       {9223372036854775808.0, -9223372036854775808.0, 1e300, -1e300, -0.5,
        std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    ASSERT_TRUE(insert->Bind(1, edge).ok());
    ASSERT_TRUE(insert->Run().ok());
  }
  for (int i = 0; i < 5000; ++i) {
    const Value a = AnyValue(&random), b = AnyValue(&random);
    ASSERT_TRUE(insert->Bind(1, a).ok());
    ASSERT_TRUE(insert->Bind(2, b).ok());
    ASSERT_TRUE(insert->Run().ok());
  }
  auto select = *database->Prepare("SELECT a, b, a, b FROM t ORDER BY 1, 2");
  std::string previous;
  std::vector<Value> previous_key;
  int rows = 0;
  while (*select->Step()) {
    const std::vector<Value> key = {Value(select->Column(0)), Value(select->Column(1))};
    const std::string bytes = Ordered(key);
    ASSERT_LE(previous, bytes) << previous_key[0] << " " << previous_key[1] << " before " << key[0]
                               << " " << key[1];
    previous = bytes;
    previous_key = key;
    ++rows;
  }
  EXPECT_EQ(rows, 5007);
}

}  // namespace
}  // namespace ctlstore::ldb
