#include "cli/import/csv_rows.h"

#include <csv.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ctlstore::cli {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;
constexpr size_t kFieldGrowth = size_t{64} << 10;
constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

int NoBlanks(unsigned char) { return 0; }

// One reading of a file: feeds libcsv line by line, so that records know where they begin.
class CsvReading {
 public:
  CsvReading(const std::string& file_name, const CsvRows::Options& options,
             std::vector<std::string>* columns, RowSource::Visitor visit)
      : file_name_(file_name), options_(options), columns_(columns), visit_(visit) {
    columns_->clear();
    csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL);
    csv_set_delim(&parser_, static_cast<unsigned char>(options.delimiter));
    csv_set_space_func(&parser_, NoBlanks);
    // How much a long field's memory grows by, which is copied each time.
    csv_set_blk_size(&parser_, kFieldGrowth);
  }
  ~CsvReading() { csv_free(&parser_); }
  CsvReading(const CsvReading&) = delete;
  CsvReading& operator=(const CsvReading&) = delete;

  absl::Status Feed(absl::string_view data) {
    while (!data.empty()) {
      // A line ends with LF, CR LF or CR; of CR LF the LF may come with the next data.
      if (after_cr_ && data.front() != '\n') NextLine();
      const size_t end = data.find_first_of("\r\n");
      const absl::string_view piece = data.substr(0, end == data.npos ? end : end + 1);
      absl::Status parsed = Parse(piece);
      if (!parsed.ok()) return parsed;
      after_cr_ = piece.back() == '\r';
      if (piece.back() == '\n') NextLine();
      data.remove_prefix(piece.size());
    }
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (csv_fini(&parser_, OnField, OnRecord, this) != 0) {
      return Error("the quotes of a field in the record that begins here are not closed",
                   record_line_);
    }
    if (!status_.ok()) return status_;
    if (!has_header_) return Error("there is no header", 1);
    return absl::OkStatus();
  }

 private:
  static void OnField(void* data, size_t size, void* self) {
    static_cast<CsvReading*>(self)->AddField(static_cast<const char*>(data), size);
  }
  static void OnRecord(int, void* self) { static_cast<CsvReading*>(self)->EndRecord(); }

  absl::Status Error(absl::string_view message, int64_t line) const {
    return absl::InvalidArgumentError(absl::StrCat(file_name_, ":", line, ": ", message));
  }

  void NextLine() {
    after_cr_ = false;
    ++line_;
    if (record_bytes_ == 0) record_line_ = line_;
  }

  absl::Status Parse(absl::string_view piece) {
    // Line ends between records belong to none.
    if (record_bytes_ > 0 || (piece != "\n" && piece != "\r")) record_bytes_ += piece.size();
    if (csv_parse(&parser_, piece.data(), piece.size(), OnField, OnRecord, this) != piece.size()) {
      return Error(
          "quotes are wrong: a field that holds quotes must be in quotes as a whole, with the "
          "quotes in it doubled",
          line_);
    }
    if (!status_.ok()) return status_;
    if (record_bytes_ > RowSource::kMaxRowBytes) {
      return Error(absl::StrCat("the record that begins here is larger than ",
                                RowSource::kMaxRowBytes >> 20, " MiB; is a quote missing?"),
                   record_line_);
    }
    return absl::OkStatus();
  }

  void AddField(const char* data, size_t size) {
    if (!status_.ok()) return;
    const absl::string_view text(data == nullptr ? "" : data, size);
    if (!has_header_) {
      if (columns_->size() == RowSource::kMaxColumns) {
        status_ = Error(absl::StrCat("there are more than ", RowSource::kMaxColumns, " columns"),
                        record_line_);
        return;
      }
      columns_->emplace_back(text);
      return;
    }
    // Fields beyond the header's are counted, not kept.
    if (fields_++ >= columns_->size()) return;
    Cell::Kind kind = Cell::Kind::kUntyped;
    if (options_.null_text.empty()) {
      if (data == nullptr) kind = Cell::Kind::kEmpty;
    } else if (text == options_.null_text) {
      kind = Cell::Kind::kNull;
    }
    row_.items.push_back(SourceRow::Item{fields_ - 1, Cell{kind, std::string(text)}});
  }

  void EndRecord() {
    if (!status_.ok()) return;
    if (!has_header_) {
      has_header_ = true;
    } else {
      row_.line = record_line_;
      row_.status = absl::OkStatus();
      if (fields_ != columns_->size()) {
        row_.status = absl::InvalidArgumentError(
            absl::StrCat("the record has ", fields_, " fields, the header has ", columns_->size()));
      }
      status_ = visit_(row_);
    }
    fields_ = 0;
    row_.items.clear();
    record_bytes_ = 0;
  }

  const std::string& file_name_;
  const CsvRows::Options& options_;
  std::vector<std::string>* const columns_;
  const RowSource::Visitor visit_;

  csv_parser parser_;
  int64_t line_ = 1;
  bool after_cr_ = false;
  // Of the record under way.
  int64_t record_line_ = 1;
  size_t record_bytes_ = 0;
  size_t fields_ = 0;
  SourceRow row_;
  bool has_header_ = false;
  absl::Status status_;
};

}  // namespace

absl::Status CsvRows::Read(Visitor visit) {
  absl::Status rewound = file_->Rewind();
  if (!rewound.ok()) return rewound;
  CsvReading reading(file_->name(), options_, &columns_, visit);
  std::vector<char> buffer(kBufferBytes);
  bool first = true;
  while (true) {
    absl::StatusOr<size_t> count = file_->Read(buffer.data(), buffer.size());
    if (!count.ok()) return count.status();
    if (*count == 0) break;
    absl::string_view data(buffer.data(), *count);
    if (first && absl::StartsWith(data, kByteOrderMark)) data.remove_prefix(kByteOrderMark.size());
    first = false;
    absl::Status fed = reading.Feed(data);
    if (!fed.ok()) return fed;
  }
  return reading.Finish();
}

}  // namespace ctlstore::cli
