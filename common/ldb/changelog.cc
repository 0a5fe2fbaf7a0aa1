#include "common/ldb/changelog.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/ldb/file_identity.h"
#include "common/schema/utf8.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"

namespace ctlstore::ldb {
namespace {

constexpr char kLineBegin[] = "{\"seq\":";
// More than any line has.
constexpr int64_t kLongestLine = 256 << 10;
constexpr char kStateName[] = "ctlstore-changelog-state";
constexpr int kStateVersion = 1;

class File {
 public:
  explicit File(int fd = -1) : fd_(fd) {}
  ~File() { Close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void Reset(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

// What is not there is left out.
std::string ReadAt(int fd, size_t size, off_t offset) {
  std::string data(size, '\0');
  size_t filled = 0;
  while (filled < size) {
    const ssize_t got = pread(fd, &data[filled], size - filled, offset + filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += got;
  }
  data.resize(filled);
  return data;
}

struct Tail {
  // The number of the last whole line; 0 where there is none.
  int64_t number = 0;
  // Whether the file ends with that line.
  bool whole = false;
};

absl::optional<int64_t> NumberOf(absl::string_view line) {
  int64_t number;
  if (!absl::ConsumePrefix(&line, kLineBegin) || !absl::EndsWith(line, "}") ||
      !absl::SimpleAtoi(line.substr(0, line.find(',')), &number) || number < 0) {
    return absl::nullopt;
  }
  return number;
}

Tail TailOf(int fd, int64_t size) {
  const int64_t tail_size = std::min(size, kLongestLine);
  const std::string data = ReadAt(fd, tail_size, size - tail_size);
  absl::string_view rest = data;
  while (true) {
    const size_t end = rest.rfind('\n');
    if (end == rest.npos) return Tail();
    const absl::string_view line = rest.substr(0, end);
    // From the beginning where nothing is before it.
    const absl::optional<int64_t> number = NumberOf(line.substr(line.rfind('\n') + 1));
    if (number.has_value()) return {*number, end + 1 == data.size()};
    rest = line;
  }
}

void AppendJsonString(absl::string_view text, std::string* json) {
  json->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json->push_back('\\');
      json->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(json, "\\u%04x", c);
    } else {
      json->push_back(c);
    }
  }
  json->push_back('"');
}

void AppendJsonValue(const ValueView& value, std::string* json) {
  switch (value.kind()) {
    case ValueKind::kNull:
      json->append("null");
      break;
    case ValueKind::kInteger:
      absl::StrAppend(json, value.integer());
      break;
    case ValueKind::kDecimal:
      sql::AppendLiteral(value, json);
      break;
    case ValueKind::kText:
      AppendJsonString(value.data(), json);
      break;
    case ValueKind::kBytes:
      absl::StrAppend(json, "\"", absl::Base64Escape(value.data()), "\"");
      break;
  }
}

// Whether a line can name what has changed.
bool HasLine(const Change& change) {
  return change.kind == Change::Kind::kKey &&
         std::all_of(change.key.begin(), change.key.end(), [](const ValueView& value) {
           return value.kind() != ValueKind::kText || CountUtf8Characters(value.data()).has_value();
         });
}

void AppendLine(int64_t number, const Change& change, std::string* lines) {
  absl::StrAppend(lines, kLineBegin, number, ",\"family\":");
  AppendJsonString(change.table->family, lines);
  lines->append(",\"table\":");
  AppendJsonString(change.table->table, lines);
  lines->append(",\"key\":[");
  for (size_t i = 0; i < change.key.size(); ++i) {
    lines->append(i == 0 ? "{\"name\":" : ",{\"name\":");
    AppendJsonString(change.key_fields[i].name, lines);
    lines->append(",\"type\":");
    AppendJsonString(sql::SqliteColumnType(change.key_fields[i].type), lines);
    lines->append(",\"value\":");
    AppendJsonValue(change.key[i], lines);
    lines->push_back('}');
  }
  lines->append("]}\n");
}

// What is remembered beside the changelog: up to where it is complete, and the last number that was
// used, also for what has no line.
struct State {
  int64_t applied_sequence = 0;
  int64_t number = 0;
};

// Always of the same size, so that it is overwritten in one piece and never needs space.
std::string Format(const State& state) {
  return absl::StrFormat("%s %d %020d %020d\n", kStateName, kStateVersion, state.applied_sequence,
                         state.number);
}

absl::optional<State> ParseState(const std::string& text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  State state;
  if (words.size() != 4 || !absl::SimpleAtoi(words[2], &state.applied_sequence) ||
      !absl::SimpleAtoi(words[3], &state.number) || state.number < 0 || Format(state) != text) {
    return absl::nullopt;
  }
  return state;
}

}  // namespace

class Changelog::Impl {
 public:
  explicit Impl(const Options& options)
      : options_(options), state_path_(absl::StrCat(options.path, ".state")) {}

