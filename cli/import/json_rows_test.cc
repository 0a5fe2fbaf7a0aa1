#include "cli/import/json_rows.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/import/temporary_file.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;

struct ReadRow {
  int64_t line = 0;
  absl::Status status;
  std::map<std::string, Cell> cells;
};

struct ReadResult {
  absl::Status status;
  std::vector<ReadRow> rows;
};

ReadResult ReadJson(absl::string_view content, const std::string& member = "") {
  const TemporaryFile file(content, ".json");
  auto source = SourceFile::Open(file.path());
  ReadResult result;
  if (!source.ok()) return ReadResult{source.status(), {}};
  JsonRows rows(source->get(), member);
  result.status = rows.Read([&](const SourceRow& row) {
    ReadRow read{row.line, row.status, {}};
    for (const SourceRow::Item& item : row.items) {
      EXPECT_TRUE(read.cells.emplace(rows.columns()[item.column], item.cell).second ||
                  !row.status.ok());
    }
    result.rows.push_back(std::move(read));
    return absl::OkStatus();
  });
  // The file's name is not the same in every run.
  if (!result.status.ok() && absl::StartsWith(result.status.message(), file.path())) {
    result.status =
        absl::Status(result.status.code(),
                     absl::StrCat("FILE", result.status.message().substr(file.path().size())));
  }
  return result;
}

TEST(JsonRowsTest, ReadsAnArrayOfObjects) {
  const ReadResult read = ReadJson(R"([
    {"a": "x", "b": 1},

    {"b": -2.50, "c": null, "d": true}
  ])");
  ASSERT_TRUE(read.status.ok()) << read.status;
  ASSERT_EQ(read.rows.size(), 2u);
  EXPECT_EQ(read.rows[0].line, 2);
  EXPECT_EQ(read.rows[0].cells.at("a").kind, Cell::Kind::kText);
  EXPECT_EQ(read.rows[0].cells.at("a").text, "x");
  EXPECT_EQ(read.rows[0].cells.at("b").kind, Cell::Kind::kNumber);
  EXPECT_EQ(read.rows[0].cells.at("b").text, "1");
  EXPECT_EQ(read.rows[1].line, 4);
  EXPECT_EQ(read.rows[1].cells.at("b").text, "-2.50");
  EXPECT_EQ(read.rows[1].cells.at("c").kind, Cell::Kind::kNull);
  EXPECT_EQ(read.rows[1].cells.at("d").kind, Cell::Kind::kBoolean);
  EXPECT_EQ(read.rows[1].cells.at("d").text, "true");
}

TEST(JsonRowsTest, KeepsAllDigitsOfNumbers) {
  for (const char* number :
       {"9223372036854775807", "-9223372036854775808", "18446744073709551615",
        "123456789012345678901234567890", "0.1000000000000000055511151231257827", "1e5"}) {
    const ReadResult read = ReadJson(absl::StrCat("[{\"n\":", number, ",\"o\":[", number, "]}]"));
    ASSERT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(read.rows[0].cells.at("n").text, number);
    EXPECT_EQ(read.rows[0].cells.at("o").text, absl::StrCat("[", number, "]"));
  }
}

TEST(JsonRowsTest, TurnsNestedValuesIntoTheirJson) {
  const ReadResult read = ReadJson(
      "[{\"a\": {\"x\": [1, {\"y\\n\": \"q\\\"\\u00e9\"}, [], {}], \"z\": null }, \"b\" : [ ] }]");
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.rows[0].cells.at("a").kind, Cell::Kind::kJson);
  EXPECT_EQ(read.rows[0].cells.at("a").text,
            "{\"x\":[1,{\"y\\n\":\"q\\\"\xC3\xA9\"},[],{}],\"z\":null}");
  EXPECT_EQ(read.rows[0].cells.at("b").text, "[]");
}

TEST(JsonRowsTest, FindsTheOnlyArrayThatIsAMember) {
  const ReadResult read = ReadJson(
      "\xEF\xBB\xBF{\"version\": {\"rows\": [1]}, \"3166-1\": [{\"a\": 1}, {\"a\": 2}], \"n\": 1}");
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.rows.size(), 2u);
}

