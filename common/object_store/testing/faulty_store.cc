#include "common/object_store/testing/faulty_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ctlstore::object_store::testing {

void FaultyStore::Arm(Fault fault, int64_t countdown, absl::Status error, bool once) {
  Arm(fault, {}, countdown, std::move(error), once);
}

void FaultyStore::Arm(Fault fault, std::set<StoreCall> calls, int64_t countdown, absl::Status error,
                      bool once) {
  absl::MutexLock lock(&mutex_);
  armed_ = true;
  once_ = once;
  fault_ = fault;
  armed_calls_ = std::move(calls);
  countdown_ = countdown;
  failed_ = 0;
  error_ = std::move(error);
}

int64_t FaultyStore::Disarm() {
  absl::MutexLock lock(&mutex_);
  armed_ = false;
  return failed_;
}

void FaultyStore::CorruptByte(absl::string_view key, int64_t offset) {
  absl::MutexLock lock(&mutex_);
  if (offset >= 0) {
    corrupt_.emplace(key, offset);
    return;
  }
  const auto begin = corrupt_.lower_bound({std::string(key), 0});
  auto end = begin;
  while (end != corrupt_.end() && end->first == key) ++end;
  corrupt_.erase(begin, end);
}

void FaultyStore::SetCannotList(bool cannot_list) {
  absl::MutexLock lock(&mutex_);
  cannot_list_ = cannot_list;
}

void FaultyStore::SetHook(std::function<absl::Status(StoreCall, absl::string_view)> hook) {
  absl::MutexLock lock(&mutex_);
  hook_ = std::move(hook);
}

int64_t FaultyStore::calls() const {
  absl::MutexLock lock(&mutex_);
  return calls_.size();
}

int64_t FaultyStore::calls(StoreCall call) const {
  absl::MutexLock lock(&mutex_);
  return std::count(calls_.begin(), calls_.end(), call);
}

int64_t FaultyStore::bytes_read() const {
  absl::MutexLock lock(&mutex_);
  return bytes_read_;
}

std::vector<std::string> FaultyStore::changes() const {
  absl::MutexLock lock(&mutex_);
  return changes_;
}

FaultyStore::Outcome FaultyStore::Begin(StoreCall call, absl::string_view key) {
  Outcome outcome;
  std::function<absl::Status(StoreCall, absl::string_view)> hook;
  {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
    if (armed_ && (armed_calls_.empty() || armed_calls_.count(call) != 0)) {
      --countdown_;
      const bool later = countdown_ < 0;
      if (countdown_ == 0 || (later && !once_)) {
        ++failed_;
        if (!later && fault_ == Fault::kFailsAfter) {
          outcome.after = error_;
        } else if (!later && fault_ == Fault::kFailsHalfway && call == StoreCall::kRead) {
          outcome.after = error_;
          outcome.halfway = true;
        } else {
          outcome.before = error_;
        }
      }
    }
    hook = hook_;
  }
  if (outcome.before.ok() && hook != nullptr) outcome.before = hook(call, key);
  return outcome;
}

absl::StatusOr<std::vector<ObjectInfo>> FaultyStore::List(absl::string_view prefix) {
  const Outcome outcome = Begin(StoreCall::kList, prefix);
  if (!outcome.before.ok()) return outcome.before;
  {
    absl::MutexLock lock(&mutex_);
    if (cannot_list_) return absl::UnimplementedError(absl::StrCat(name(), ": cannot list"));
  }
  absl::StatusOr<std::vector<ObjectInfo>> objects = base_->List(prefix);
  if (objects.ok() && !outcome.after.ok()) return outcome.after;
  return objects;
}

absl::StatusOr<ObjectInfo> FaultyStore::Stat(absl::string_view key) {
  const Outcome outcome = Begin(StoreCall::kStat, key);
  if (!outcome.before.ok()) return outcome.before;
  absl::StatusOr<ObjectInfo> object = base_->Stat(key);
  if (object.ok() && !outcome.after.ok()) return outcome.after;
  return object;
}

absl::Status FaultyStore::Read(absl::string_view key, const ReadOptions& options,
                               const Sink& sink) {
  const Outcome outcome = Begin(StoreCall::kRead, key);
  if (!outcome.before.ok()) return outcome.before;
  int64_t allowed = -1;
  if (outcome.halfway) {
    int64_t length = options.length;
    if (length < 0) {
      const absl::StatusOr<ObjectInfo> object = base_->Stat(key);
      if (!object.ok()) return object.status();
      length = object->size - options.offset;
    }
    allowed = length / 2;
  }
  int64_t offset = options.offset;
  absl::Status status = base_->Read(key, options, [&](absl::string_view piece) {
    std::string given(piece);
    if (allowed >= 0) given.resize(std::min<int64_t>(given.size(), allowed));
    {
      absl::MutexLock lock(&mutex_);
      for (auto byte = corrupt_.lower_bound({std::string(key), offset});
           byte != corrupt_.end() && byte->first == key &&
           byte->second < offset + static_cast<int64_t>(given.size());
           ++byte) {
        given[byte->second - offset] ^= 1;
      }
      bytes_read_ += given.size();
    }
    absl::Status taken = given.empty() ? absl::OkStatus() : sink(given);
    if (!taken.ok()) return taken;
    offset += given.size();
    if (allowed >= 0) {
      allowed -= given.size();
      if (allowed == 0) return outcome.after;
    }
    return absl::OkStatus();
  });
  return status.ok() ? outcome.after : status;
}

absl::Status FaultyStore::Change(StoreCall call, absl::string_view key,
                                 const std::function<absl::Status()>& change) {
  const Outcome outcome = Begin(call, key);
  if (!outcome.before.ok()) return outcome.before;
  absl::Status status = change();
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  if (call != StoreCall::kRemoveUnfinished) {
    changes_.push_back(absl::StrCat(call == StoreCall::kDelete ? "delete " : "put ", key));
  }
  return outcome.after;
}

absl::Status FaultyStore::PutFile(absl::string_view key, const std::string& path,
                                  const PutOptions& options) {
  return Change(StoreCall::kPutFile, key, [&] { return base_->PutFile(key, path, options); });
}

absl::Status FaultyStore::Put(absl::string_view key, absl::string_view contents,
                              const PutOptions& options) {
  return Change(StoreCall::kPut, key, [&] { return base_->Put(key, contents, options); });
}

absl::Status FaultyStore::Delete(absl::string_view key) {
  return Change(StoreCall::kDelete, key, [&] { return base_->Delete(key); });
}

absl::Status FaultyStore::RemoveUnfinished(absl::Time before) {
  return Change(StoreCall::kRemoveUnfinished, "", [&] { return base_->RemoveUnfinished(before); });
}

}  // namespace ctlstore::object_store::testing
