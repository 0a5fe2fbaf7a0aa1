#include "common/ldb/change_history.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/ldb/change_encoding.h"
#include "common/ldb/ldb_tables.h"
#include "common/schema/errors.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {
namespace {

// What a row takes besides its changes, about.
constexpr int64_t kRowBytes = 32;
// The part of the room that one commit may take.
constexpr int64_t kPartOfCommit = 4;
// Rows go when the history is too large by this part of the room, so that not each commit has to
// write the pages at both of its ends.
constexpr int64_t kPartOver = 512;
// How many rows go with a commit at most: some, and more than a commit of many changes brings.
constexpr int64_t kRowsWithCommit = 1000;
constexpr int64_t kRowsWithChange = 2;

constexpr char kHasTable[] = "SELECT 1 FROM sqlite_schema WHERE name = '_ldb_changes'";
constexpr char kOldest[] = "SELECT after, total FROM _ldb_changes ORDER BY last LIMIT 1";
constexpr char kNewest[] =
    "SELECT last, total, length(changes) FROM _ldb_changes ORDER BY last DESC LIMIT 1";
constexpr char kAdd[] =
    "INSERT INTO _ldb_changes (last, after, total, changes) VALUES (?, ?, ?, ?)";
constexpr char kMoveLast[] = "UPDATE _ldb_changes SET last = ?2 WHERE last = ?1";
constexpr char kFromOldest[] = "SELECT last, total FROM _ldb_changes ORDER BY last LIMIT ?";
constexpr char kRemove[] = "DELETE FROM _ldb_changes WHERE last <= ?";
constexpr char kRemoveAll[] = "DELETE FROM _ldb_changes";
constexpr char kRowsAfter[] =
    "SELECT last, after, changes FROM _ldb_changes WHERE last > ? ORDER BY last";

// Ends a statement's execution on every way out.
class Execution {
 public:
  explicit Execution(sqlite::Statement* statement) : statement_(statement) {}
  ~Execution() { statement_->Reset(); }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  absl::Status Bind(std::initializer_list<int64_t> values) {
    int parameter = 0;
    for (const int64_t value : values) {
      absl::Status status = statement_->Bind(++parameter, value);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Step() { return statement_->Step(); }
  // 0 for what is no integer.
  int64_t Integer(int column) const {
    const ValueView value = statement_->Column(column);
    return value.kind() == ValueKind::kInteger ? value.integer() : 0;
  }

 private:
  sqlite::Statement* const statement_;
};

struct StatementText {
  const char* sql;
  std::unique_ptr<sqlite::Statement>* statement;
};

absl::Status PrepareAll(sqlite::Database* database, std::initializer_list<StatementText> texts) {
  for (const StatementText& text : texts) {
    absl::StatusOr<std::unique_ptr<sqlite::Statement>> prepared = database->Prepare(text.sql);
    if (!prepared.ok()) return prepared.status();
    *text.statement = *std::move(prepared);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> HasTable(sqlite::Database* database) {
  absl::StatusOr<std::unique_ptr<sqlite::Statement>> statement = database->Prepare(kHasTable);
  if (!statement.ok()) return statement.status();
  return (*statement)->Step();
}

absl::Status ChangesGone(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kOutOfRange, reason::kChangesGone, message);
}

}  // namespace

class ChangeHistoryWriter::Impl {
 public:
  Impl(sqlite::Database* database, int64_t max_bytes)
      : database_(database), max_bytes_(max_bytes) {}

  absl::Status Attach(int64_t applied_sequence) {
    if (attached_ && (max_bytes_ <= 0 || last_ == applied_sequence)) return absl::OkStatus();
    absl::Status status = max_bytes_ <= 0 ? RemoveTheOld() : AttachTo(applied_sequence);
    attached_ = status.ok();
    return status;
  }

  absl::Status Add(absl::Span<const Change> changes, int64_t applied_sequence) {
    if (max_bytes_ <= 0) return absl::OkStatus();
    if (changes.empty()) return AddNothing(applied_sequence);
    const size_t max_bytes = static_cast<size_t>(max_bytes_ / kPartOfCommit);
    ChangeEncoder::Result result = encoder_.Encode(changes, last_, max_bytes);
    if (result == ChangeEncoder::Result::kTooLarge) {
      result = encoder_.EncodeTables(changes, last_, applied_sequence, max_bytes);
    }
    if (result != ChangeEncoder::Result::kEncoded) return BeginAnew(applied_sequence);
    absl::Status status = AddRow(applied_sequence, encoder_.bytes());
    if (!status.ok()) return status;
    return RemoveOld(kRowsWithCommit + kRowsWithChange * static_cast<int64_t>(changes.size()));
  }

  void RolledBack() { attached_ = false; }

 private:
  absl::Status RemoveTheOld() {
    const absl::StatusOr<bool> has_table = HasTable(database_);
    if (!has_table.ok()) return has_table.status();
    return *has_table ? database_->Execute(kRemoveAll) : absl::OkStatus();
  }

  absl::Status AttachTo(int64_t applied_sequence) {
    absl::StatusOr<bool> has = HasTable(database_);
    if (!has.ok()) return has.status();
    absl::Status status;
    if (!*has) status = database_->Execute(kCreateChangesTable);
    if (status.ok() && add_ == nullptr) {
      status = PrepareAll(database_, {{kOldest, &oldest_},
                                      {kNewest, &newest_},
                                      {kAdd, &add_},
                                      {kMoveLast, &move_last_},
                                      {kFromOldest, &from_oldest_},
                                      {kRemove, &remove_}});
    }
    if (!status.ok()) return status;
    bool is_there;
    {
      Execution newest(newest_.get());
      has = newest.Step();
      if (!has.ok()) return has.status();
      is_there = *has && newest.Integer(0) == applied_sequence;
      if (is_there) {
        last_ = applied_sequence;
        total_ = newest.Integer(1);
        newest_is_empty_ = newest.Integer(2) == 0;
      }
    }
    return is_there ? ReadOldest() : BeginAnew(applied_sequence);
  }

  // A row without changes says where the history begins.
  absl::Status BeginAnew(int64_t applied_sequence) {
    absl::Status status = database_->Execute(kRemoveAll);
    if (!status.ok()) return status;
    last_ = applied_sequence;
    total_ = 0;
    oldest_total_ = kRowBytes;
    return AddRow(applied_sequence, "");
  }

  // The position has moved on, and the history with it.
  absl::Status AddNothing(int64_t applied_sequence) {
    if (!newest_is_empty_) return AddRow(applied_sequence, "");
    Execution move(move_last_.get());
    absl::Status status = move.Bind({last_, applied_sequence});
    if (status.ok()) status = move.Step().status();
    last_ = applied_sequence;
    return status;
  }

  absl::Status AddRow(int64_t last, absl::string_view changes) {
    total_ += static_cast<int64_t>(changes.size()) + kRowBytes;
    Execution add(add_.get());
    absl::Status status = add.Bind({last, last_, total_});
    if (status.ok()) status = add_->Bind(4, ValueView::Bytes(changes));
    if (status.ok()) status = add.Step().status();
    last_ = last;
    newest_is_empty_ = changes.empty();
    return status;
  }

  absl::Status RemoveOld(int64_t max_rows) {
    // The newest row is never among them.
    const int64_t removable = total_ - max_bytes_;
    if (oldest_total_ > removable - max_bytes_ / kPartOver) return absl::OkStatus();
    int64_t last = -1;
    {
      Execution rows(from_oldest_.get());
      absl::Status status = rows.Bind({max_rows});
      while (status.ok()) {
        const absl::StatusOr<bool> row = rows.Step();
        status = row.status();
        if (!status.ok() || !*row || rows.Integer(1) > removable) break;
        last = rows.Integer(0);
      }
      if (!status.ok()) return status;
    }
    {
      Execution remove(remove_.get());
      absl::Status status = remove.Bind({last});
      if (status.ok()) status = remove.Step().status();
      if (!status.ok()) return status;
    }
    return ReadOldest();
  }

  absl::Status ReadOldest() {
    Execution oldest(oldest_.get());
    const absl::StatusOr<bool> row = oldest.Step();
    if (!row.ok()) return row.status();
    oldest_total_ = oldest.Integer(1);
    return absl::OkStatus();
  }

  sqlite::Database* const database_;
  const int64_t max_bytes_;
  ChangeEncoder encoder_;
  std::unique_ptr<sqlite::Statement> oldest_;
  std::unique_ptr<sqlite::Statement> newest_;
  std::unique_ptr<sqlite::Statement> add_;
  std::unique_ptr<sqlite::Statement> move_last_;
  std::unique_ptr<sqlite::Statement> from_oldest_;
  std::unique_ptr<sqlite::Statement> remove_;

  // Whether the rest is what the transaction's state has.
  bool attached_ = false;
  // The newest row's; there always is one.
  int64_t last_ = 0;
  int64_t total_ = 0;
  bool newest_is_empty_ = false;
  int64_t oldest_total_ = 0;
};

ChangeHistoryWriter::ChangeHistoryWriter(sqlite::Database* database, int64_t max_bytes)
    : impl_(std::make_unique<Impl>(database, max_bytes)) {}
ChangeHistoryWriter::~ChangeHistoryWriter() = default;

absl::Status ChangeHistoryWriter::Attach(int64_t applied_sequence) {
  return impl_->Attach(applied_sequence);
}

absl::Status ChangeHistoryWriter::Add(absl::Span<const Change> changes, int64_t applied_sequence) {
  return impl_->Add(changes, applied_sequence);
}

void ChangeHistoryWriter::RolledBack() { impl_->RolledBack(); }

class ChangeHistoryReader::Impl {
 public:
  explicit Impl(sqlite::Database* database) : database_(database) {}

  absl::StatusOr<absl::optional<int64_t>> Begin() {
    int64_t end;
    return Begin(&end);
  }

  absl::StatusOr<std::vector<ChangeEvent>> Read(int64_t sequence, size_t max_changes,
                                                int64_t* reached) {
    int64_t end = 0;
    const absl::StatusOr<absl::optional<int64_t>> begin = Begin(&end);
    if (!begin.ok()) return begin.status();
    if (!begin->has_value()) return ChangesGone("the local database keeps no changes");
    if (sequence < **begin) {
      return ChangesGone(absl::StrCat("changes after sequence ", sequence,
                                      " are not kept any more, only after ", **begin));
    }
    if (sequence > end) {
      return ChangesGone(
          absl::StrCat("sequence ", sequence, " is not reached, the last one is ", end));
    }
    std::vector<ChangeEvent> events;
    *reached = sequence;
    Execution rows(rows_after_.get());
    absl::Status status = rows.Bind({sequence});
    absl::optional<int64_t> last;
    while (status.ok()) {
      const absl::StatusOr<bool> row = rows.Step();
      if (!row.ok()) return row.status();
      if (!*row) break;
      // Each row begins where the one before ends, and the first one no later than what is wanted.
      const int64_t after = rows.Integer(1);
      if (last.has_value() ? after != *last : after > sequence) {
        return absl::DataLossError(
            absl::StrCat("the changes after sequence ", last.value_or(sequence), " are missing"));
      }
      last = rows.Integer(0);
      const ValueView changes = rows_after_->Column(2);
      if (changes.kind() != ValueKind::kBytes) {
        return absl::DataLossError(
            absl::StrCat("the changes that are kept up to sequence ", *last, " are damaged"));
      }
      bool whole = false;
      status = AddEvents(ChangeDecoder(changes.data(), after, *last), sequence, max_changes,
                         &events, &whole);
      if (!status.ok()) break;
      *reached = whole ? *last : events.back().sequence;
      if (!whole || (!events.empty() && events.size() >= max_changes)) return events;
    }
    if (!status.ok()) return status;
    return events;
  }

 private:
  // `*whole`: up to the end. Otherwise it ends where another entry's changes begin.
  static absl::Status AddEvents(ChangeDecoder changes, int64_t sequence, size_t max_changes,
                                std::vector<ChangeEvent>* events, bool* whole) {
    while (!changes.at_end()) {
      absl::Status status = changes.Next();
      if (!status.ok()) return status;
      if (changes.sequence() <= sequence) continue;
      if (!events->empty() && events->size() >= max_changes &&
          events->back().sequence != changes.sequence()) {
        return status;
      }
      events->push_back(changes.Event());
    }
    *whole = true;
    return absl::OkStatus();
  }

  // `*end` is the last applied sequence.
  absl::StatusOr<absl::optional<int64_t>> Begin(int64_t* end) {
    if (rows_after_ == nullptr) {
      const absl::StatusOr<bool> has_table = HasTable(database_);
      if (!has_table.ok()) return has_table.status();
      if (!*has_table) return absl::optional<int64_t>();
      absl::Status status = PrepareAll(database_, {{kReadSequence, &read_sequence_},
                                                   {kOldest, &oldest_},
                                                   {kNewest, &newest_},
                                                   {kRowsAfter, &rows_after_}});
      if (!status.ok()) return status;
    }
    {
      Execution sequence(read_sequence_.get());
      const absl::StatusOr<bool> row = sequence.Step();
      if (!row.ok()) return row.status();
      *end = *row ? sequence.Integer(0) : 0;
    }
    {
      Execution newest(newest_.get());
      const absl::StatusOr<bool> row = newest.Step();
      if (!row.ok()) return row.status();
      if (!*row || newest.Integer(0) != *end) return absl::optional<int64_t>();
    }
    Execution oldest(oldest_.get());
    const absl::StatusOr<bool> row = oldest.Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::optional<int64_t>();
    return absl::optional<int64_t>(oldest.Integer(0));
  }

  sqlite::Database* const database_;
  std::unique_ptr<sqlite::Statement> read_sequence_;
  std::unique_ptr<sqlite::Statement> oldest_;
  std::unique_ptr<sqlite::Statement> newest_;
  // Null while there is no table.
  std::unique_ptr<sqlite::Statement> rows_after_;
};

ChangeHistoryReader::ChangeHistoryReader(sqlite::Database* database)
    : impl_(std::make_unique<Impl>(database)) {}
ChangeHistoryReader::~ChangeHistoryReader() = default;

absl::StatusOr<absl::optional<int64_t>> ChangeHistoryReader::Begin() { return impl_->Begin(); }

absl::StatusOr<std::vector<ChangeEvent>> ChangeHistoryReader::Read(int64_t sequence,
                                                                   size_t max_changes,
                                                                   int64_t* reached) {
  return impl_->Read(sequence, max_changes, reached);
}

}  // namespace ctlstore::ldb