TEST(JsonRowsTest, TakesTheNamedArray) {
  const char* two = R"({"x": [{"a": 1}], "y": [{"a": 2}]})";
  EXPECT_EQ(ReadJson(two).status.message(),
            "FILE:1: there is a second array, y; name the one that has the rows");
  const ReadResult read = ReadJson(two, "y");
  ASSERT_TRUE(read.status.ok()) << read.status;
  ASSERT_EQ(read.rows.size(), 1u);
  EXPECT_EQ(read.rows[0].cells.at("a").text, "2");
  EXPECT_EQ(ReadJson(two, "z").status.message(), "FILE:1: there is no array named z");
  EXPECT_EQ(ReadJson(R"({"x": [], "x": []})", "x").status.message(),
            "FILE:1: there is a second array named x");
}

TEST(JsonRowsTest, NamesTheLineOfASyntaxError) {
  const ReadResult read = ReadJson("[\n{\"a\": 1},\n{\"secret\": tru}\n]");
  EXPECT_TRUE(absl::IsInvalidArgument(read.status));
  EXPECT_TRUE(absl::StartsWith(read.status.message(), "FILE:3: syntax error")) << read.status;
  EXPECT_FALSE(absl::StrContains(read.status.message(), "secret")) << read.status;
  EXPECT_EQ(read.rows.size(), 1u);
}

TEST(JsonRowsTest, RefusesWhatHasNoRows) {
  for (const char* content :
       {"", " ", "1", "null", "{}", "{\"a\":{}}", "[", "[{}", "[{}]]", "[{}] x", "{\"a\":[]",
        "[{},]", "{\"a\":[],}", "\"x\"", "[{\"a\":1e999}]"}) {
    const ReadResult read = ReadJson(content);
    EXPECT_TRUE(absl::IsInvalidArgument(read.status)) << content << ": " << read.status;
  }
}

TEST(JsonRowsTest, ReportsElementsThatAreNotObjectsAndGoesOn) {
  const ReadResult read =
      ReadJson("[1,\n[2, {\"a\": [1]}],\nnull,\n{\"a\": 1, \"a\": 2},\n{\"a\": 5}\n]");
  ASSERT_TRUE(read.status.ok()) << read.status;
  ASSERT_EQ(read.rows.size(), 5u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(read.rows[i].line, i + 1);
    EXPECT_TRUE(absl::IsInvalidArgument(read.rows[i].status)) << i;
  }
  EXPECT_TRUE(read.rows[4].status.ok());
  EXPECT_EQ(read.rows[4].cells.at("a").text, "5");
}

TEST(JsonRowsTest, BoundsARowButNotTheFile) {
  const std::string half(RowSource::kMaxRowBytes / 2, 'x');
  const std::string row = absl::StrCat("{\"a\":\"", half, "\"}");
  // Members that are passed over count for themselves, too.
  const ReadResult good =
      ReadJson(absl::StrCat("{\"x\":\"", half, "\",\"y\":\"", half, "\",\"z\":{\"q\":\"", half,
                            "\",\"r\":\"", half, "\"},\"rows\":[", row, ",", row, ",", row, "]}"));
  ASSERT_TRUE(good.status.ok()) << good.status;
  EXPECT_EQ(good.rows.size(), 3u);

  const ReadResult bad = ReadJson(absl::StrCat("[\n{\"a\":1},\n{\"a\":\"", half, "\",\"b\":\"",
                                               half, "\",\"c\":\"", half, "\"}]"));
  EXPECT_EQ(bad.status.message(), "FILE:3: the value that begins here is larger than 4 MiB");
  EXPECT_EQ(bad.rows.size(), 1u);
}

TEST(JsonRowsTest, BoundsTheNumberOfColumns) {
  std::string content = "[";
  for (size_t i = 0; i <= RowSource::kMaxColumns; ++i) {
    absl::StrAppend(&content, i == 0 ? "" : ",", "{\"c", i, "\":1}");
  }
  const ReadResult read = ReadJson(content + "]");
  EXPECT_TRUE(absl::StrContains(read.status.message(), "more than 1000 columns")) << read.status;
}

