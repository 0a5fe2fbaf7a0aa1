#include "common/ldb/row_data.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace ctlstore::ldb {
namespace {

std::shared_ptr<const TableShape> Shape(size_t columns, std::vector<size_t> key) {
  auto shape = std::make_shared<TableShape>();
  shape->name = {"geo", "countries"};
  for (size_t i = 0; i < columns; ++i) {
    shape->columns.push_back({"c" + std::to_string(i), absl::nullopt});
  }
  shape->key = std::move(key);
  return shape;
}

std::vector<ValueView> Views(const std::vector<Value>& values) {
  std::vector<ValueView> views;
  for (const Value& value : values) views.push_back(value.view());
  return views;
}

void ExpectValues(const RowData& row, const std::vector<Value>& expected) {
  ASSERT_TRUE(row.exists());
  ASSERT_EQ(row.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(row.value(i).kind(), expected[i].view().kind()) << i;
    EXPECT_EQ(row.value(i), expected[i].view()) << i;
  }
}

TEST(RowDataTest, HasValuesOfAllKindsAsTheyWereGiven) {
  const std::string nuls("\0a\0", 3);
  const std::vector<Value> values = {
      Value(),
      Value::Integer(std::numeric_limits<int64_t>::min()),
      Value::Integer(std::numeric_limits<int64_t>::max()),
      Value::Decimal(-0.5),
      Value::Decimal(std::numeric_limits<double>::infinity()),
      Value::Text(""),
      Value::Text("Aotearoa"),
      Value::Text(nuls),
      Value::Bytes(""),
      Value::Bytes(nuls + "\xff"),
  };
  const RowData::Ptr row = RowData::Row(Shape(values.size(), {1}), Views(values));
  ExpectValues(*row, values);
}

TEST(RowDataTest, KeepsNothingOfWhatItWasMadeFrom) {
  RowData::Ptr row;
  {
    std::string text = "text";
    std::vector<ValueView> views = {ValueView(text), ValueView::Bytes(text)};
    row = RowData::Row(Shape(2, {0}), views);
    text = "TEXT";
    views.clear();
  }
  ExpectValues(*row, {Value::Text("text"), Value::Bytes("text")});
  EXPECT_EQ(row->shape().name, (TableName{"geo", "countries"}));
  EXPECT_EQ(row->shape().columns[1].name, "c1");
}

TEST(RowDataTest, DataMayBeLongAndColumnsMany) {
  const std::string large(3 << 20, 'x');
  const RowData::Ptr row =
      RowData::Row(Shape(3, {0}), {ValueView(large), ValueView(7), ValueView::Bytes(large + "y")});
  EXPECT_EQ(row->value(0), ValueView(large));
  EXPECT_EQ(row->value(1), ValueView(7));
  EXPECT_EQ(row->value(2), ValueView::Bytes(large + "y"));
  EXPECT_GE(row->bytes(), 2 * large.size());

  std::vector<Value> many;
  for (int64_t i = 0; i < 2000; ++i) {
    many.push_back(i % 2 == 0 ? Value::Integer(i) : Value::Text(std::to_string(i)));
  }
  ExpectValues(*RowData::Row(Shape(many.size(), {0}), Views(many)), many);
}

TEST(RowDataTest, RowsOfRandomValuesComeBack) {
  std::mt19937_64 random(20221122);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Value> values(random() % 12 + 1);
    for (Value& value : values) {
      std::string data(random() % 40, '\0');
      for (char& c : data) c = static_cast<char>(random());
      switch (random() % 5) {
        case 0:
          break;
        case 1:
          value = Value::Integer(static_cast<int64_t>(random()));
          break;
        case 2:
          value = Value::Decimal(static_cast<double>(random()) / 3);
          break;
        case 3:
          value = Value::Text(data);
          break;
        case 4:
          value = Value::Bytes(data);
          break;
      }
    }
    ExpectValues(*RowData::Row(Shape(values.size(), {0}), Views(values)), values);
  }
}

TEST(RowDataTest, AKeyIsInKeyOrderWhereverItsColumnsAre) {
  const RowData::Ptr row = RowData::Row(
      Shape(4, {3, 1}), {ValueView("a"), ValueView("b"), ValueView(1.5), ValueView(4)});
  EXPECT_EQ(row->key_value(0), ValueView(4));
  EXPECT_EQ(row->key_value(1), ValueView("b"));
  EXPECT_TRUE(row->HasKey({ValueView(4), ValueView("b")}));
  EXPECT_FALSE(row->HasKey({ValueView("b"), ValueView(4)}));
}

TEST(RowDataTest, AnotherKeyIsNotItsKey) {
  const RowData::Ptr row =
      RowData::Row(Shape(3, {0, 1}), {ValueView("NZ"), ValueView(1), ValueView(2)});
  EXPECT_TRUE(row->HasKey({ValueView("NZ"), ValueView(1)}));
  EXPECT_FALSE(row->HasKey({}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ")}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ"), ValueView(1), ValueView(2)}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ"), ValueView(2)}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ"), ValueView(1.0)}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ"), ValueView("1")}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ"), ValueView()}));
  EXPECT_FALSE(row->HasKey({ValueView::Bytes("NZ"), ValueView(1)}));
  EXPECT_FALSE(row->HasKey({ValueView(absl::string_view("NZ\0", 3)), ValueView(1)}));
}

TEST(RowDataTest, AMissingRowHasItsKeyAndNothingElse) {
  const std::shared_ptr<const TableShape> shape = Shape(5, {4, 2});
  const RowData::Ptr row = RowData::Missing(shape, {ValueView("NZ"), ValueView(3)});
  EXPECT_FALSE(row->exists());
  EXPECT_EQ(row->size(), 0u);
  EXPECT_EQ(row->key_value(0), ValueView("NZ"));
  EXPECT_EQ(row->key_value(1), ValueView(3));
  EXPECT_TRUE(row->HasKey({ValueView("NZ"), ValueView(3)}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ"), ValueView(4)}));
  EXPECT_FALSE(row->HasKey({ValueView("NZ")}));
  EXPECT_EQ(&row->shape(), shape.get());
}

TEST(RowDataTest, SharesItsShapeAndLetsItGo) {
  std::shared_ptr<const TableShape> shape = Shape(1, {0});
  const std::weak_ptr<const TableShape> watched = shape;
  RowData::Ptr row = RowData::Row(shape, {ValueView(1)});
  shape.reset();
  EXPECT_FALSE(watched.expired());
  row.reset();
  EXPECT_TRUE(watched.expired());
}

TEST(RowDataTest, TheCachesPartIsAtItsBeginningAlignedAndZero) {
  const RowData::Ptr row = RowData::Row(Shape(1, {0}), {ValueView("odd")});
  const auto* const link = reinterpret_cast<const unsigned char*>(row->cache_link());
  EXPECT_EQ(static_cast<const void*>(link), static_cast<const void*>(row.get()));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(link) % 8, 0u);
  for (size_t i = 0; i < RowData::kCacheLinkBytes; ++i) EXPECT_EQ(link[i], 0) << i;
}

}  // namespace
}  // namespace ctlstore::ldb
