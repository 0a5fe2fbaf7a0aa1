#include "cli/import/json_rows.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;

constexpr size_t kBufferBytes = size_t{64} << 10;

// The file's characters one by one, with the line of the last one taken.
class Characters {
 public:
  explicit Characters(SourceFile* file) : file_(file), buffer_(kBufferBytes) {}

  bool AtEnd() {
    if (position_ < filled_) return false;
    if (!status_.ok() || too_large_) return true;
    absl::StatusOr<size_t> count = file_->Read(buffer_.data(), buffer_.size());
    status_ = count.status();
    position_ = 0;
    filled_ = count.ok() ? *count : 0;
    return filled_ == 0;
  }

  char Current() const { return buffer_[position_]; }

  void Take() {
    // A line's end belongs to its line.
    if (line_ended_) ++line_;
    line_ended_ = buffer_[position_] == '\n';
    ++position_;
    if (++taken_ <= RowSource::kMaxRowBytes) return;
    // Looks like the file's end from now on, so that the parser stops.
    too_large_ = true;
    position_ = filled_ = 0;
  }

  void BeginCounting() { taken_ = 0; }

  int64_t line() const { return line_; }
  bool too_large() const { return too_large_; }
  const absl::Status& status() const { return status_; }

 private:
  SourceFile* const file_;
  std::vector<char> buffer_;
  size_t position_ = 0;
  size_t filled_ = 0;
  // Since BeginCounting().
  size_t taken_ = 0;
  bool too_large_ = false;
  int64_t line_ = 1;
  bool line_ended_ = false;
  absl::Status status_;
};

class CharacterIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  explicit CharacterIterator(Characters* characters) : characters_(characters) {}
  char operator*() const { return characters_->Current(); }
  CharacterIterator& operator++() {
    characters_->Take();
    return *this;
  }
  // Only ever compared with the end.
  bool operator==(const CharacterIterator&) const { return characters_->AtEnd(); }
  bool operator!=(const CharacterIterator& other) const { return !(*this == other); }

 private:
  Characters* characters_;
};

