#include "sidecar/fake_change_source.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {

class FakeChangeSource::FakeView : public ChangeView {
 public:
  explicit FakeView(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}

  int64_t sequence() const override { return contents_->sequence; }
  absl::StatusOr<std::string> GetIdentity() override { return contents_->identity; }

  absl::StatusOr<std::vector<ldb::ChangeEvent>> ReadChanges(int64_t after, size_t max_changes,
                                                            int64_t* reached) override {
    if (after < contents_->begin) {
      return ErrorWithReason(absl::StatusCode::kOutOfRange, reason::kChangesGone, "gone");
    }
    std::vector<ldb::ChangeEvent> changes;
    for (const ldb::ChangeEvent& change : contents_->changes) {
      if (change.sequence <= after) continue;
      if (changes.size() >= max_changes && change.sequence > changes.back().sequence) {
        *reached = changes.back().sequence;
        return changes;
      }
      changes.push_back(change);
    }
    *reached = contents_->sequence;
    return changes;
  }

  absl::StatusOr<bool> ReadRow(const TableName& table, absl::Span<const Value> key,
                               v1::Row* row) override {
    const auto found = contents_->rows.find({table, key[0].data()});
    if (found == contents_->rows.end()) return false;
    auto& values = *row->mutable_values();
    rpc::ToProto(key[0].view(), &values["id"]);
    rpc::ToProto(ValueView(found->second), &values["value"]);
    return true;
  }

 private:
  const std::shared_ptr<const Contents> contents_;
};

FakeChangeSource::FakeChangeSource()
    : contents_(std::make_shared<Contents>()), thread_([this] { Run(); }) {}

FakeChangeSource::~FakeChangeSource() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void FakeChangeSource::Commit(const std::vector<Entry>& entries) {
  Change([&](Contents* contents) {
    for (const Entry& entry : entries) {
      ldb::ChangeEvent event;
      event.sequence = ++contents->sequence;
      event.table = {entry.family, entry.table};
      if (entry.family.empty()) {
        event.kind = ldb::Change::Kind::kEverything;
      } else if (entry.key.empty()) {
        event.kind = ldb::Change::Kind::kTable;
      } else {
        event.key_fields = {Field{"id", FieldType::kString}};
        event.key = {Value::Text(entry.key)};
        if (entry.value.empty()) {
          contents->rows.erase({event.table, entry.key});
        } else {
          contents->rows[{event.table, entry.key}] = entry.value;
        }
      }
      contents->changes.push_back(std::move(event));
    }
  });
}

void FakeChangeSource::CommitNothing(int64_t entries) {
  Change([&](Contents* contents) { contents->sequence += entries; });
}

void FakeChangeSource::ForgetUpTo(int64_t sequence) {
  Change([&](Contents* contents) { contents->begin = sequence; });
}

void FakeChangeSource::Rebuild() {
  Change([&](Contents* contents) { contents->identity += " again"; });
}

void FakeChangeSource::Replace(int64_t sequence) {
  Change([&](Contents* contents) {
    *contents = Contents();
    contents->sequence = contents->begin = sequence;
  });
}

void FakeChangeSource::Change(const std::function<void(Contents*)>& change) {
  absl::MutexLock lock(&mutex_);
  auto contents = std::make_shared<Contents>(*contents_);
  change(contents.get());
  contents_ = std::move(contents);
  look_ = true;
}

void FakeChangeSource::SetError(const absl::Status& error) {
  absl::MutexLock lock(&mutex_);
  error_ = error;
}

void FakeChangeSource::Block() {
  absl::MutexLock lock(&mutex_);
  blocked_ = true;
}

void FakeChangeSource::Unblock() {
  absl::MutexLock lock(&mutex_);
  blocked_ = false;
}

void FakeChangeSource::AwaitBlocked() {
  absl::MutexLock lock(&mutex_);
  const auto anybody = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return blocked_views_ > 0; };
  mutex_.Await(absl::Condition(&anybody));
}

int64_t FakeChangeSource::sequence() const {
  absl::MutexLock lock(&mutex_);
  return contents_->sequence;
}

int64_t FakeChangeSource::views() const {
  absl::MutexLock lock(&mutex_);
  return views_;
}

int64_t FakeChangeSource::waits() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int64_t>(waits_.size());
}

absl::StatusOr<std::unique_ptr<ChangeView>> FakeChangeSource::View() {
  absl::MutexLock lock(&mutex_);
  ++views_;
  ++blocked_views_;
  const auto free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !blocked_; };
  mutex_.Await(absl::Condition(&free));
  --blocked_views_;
  if (!error_.ok()) return error_;
  return std::make_unique<FakeView>(contents_);
}

absl::StatusOr<uint64_t> FakeChangeSource::Wait(int64_t sequence, absl::Time deadline,
                                                std::function<void()> done) {
  absl::MutexLock lock(&mutex_);
  waits_.emplace(++last_wait_, Waiting{sequence, deadline, std::move(done)});
  look_ = true;
  return last_wait_;
}

bool FakeChangeSource::Cancel(uint64_t wait) {
  absl::MutexLock lock(&mutex_);
  return waits_.erase(wait) > 0;
}

absl::Time FakeChangeSource::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& wait : waits_) next = std::min(next, wait.second.deadline);
  return next;
}

void FakeChangeSource::Run() {
  const auto wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return look_ || stopping_; };
  while (true) {
    std::vector<std::function<void()>> ended;
    bool stopping = false;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithDeadline(absl::Condition(&wanted), NextDeadline());
      look_ = false;
      stopping = stopping_;
      const absl::Time now = absl::Now();
      for (auto wait = waits_.begin(); wait != waits_.end();) {
        if (stopping || wait->second.sequence <= contents_->sequence ||
            wait->second.deadline <= now) {
          ended.push_back(std::move(wait->second.done));
          wait = waits_.erase(wait);
        } else {
          ++wait;
        }
      }
    }
    for (const std::function<void()>& done : ended) done();
    if (stopping) return;
  }
}

}  // namespace ctlstore::sidecar
