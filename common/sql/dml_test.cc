#include "common/sql/dml.h"

#include <gtest/gtest.h>

namespace ctlstore::sql {
namespace {

TEST(DmlTest, UpsertHasAParameterForEachFieldInTableOrder) {
  const TableSchema schema = *TableSchema::Create(
      "fam", "tbl", {{"a", FieldType::kString}, {"b", FieldType::kInteger}}, {"b"});
  EXPECT_EQ(UpsertSql(schema), "REPLACE INTO \"fam___tbl\" (\"a\",\"b\") VALUES (?,?)");
}

TEST(DmlTest, DeleteHasAParameterForEachKeyFieldInKeyOrder) {
  const TableSchema schema = *TableSchema::Create(
      "fam", "tbl",
      {{"a", FieldType::kString}, {"b", FieldType::kInteger}, {"c", FieldType::kText}}, {"b", "a"});
  EXPECT_EQ(DeleteSql(schema), "DELETE FROM \"fam___tbl\" WHERE \"b\" = ? AND \"a\" = ?");
}

TEST(DmlTest, OneFieldIsEnough) {
  const TableSchema schema =
      *TableSchema::Create("fam", "tbl", {{"a", FieldType::kBytestring}}, {"a"});
  EXPECT_EQ(UpsertSql(schema), "REPLACE INTO \"fam___tbl\" (\"a\") VALUES (?)");
  EXPECT_EQ(DeleteSql(schema), "DELETE FROM \"fam___tbl\" WHERE \"a\" = ?");
}

}  // namespace
}  // namespace ctlstore::sql