std::string Quoted(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

// What is wrong, without the place, which is known better here, and without the file's content.
std::string SyntaxErrorText(absl::string_view message) {
  const size_t begin = message.find("syntax error");
  if (begin != absl::string_view::npos) message.remove_prefix(begin);
  const size_t id_end = message.find("] ");
  if (absl::StartsWith(message, "[") && id_end != absl::string_view::npos) {
    message.remove_prefix(id_end + 2);
  }
  message = message.substr(0, message.find("; last read"));
  return std::string(message.substr(0, message.find(" parsing '")));
}

// Turns the parser's events into rows.
class RowBuilder : public nlohmann::json_sax<json> {
 public:
  RowBuilder(const std::string& file_name, const std::string& member, Characters* characters,
             std::vector<std::string>* columns, RowSource::Visitor visit)
      : file_name_(file_name),
        member_(member),
        characters_(characters),
        columns_(columns),
        visit_(visit) {
    for (size_t i = 0; i < columns->size(); ++i) positions_.emplace((*columns)[i], i);
  }

  // The visitor's error, or what is wrong with the file.
  absl::Status Finish(bool parsed) {
    if (!characters_->status().ok()) return characters_->status();
    if (!status_.ok()) return status_;
    if (characters_->too_large()) {
      return Error(absl::StrCat("the value that begins here is larger than ",
                                RowSource::kMaxRowBytes >> 20, " MiB"),
                   begin_line_);
    }
    if (!parsed) return Error(syntax_error_, characters_->line());
    if (rows_found_) return absl::OkStatus();
    if (!member_.empty()) return Error(absl::StrCat("there is no array named ", member_), 1);
    return Error("there is no array of rows", 1);
  }

  bool null() override { return Scalar(Cell{Cell::Kind::kNull, ""}, "null"); }
  bool boolean(bool value) override {
    const char* text = value ? "true" : "false";
    return Scalar(Cell{Cell::Kind::kBoolean, text}, text);
  }
  bool number_integer(number_integer_t value) override { return Number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Number(std::to_string(value)); }
  bool number_float(number_float_t, const std::string& token) override { return Number(token); }
  bool string(std::string& value) override {
    std::string quoted = where_ == Where::kNested ? Quoted(value) : "";
    return Scalar(Cell{Cell::Kind::kText, std::move(value)}, quoted);
  }
  bool binary(binary_t&) override { return false; }

  bool start_object(size_t) override {
    switch (where_) {
      case Where::kTop:
        where_ = Where::kMembers;
        return Boundary();
      case Where::kMembers:
        return Skip();
      case Where::kRows:
        Boundary();
        row_.line = characters_->line();
        row_.items.clear();
        row_.status = absl::OkStatus();
        where_ = Where::kRow;
        return true;
      case Where::kRow:
      case Where::kNested:
        return Nest('{');
      case Where::kSkipped:
        return Skip();
    }
    return false;
  }

  bool start_array(size_t) override {
    switch (where_) {
      case Where::kTop:
        rows_found_ = true;
        where_ = Where::kRows;
        return Boundary();
      case Where::kMembers:
        if (!member_.empty() && member_name_ != member_) return Skip();
        if (rows_found_) {
          return Fail(member_.empty() ? absl::StrCat("there is a second array, ", member_name_,
                                                     "; name the one that has the rows")
                                      : absl::StrCat("there is a second array named ", member_));
        }
        rows_found_ = true;
        in_member_ = true;
        where_ = Where::kRows;
        return Boundary();
      case Where::kRows:
        // A bad row, to be reported at its end, when the file is known to go on.
        Boundary();
        row_.line = characters_->line();
        return Skip();
      case Where::kRow:
      case Where::kNested:
        return Nest('[');
      case Where::kSkipped:
        return Skip();
    }
    return false;
  }

  bool key(std::string& name) override {
    switch (where_) {
      case Where::kMembers:
        member_name_ = name;
        return Boundary();
      case Where::kRow:
        return Column(name);
      case Where::kNested:
        Separate();
        absl::StrAppend(&item_.cell.text, Quoted(name), ":");
        return true;
      case Where::kSkipped:
        if (!skipping_row_) Boundary();
        return true;
      default:
        return false;
    }
  }

  bool end_object() override { return End('}'); }
  bool end_array() override { return End(']'); }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    syntax_error_ = SyntaxErrorText(error.what());
    return false;
  }

 private:
  enum class Where { kTop, kMembers, kRows, kRow, kNested, kSkipped };

  absl::Status Error(absl::string_view message, int64_t line) const {
    return absl::InvalidArgumentError(absl::StrCat(file_name_, ":", line, ": ", message));
  }

  bool Fail(absl::string_view message) {
    status_ = Error(message, characters_->line());
    return false;
  }

  // Between rows, and between the parts of what is not a row: the size counts anew from here.
  bool Boundary() {
    characters_->BeginCounting();
    begin_line_ = characters_->line();
    return true;
  }

  bool Number(const std::string& token) { return Scalar(Cell{Cell::Kind::kNumber, token}, token); }

  bool Scalar(Cell cell, absl::string_view json_text) {
    switch (where_) {
      case Where::kTop:
        return Fail("there is neither an array nor an object with one");
      case Where::kMembers:
        return Boundary();
      case Where::kRows:
        row_.line = characters_->line();
        return BadRow();
      case Where::kRow:
        item_.cell = std::move(cell);
        return AddItem();
      case Where::kNested:
        Separate();
        absl::StrAppend(&item_.cell.text, json_text);
        return true;
      case Where::kSkipped:
        if (!skipping_row_) Boundary();
        return true;
    }
    return false;
  }

  bool Column(const std::string& name) {
    const auto [found, is_new] = positions_.emplace(name, columns_->size());
    if (is_new) {
      if (columns_->size() == RowSource::kMaxColumns) {
        return Fail(absl::StrCat("there are more than ", RowSource::kMaxColumns, " columns"));
      }
      columns_->push_back(name);
    }
    item_.column = found->second;
    return true;
  }

  bool AddItem() {
    for (const SourceRow::Item& item : row_.items) {
      if (item.column != item_.column || !row_.status.ok()) continue;
      row_.status = InvalidField((*columns_)[item_.column], reason::kInvalidValue,
                                 "the object has two members of this name");
    }
    row_.items.push_back(std::move(item_));
    item_ = SourceRow::Item();
    return true;
  }

  bool Nest(char open) {
    if (where_ == Where::kRow) {
      where_ = Where::kNested;
      depth_ = 0;
      item_.cell = Cell{Cell::Kind::kJson, ""};
    }
    Separate();
    item_.cell.text += open;
    ++depth_;
    return true;
  }

  // Values that follow one another have a comma between them.
  void Separate() {
    const std::string& text = item_.cell.text;
    if (text.empty() || text.back() == '{' || text.back() == '[' || text.back() == ':') return;
    item_.cell.text += ',';
  }

  bool Skip() {
    if (where_ != Where::kSkipped) {
      skipping_row_ = where_ == Where::kRows;
      where_ = Where::kSkipped;
      depth_ = 0;
    }
    if (!skipping_row_) Boundary();
    ++depth_;
    return true;
  }

  bool End(char close) {
    switch (where_) {
      case Where::kMembers:
        return Boundary();
      case Where::kRows:
        // The parser itself checks that nothing follows.
        if (in_member_) where_ = Where::kMembers;
        return Boundary();
      case Where::kRow:
        where_ = Where::kRows;
        return Visit();
      case Where::kNested:
        item_.cell.text += close;
        if (--depth_ > 0) return true;
        where_ = Where::kRow;
        return AddItem();
      case Where::kSkipped:
        if (--depth_ > 0) return true;
        where_ = skipping_row_ ? Where::kRows : Where::kMembers;
        return skipping_row_ ? BadRow() : Boundary();
      case Where::kTop:
        break;
    }
    return false;
  }

  bool BadRow() {
    row_.items.clear();
    row_.status = absl::InvalidArgumentError("a row must be an object");
    return Visit();
  }

  bool Visit() {
    Boundary();
    status_ = visit_(row_);
    return status_.ok();
  }

  const std::string& file_name_;
  const std::string& member_;
  Characters* const characters_;
  std::vector<std::string>* const columns_;
  const RowSource::Visitor visit_;

  absl::flat_hash_map<std::string, size_t> positions_;
  Where where_ = Where::kTop;
  // Of open brackets in what is nested or skipped.
  size_t depth_ = 0;
  bool skipping_row_ = false;
  bool rows_found_ = false;
  bool in_member_ = false;
  int64_t begin_line_ = 1;
  std::string member_name_;
  SourceRow row_;
  SourceRow::Item item_;
  std::string syntax_error_;
  absl::Status status_;
};

}  // namespace

absl::Status JsonRows::Read(Visitor visit) {
  absl::Status rewound = file_->Rewind();
  if (!rewound.ok()) return rewound;
  Characters characters(file_);
  RowBuilder builder(file_->name(), member_, &characters, &columns_, visit);
  const CharacterIterator begin(&characters);
  const bool parsed = json::sax_parse(begin, begin, &builder);
  return builder.Finish(parsed);
}

}  // namespace ctlstore::cli