  void Attach(int64_t applied_sequence) {
    if (attached_) {
      ++state_.number;
    } else {
      Continue(applied_sequence);
      attached_ = true;
    }
    state_.applied_sequence = applied_sequence;
    Report(WriteState(), 0);
  }

  void Committed(absl::Span<const Change> changes, int64_t applied_sequence) {
    const int64_t lost_before = lost_.load(std::memory_order_relaxed);
    absl::Status status = Write(changes);
    state_.applied_sequence = applied_sequence;
    // Also where lines were lost: their numbers are left out for good.
    status.Update(WriteState());
    Report(status, lost_.load(std::memory_order_relaxed) - lost_before);
  }

  Counts counts() const {
    Counts counts;
    counts.written = written_.load(std::memory_order_relaxed);
    counts.lost = lost_.load(std::memory_order_relaxed);
    counts.rotations = rotations_.load(std::memory_order_relaxed);
    return counts;
  }

  const std::string& path() const { return options_.path; }

 private:
  // Finds out where an earlier process ended. It can have been killed at any moment: after a commit
  // and before its lines were in the file, or between the lines and the state. The file is only
  // known to be complete where the state says so for this very sequence.
  void Continue(int64_t applied_sequence) {
    absl::optional<State> state;
    const File state_file(open(state_path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (state_file.is_open()) state = ParseState(ReadAt(state_file.fd(), 256, 0));
    bool complete = state.has_value() && state->applied_sequence == applied_sequence;
    if (state.has_value()) state_.number = state->number;

    const File file(open(path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat found = {};
    if (file.is_open() && fstat(file.fd(), &found) == 0 && found.st_size > 0) {
      state_.number = std::max(state_.number, TailOf(file.fd(), found.st_size).number);
    } else if (!state.has_value()) {
      // The first that is ever written here.
      complete = true;
    }
    if (!complete) ++state_.number;
  }

  absl::Status Write(absl::Span<const Change> changes) {
    absl::Status status;
    bool looked = false;
    std::string lines;
    int64_t count = 0;
    std::string line;
    for (const Change& change : changes) {
      ++state_.number;
      if (!HasLine(change)) continue;
      if (!looked) {
        status = OpenFile();
        looked = true;
      }
      if (!status.ok()) {
        lost_.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      line.clear();
      AppendLine(state_.number, change, &line);
      const int64_t size = size_ + static_cast<int64_t>(lines.size());
      if (size > 0 && size + static_cast<int64_t>(line.size()) > options_.max_bytes) {
        status = Flush(&lines, &count);
        if (status.ok()) status = BeginAnew();
        if (!status.ok()) {
          lost_.fetch_add(1, std::memory_order_relaxed);
          continue;
        }
      }
      lines.append(line);
      ++count;
    }
    if (status.ok()) status = Flush(&lines, &count);
    // It is looked at again before anything more is written to it.
    if (!status.ok()) file_.Close();
    return status;
  }

  // Appends `count` whole lines, or as many as it can.
  absl::Status Flush(std::string* lines, int64_t* count) {
    absl::Status status;
    size_t done = 0;
    while (done < lines->size()) {
      const ssize_t wrote = write(file_.fd(), lines->data() + done, lines->size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) {
        status = FileError("write", path());
        break;
      }
      done += wrote;
    }
    const int64_t whole = std::count(lines->begin(), lines->begin() + done, '\n');
    written_.fetch_add(whole, std::memory_order_relaxed);
    lost_.fetch_add(*count - whole, std::memory_order_relaxed);
    size_ += static_cast<int64_t>(done);
    lines->clear();
    *count = 0;
    return status;
  }

  // Makes `file_` the file that the path leads to, ending with a whole line, and `size_` its size.
  absl::Status OpenFile() {
    struct stat found;
    if (file_.is_open() && stat(path().c_str(), &found) == 0 &&
        FileIdentity{found.st_dev, found.st_ino} == identity_) {
      size_ = found.st_size;
      return absl::OkStatus();
    }
    file_.Reset(open(path().c_str(),
                     O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
    if (!file_.is_open() || fstat(file_.fd(), &found) != 0) return FileError("open", path());
    if (!S_ISREG(found.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(path(), " is not a regular file"));
    }
    identity_ = FileIdentity{found.st_dev, found.st_ino};
    size_ = found.st_size;
    if (size_ == 0 || TailOf(file_.fd(), size_).whole) return absl::OkStatus();
    // A write that was cut off leaves a part of a line, a power failure zeros. What begins in
    // another way has never been a changelog.
    const std::string begin = ReadAt(file_.fd(), 1, 0);
    if (begin != "{" && begin != absl::string_view("\0", 1)) {
      return absl::FailedPreconditionError(
          absl::StrCat(path(), " is not a changelog: remove it, or name another path"));
    }
    return BeginAnew();
  }

  absl::Status BeginAnew() {
    file_.Close();
    if (unlink(path().c_str()) != 0 && errno != ENOENT) return FileError("remove", path());
    file_.Reset(open(path().c_str(), O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    struct stat made;
    if (!file_.is_open() || fstat(file_.fd(), &made) != 0) return FileError("create", path());
    identity_ = FileIdentity{made.st_dev, made.st_ino};
    size_ = 0;
    rotations_.fetch_add(1, std::memory_order_relaxed);
    return absl::OkStatus();
  }

  absl::Status WriteState() {
    if (!state_file_.is_open()) {
      state_file_.Reset(
          open(state_path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
      if (!state_file_.is_open()) return FileError("open", state_path_);
    }
    const std::string text = Format(state_);
    if (pwrite(state_file_.fd(), text.data(), text.size(), 0) ==
        static_cast<ssize_t>(text.size())) {
      return absl::OkStatus();
    }
    const absl::Status status = FileError("write", state_path_);
    state_file_.Close();
    return status;
  }

  // Logs when trouble begins and when it ends.
  void Report(const absl::Status& status, int64_t lost) {
    lost_in_a_row_ += lost;
    if (status.ok() == !failing_) return;
    failing_ = !status.ok();
    if (failing_) {
      LOG(ERROR) << "event=changelog_failed path=" << path() << " error=\"" << status << "\"";
    } else {
      LOG(INFO) << "event=changelog_written_again path=" << path() << " lost=" << lost_in_a_row_;
      lost_in_a_row_ = 0;
    }
  }

  const Options options_;
  const std::string state_path_;
  bool attached_ = false;
  State state_;
  File state_file_;
  File file_;
  FileIdentity identity_;
  int64_t size_ = 0;
  bool failing_ = false;
  int64_t lost_in_a_row_ = 0;
  std::atomic<int64_t> written_{0};
  std::atomic<int64_t> lost_{0};
  std::atomic<int64_t> rotations_{0};
};

Changelog::Changelog(const Options& options) : impl_(std::make_unique<Impl>(options)) {}
Changelog::~Changelog() = default;

void Changelog::Attach(int64_t applied_sequence) { impl_->Attach(applied_sequence); }

void Changelog::Committing(absl::Span<const Change>) {}

void Changelog::Committed(absl::Span<const Change> changes, int64_t applied_sequence) {
  impl_->Committed(changes, applied_sequence);
}

void Changelog::CommitFailed() {}

Changelog::Counts Changelog::counts() const { return impl_->counts(); }

const std::string& Changelog::path() const { return impl_->path(); }

}  // namespace ctlstore::ldb