TEST(JsonRowsTest, HandsOnTheVisitorsError) {
  const TemporaryFile file("[{\"a\":1},{\"a\":2}]");
  auto source = SourceFile::Open(file.path());
  ASSERT_TRUE(source.ok());
  JsonRows rows(source->get(), "");
  int visited = 0;
  const absl::Status status = rows.Read([&](const SourceRow&) {
    ++visited;
    return absl::AbortedError("enough");
  });
  EXPECT_EQ(status, absl::AbortedError("enough"));
  EXPECT_EQ(visited, 1);
}

// Random documents, so that what is read can be compared with what a parser of whole documents
// says.
class RandomJson {
 public:
  explicit RandomJson(uint32_t seed) : random_(seed) {}

  size_t Below(size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random_);
  }

  std::string Text() {
    static const char* const kParts[] = {
        "a", "B",    "\"", "\\", "\n", "\t",       "{",
        "}", "[",    "]",  ",",  ":",  "\xC3\xA9", "\xF0\x9F\x87\xB3",
        " ", "\x01", "0"};
    std::string text;
    for (size_t i = Below(8); i > 0; --i) text += kParts[Below(std::size(kParts))];
    return text;
  }

  json Any(int depth) {
    switch (Below(depth > 0 ? 9 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return Below(2) == 0;
      case 2:
        return static_cast<int64_t>(random_()) - (int64_t{1} << 31);
      case 3:
        return static_cast<uint64_t>(random_()) << 32 | random_();
      case 4:
        return static_cast<double>(random_()) / 7;
      case 5:
      case 6:
        return Text();
      case 7: {
        json array = json::array();
        for (size_t i = Below(4); i > 0; --i) array.push_back(Any(depth - 1));
        return array;
      }
      default:
        return Object(depth - 1);
    }
  }

  json Object(int depth) {
    json object = json::object();
    for (size_t i = Below(5); i > 0; --i) object[Text()] = Any(depth);
    return object;
  }

 private:
  std::mt19937 random_;
};

json ParseCell(const Cell& cell) {
  return cell.kind == Cell::Kind::kNull   ? json()
         : cell.kind == Cell::Kind::kText ? json(cell.text)
                                          : json::parse(cell.text, nullptr, false);
}

TEST(JsonRowsTest, ReadsWhatAParserOfTheWholeDocumentReads) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    RandomJson random(seed);
    json array = json::array();
    for (size_t i = random.Below(6); i > 0; --i) {
      array.push_back(random.Below(8) == 0 ? random.Any(2) : random.Object(3));
    }
    json document = array;
    if (random.Below(2) == 0) {
      document = json::object({{"before", random.Object(0)}, {"rows", array}, {"zz", "x"}});
    }
    const int indent = static_cast<int>(random.Below(3)) - 1;
    const ReadResult read = ReadJson(document.dump(indent, ' ', random.Below(2) == 0), "rows");
    ASSERT_TRUE(read.status.ok()) << read.status << "\n" << document.dump();
    ASSERT_EQ(read.rows.size(), array.size());
    for (size_t i = 0; i < array.size(); ++i) {
      ASSERT_EQ(read.rows[i].status.ok(), array[i].is_object()) << array[i].dump();
      if (!array[i].is_object()) continue;
      json rebuilt = json::object();
      for (const auto& [name, cell] : read.rows[i].cells) rebuilt[name] = ParseCell(cell);
      ASSERT_EQ(rebuilt, array[i]) << array[i].dump();
    }
  }
}

TEST(JsonRowsTest, AcceptsExactlyWhatIsJson) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    RandomJson random(seed);
    std::string text = json::array({random.Object(2), random.Object(2)}).dump();
    for (size_t i = random.Below(3); i > 0; --i) {
      const size_t place = random.Below(text.size());
      switch (random.Below(4)) {
        case 0:
          text.erase(place, 1 + random.Below(3));
          break;
        case 1:
          text.insert(place, random.Text());
          break;
        case 2:
          text[place] = static_cast<char>(random.Below(256));
          break;
        default:
          text.resize(place);
          break;
      }
      if (text.empty()) text = " ";
    }
    const ReadResult read = ReadJson(text);
    const json whole = json::parse(text, nullptr, false);
    const bool readable = whole.is_array();
    EXPECT_EQ(read.status.ok(), readable) << read.status << "\n" << text;
  }
}

}  // namespace
}  // namespace ctlstore::cli
