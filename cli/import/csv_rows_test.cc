#include "cli/import/csv_rows.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/import/temporary_file.h"

namespace ctlstore::cli {
namespace {

struct ReadResult {
  absl::Status status;
  std::vector<std::string> columns;
  std::vector<SourceRow> rows;
};

ReadResult ReadCsv(absl::string_view content, const CsvRows::Options& options = {}) {
  const TemporaryFile file(content, ".csv");
  auto source = SourceFile::Open(file.path());
  if (!source.ok()) return ReadResult{source.status(), {}, {}};
  CsvRows rows(source->get(), options);
  ReadResult result;
  result.status = rows.Read([&](const SourceRow& row) {
    result.rows.push_back(row);
    return absl::OkStatus();
  });
  result.columns = rows.columns();
  if (!result.status.ok() && absl::StartsWith(result.status.message(), file.path())) {
    result.status =
        absl::Status(result.status.code(),
                     absl::StrCat("FILE", result.status.message().substr(file.path().size())));
  }
  return result;
}

// Rows as "line: cell|cell", with null and an empty field told apart from an empty text.
std::vector<std::string> Shown(const ReadResult& read) {
  std::vector<std::string> shown;
  for (const SourceRow& row : read.rows) {
    std::vector<std::string> cells;
    for (const SourceRow::Item& item : row.items) {
      cells.push_back(item.cell.kind == Cell::Kind::kNull    ? "NULL"
                      : item.cell.kind == Cell::Kind::kEmpty ? "EMPTY"
                                                             : item.cell.text);
    }
    shown.push_back(absl::StrCat(
        row.line, ": ",
        row.status.ok() ? absl::StrJoin(cells, "|") : std::string(row.status.message())));
  }
  return shown;
}

using Lines = std::vector<std::string>;

TEST(CsvRowsTest, ReadsRecordsUnderTheirHeader) {
  const ReadResult read = ReadCsv("code,name\nNZ,New Zealand\nDE, Germany \n");
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.columns, (Lines{"code", "name"}));
  EXPECT_EQ(Shown(read), (Lines{"2: NZ|New Zealand", "3: DE| Germany "}));
  EXPECT_EQ(read.rows[0].items[0].cell.kind, Cell::Kind::kUntyped);
}

TEST(CsvRowsTest, CountsLinesInAndBetweenRecords) {
  for (const char* line_end : {"\n", "\r\n", "\r"}) {
    const std::string content =
        absl::StrReplaceAll("a,b\n1,\"x\ny \"\"z\"\"\n\"\n\n\n2,\n3,4", {{"\n", line_end}});
    const ReadResult read = ReadCsv(content);
    ASSERT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(Shown(read), (Lines{absl::StrCat("2: 1|x", line_end, "y \"z\"", line_end),
                                  "7: 2|EMPTY", "8: 3|4"}));
  }
}

TEST(CsvRowsTest, PassesOverAByteOrderMark) {
  const ReadResult read = ReadCsv("\xEF\xBB\xBF\"a\",b\r\n1,2\r\n");
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.columns, (Lines{"a", "b"}));
}

TEST(CsvRowsTest, TellsAnEmptyFieldFromAnEmptyText) {
  EXPECT_EQ(Shown(ReadCsv("a,b,c\n,\"\",NA\n")), (Lines{"2: EMPTY||NA"}));
  CsvRows::Options options;
  options.null_text = "NA";
  EXPECT_EQ(Shown(ReadCsv("a,b,c\n,\"\",NA\n", options)), (Lines{"2: ||NULL"}));
}

TEST(CsvRowsTest, TakesAnotherDelimiter) {
  CsvRows::Options options;
  options.delimiter = '\t';
  EXPECT_EQ(Shown(ReadCsv("a\tb\n1,2\t3\n", options)), (Lines{"2: 1,2|3"}));
}

TEST(CsvRowsTest, ReportsRecordsOfTheWrongLengthAndGoesOn) {
  EXPECT_EQ(Shown(ReadCsv("a,b\n1\n1,2,3\n1,2\n")),
            (Lines{"2: the record has 1 fields, the header has 2",
                   "3: the record has 3 fields, the header has 2", "4: 1|2"}));
}

