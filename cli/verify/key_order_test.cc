#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/ldb/row_encoding.h"
#include "common/sql/dml.h"
#include "common/sql/random_data.h"

namespace ctlstore::cli {
namespace {

std::string Ordered(const std::vector<Value>& key) {
  std::string bytes;
  for (const Value& value : key) ldb::AppendOrdered(value, &bytes);
  return bytes;
}

class KeyOrderTest : public ctldb::testing::CtldbTest {};

TEST_P(KeyOrderTest, TheCtldbKeepsKeysInTheOrderOfTheirBytes) {
  const std::unique_ptr<ctldb::Connection> connection = OpenReady();
  const TableSchema schema = ctldb::testing::MustSchema(
      "fam", "tbl",
      {{"s", FieldType::kString}, {"i", FieldType::kInteger}, {"b", FieldType::kBytestring}},
      {"s", "i", "b"});
  ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(schema)).ok());
  sql::RandomData random(21);
  ASSERT_TRUE(connection->BeginWrite().ok());
  for (int i = 0; i < 3000; ++i) {
    // Few characters, so that many keys begin alike.
    const Value s = Value::Text(random.Text(3)), n = Value::Integer(random.Integer()),
                b = Value::Bytes(random.Bytes(2));
    ASSERT_TRUE(connection->Execute(sql::UpsertSql(schema), {s, n, b}).ok());
  }
  for (const char* text : {"a", "a ", "a\x01", "A", "ä", "z", "\xEE\x80\x80", "\xF0\x9F\x98\x80"}) {
    ASSERT_TRUE(connection->Execute(sql::UpsertSql(schema), {text, 0, ValueView::Bytes("")}).ok());
  }
  ASSERT_TRUE(connection->Commit().ok());
  const std::vector<std::vector<Value>> rows =
      ctldb::testing::MustQuery(connection.get(), "SELECT s, i, b FROM fam___tbl ORDER BY s, i, b");
  EXPECT_GT(rows.size(), 2500u);
  for (size_t i = 1; i < rows.size(); ++i) {
    ASSERT_LT(Ordered(rows[i - 1]), Ordered(rows[i])) << rows[i - 1][0] << " " << rows[i][0];
  }
}

CTLSTORE_FOR_BOTH_KINDS(KeyOrderTest);

}  // namespace
}  // namespace ctlstore::cli
