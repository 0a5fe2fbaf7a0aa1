#include "common/schema/value.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>
#include <utility>
#include <vector>

namespace ctlstore {
namespace {

TEST(ValueTest, ViewsAreMadeOfWhatKeysAreWrittenWith) {
  EXPECT_TRUE(ValueView().is_null());
  EXPECT_EQ(ValueView("x").kind(), ValueKind::kText);
  EXPECT_EQ(ValueView(std::string("x")).data(), "x");
  EXPECT_EQ(ValueView(1).kind(), ValueKind::kInteger);
  EXPECT_EQ(ValueView(uint32_t{4294967295}).integer(), 4294967295);
  EXPECT_EQ(ValueView(std::numeric_limits<int64_t>::min()).integer(),
            std::numeric_limits<int64_t>::min());
  EXPECT_EQ(ValueView(1.5).decimal(), 1.5);
  EXPECT_EQ(ValueView::Bytes("x").kind(), ValueKind::kBytes);
  // What could lose something, or mean something else, is not taken.
  EXPECT_FALSE((std::is_constructible_v<ValueView, uint64_t>));
  EXPECT_FALSE((std::is_constructible_v<ValueView, bool>));
}

TEST(ValueTest, EqualIsTheSameKindAndTheSameBytes) {
  const std::vector<ValueView> different = {
      ValueView(),    ValueView(1),  ValueView(0),          ValueView(1.0),
      ValueView("1"), ValueView(""), ValueView::Bytes("1"), ValueView::Bytes("")};
  for (size_t i = 0; i < different.size(); ++i) {
    for (size_t j = 0; j < different.size(); ++j) {
      EXPECT_EQ(different[i] == different[j], i == j) << i << " " << j;
      EXPECT_EQ(different[i] != different[j], i != j);
    }
  }
  EXPECT_NE(ValueView("a"), ValueView("A"));
  EXPECT_NE(ValueView("a"), ValueView("a "));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(ValueView(nan), ValueView(nan));
}

TEST(ValueTest, AValueOwnsWhatAViewShowed) {
  std::string text = "text";
  Value value{ValueView(text)};
  text = "other";
  EXPECT_EQ(value, Value::Text("text"));
  Value copy = value;
  const Value moved = std::move(value);
  EXPECT_EQ(copy, moved);
  EXPECT_EQ(moved.view().data().data(), moved.data().data());
}

TEST(ValueTest, EveryKindGoesThroughAViewUnchanged) {
  for (const Value& value :
       {Value::Null(), Value::Integer(-1), Value::Decimal(0.1), Value::Text("x"), Value::Text(""),
        Value::Bytes("x"), Value::Bytes("")}) {
    EXPECT_EQ(Value(value.view()), value);
    EXPECT_EQ(value.view().kind(), value.kind());
  }
}

TEST(ValueTest, IsShownShortAndEscaped) {
  EXPECT_EQ(DebugString(ValueView()), "null");
  EXPECT_EQ(DebugString(-42), "-42");
  EXPECT_EQ(DebugString(1.5), "1.5");
  EXPECT_EQ(DebugString("a\n\"é"), "\"a\\n\\\"é\"");
  EXPECT_EQ(DebugString(ValueView::Bytes("\x01z")), "x'017a'");
  EXPECT_EQ(DebugString(std::string(65, 'x')), "\"" + std::string(64, 'x') + "...\"");
  std::ostringstream out;
  out << Value::Integer(7);
  EXPECT_EQ(out.str(), "7");
}

}  // namespace
}  // namespace ctlstore