TEST(CsvRowsTest, RefusesWrongQuotes) {
  EXPECT_TRUE(
      absl::StartsWith(ReadCsv("a\n1\nx\"y\n").status.message(), "FILE:3: quotes are wrong"));
  EXPECT_TRUE(
      absl::StartsWith(ReadCsv("a\n1\n\"x\" y\n").status.message(), "FILE:3: quotes are wrong"));
  const ReadResult open = ReadCsv("a\n1\n\"x\n2\n3\n");
  EXPECT_EQ(open.status.message(),
            "FILE:3: the quotes of a field in the record that begins here are not closed");
}

TEST(CsvRowsTest, RefusesAFileWithoutAHeader) {
  EXPECT_EQ(ReadCsv("").status.message(), "FILE:1: there is no header");
  EXPECT_EQ(ReadCsv("\n\n").status.message(), "FILE:1: there is no header");
  const ReadResult only_header = ReadCsv("a,b");
  EXPECT_TRUE(only_header.status.ok());
  EXPECT_EQ(only_header.columns, (Lines{"a", "b"}));
  EXPECT_TRUE(only_header.rows.empty());
}

TEST(CsvRowsTest, BoundsARecord) {
  const std::string half(RowSource::kMaxRowBytes / 2 + 1, 'x');
  const ReadResult good = ReadCsv(absl::StrCat("a\n", half, "\n", half, "\n", half, "\n"));
  ASSERT_TRUE(good.status.ok()) << good.status;
  EXPECT_EQ(good.rows.size(), 3u);
  const ReadResult bad = ReadCsv(absl::StrCat("a\n\n\"", half, "\n", half, "\n"));
  EXPECT_EQ(bad.status.message(),
            "FILE:3: the record that begins here is larger than 4 MiB; is a quote missing?");
}

TEST(CsvRowsTest, ReadsBackWhateverWasQuoted) {
  std::mt19937 random(7);
  const auto below = [&random](size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
  };
  static const char* const kParts[] = {"a",  "\"", ",",  "\n",       "\r\n",
                                       "\r", " ",  "\t", "\xC3\xA9", "1"};
  for (int round = 0; round < 300; ++round) {
    std::string content = "k,v\n";
    std::vector<std::string> values;
    for (size_t i = below(5); i > 0; --i) {
      std::string value;
      for (size_t j = below(6); j > 0; --j) value += kParts[below(std::size(kParts))];
      absl::StrAppend(&content, values.size(), ",\"", absl::StrReplaceAll(value, {{"\"", "\"\""}}),
                      "\"", below(2) == 0 ? "\r\n" : "\n");
      values.push_back(std::move(value));
    }
    const ReadResult read = ReadCsv(content);
    ASSERT_TRUE(read.status.ok()) << read.status << "\n" << content;
    ASSERT_EQ(read.rows.size(), values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(read.rows[i].items[1].cell.text, values[i]);
    }
  }
}

TEST(CsvRowsTest, AnyBytesEndInRowsOrInAnError) {
  std::mt19937 random(11);
  static const char kBytes[] = "ab\",\r\n\t \"\",,";
  for (int round = 0; round < 3000; ++round) {
    std::string content;
    for (int i = std::uniform_int_distribution<int>(0, 40)(random); i > 0; --i) {
      content += round % 2 == 0
                     ? kBytes[std::uniform_int_distribution<size_t>(0, sizeof(kBytes) - 2)(random)]
                     : static_cast<char>(random());
    }
    const ReadResult read = ReadCsv(content);
    EXPECT_TRUE(read.status.ok() || absl::IsInvalidArgument(read.status)) << read.status;
    for (const SourceRow& row : read.rows) {
      EXPECT_TRUE(!row.status.ok() || row.items.size() == read.columns.size());
    }
  }
}

}  // namespace
}  // namespace ctlstore::cli
