#include "common/snapshot/chunk_fetch.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/schema/errors.h"
#include "common/snapshot/object_decoder.h"

namespace ctlstore::snapshot {
namespace {

using object_store::ObjectStore;

// A request for each chunk of some MB would have a store with a long way to it wait half of the
// time.
constexpr size_t kMaxChunksOfRange = 4;

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

}  // namespace

ChunkFetch::ChunkFetch(ObjectStore* store, const Manifest* manifest, PartialFile* file,
                       ProgressMeter* meter)
    : store_(store), manifest_(manifest), file_(file), meter_(meter) {
  offsets_.push_back(0);
  for (const Chunk& chunk : manifest->chunks) {
    offsets_.push_back(offsets_.back() + chunk.object_bytes);
  }
}

absl::Status ChunkFetch::Run(int parallel_ranges, const std::function<bool()>& cancelled) {
  const size_t missing = std::count(file_->resumed().begin(), file_->resumed().end(), false);
  if (missing == 0) return absl::OkStatus();
  const size_t threads = std::min(missing, static_cast<size_t>(std::max(parallel_ranges, 1)));
  // So that none of the threads has much to do when the others have ended.
  max_range_ = std::min(kMaxChunksOfRange, std::max<size_t>(1, missing / threads / 2));
  std::vector<std::thread> workers;
  for (size_t i = 1; i < threads; ++i) {
    workers.emplace_back([this, &cancelled] { Work(cancelled); });
  }
  Work(cancelled);
  for (std::thread& worker : workers) worker.join();
  absl::MutexLock lock(&mutex_);
  return status_;
}

void ChunkFetch::Work(const std::function<bool()>& cancelled) {
  Buffers buffers;
  for (Range range; TakeRange(&range);) {
    Wrong wrong;
    absl::Status status = ReadRange(range, cancelled, &buffers, &wrong);
    for (const auto& [chunk, reason] : wrong) {
      if (!status.ok()) break;
      Wrong again;
      status = ReadRange({chunk, 1}, cancelled, &buffers, &again);
      if (status.ok() && !again.empty()) status = again.front().second;
    }
    if (!status.ok()) return Fail(std::move(status));
  }
}

bool ChunkFetch::TakeRange(Range* range) {
  const std::vector<bool>& resumed = file_->resumed();
  absl::MutexLock lock(&mutex_);
  if (!status_.ok()) return false;
  while (next_ < resumed.size() && resumed[next_]) ++next_;
  *range = {next_, 0};
  while (next_ < resumed.size() && !resumed[next_] && range->count < max_range_) {
    ++next_;
    ++range->count;
  }
  return range->count > 0;
}

absl::Status ChunkFetch::Stopped(const std::function<bool()>& cancelled) {
  if (cancelled != nullptr && cancelled()) return absl::CancelledError("the fetch was cancelled");
  return failed_ ? absl::AbortedError("another part of the object could not be fetched")
                 : absl::OkStatus();
}

void ChunkFetch::Fail(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  // What comes later was ended by the first one.
  if (!failed_.exchange(true)) status_ = std::move(status);
}

absl::Status ChunkFetch::ReadRange(const Range& range, const std::function<bool()>& cancelled,
                                   Buffers* buffers, Wrong* wrong) {
  absl::Status status = Stopped(cancelled);
  if (!status.ok()) return status;
  size_t chunk = range.first;
  const size_t end = range.first + range.count;
  buffers->object.clear();
  const auto complete_chunks = [&]() -> absl::Status {
    while (chunk < end &&
           static_cast<int64_t>(buffers->object.size()) == manifest_->chunks[chunk].object_bytes) {
      absl::Status taken = TakeChunk(chunk, buffers);
      if (absl::IsDataLoss(taken)) {
        meter_->Add(-manifest_->chunks[chunk].object_bytes);
        wrong->emplace_back(chunk, std::move(taken));
      } else if (!taken.ok()) {
        return taken;
      }
      ++chunk;
      buffers->object.clear();
    }
    return absl::OkStatus();
  };
  ObjectStore::ReadOptions read;
  read.offset = offsets_[range.first];
  read.length = offsets_[end] - offsets_[range.first];
  const auto take = [&](absl::string_view piece) -> absl::Status {
    absl::Status stopped = Stopped(cancelled);
    if (!stopped.ok()) return stopped;
    while (!piece.empty()) {
      if (chunk == end) return Damaged("the store has given more than it was asked for");
      const size_t missing = manifest_->chunks[chunk].object_bytes - buffers->object.size();
      const size_t taken = std::min(missing, piece.size());
      buffers->object.append(piece.data(), taken);
      meter_->Add(static_cast<int64_t>(taken));
      piece.remove_prefix(taken);
      absl::Status completed = complete_chunks();
      if (!completed.ok()) return completed;
    }
    return absl::OkStatus();
  };
  buffers->object.reserve(manifest_->chunks[chunk].object_bytes);
  // Some may have nothing in the object.
  status = complete_chunks();
  if (status.ok() && read.length > 0) status = store_->Read(manifest_->object, read, take);
  if (absl::IsOutOfRange(status)) {
    return Damaged(absl::StrCat("the object ", manifest_->object, " ends before its ",
                                manifest_->object_bytes, " bytes"));
  }
  if (status.ok() && chunk != end) {
    return absl::UnavailableError(absl::StrCat("the store ", store_->name(), " has given less of ",
                                               manifest_->object, " than it was asked for"));
  }
  return status;
}

absl::Status ChunkFetch::TakeChunk(size_t chunk, Buffers* buffers) {
  const Chunk& expected = manifest_->chunks[chunk];
  if (Sha256(buffers->object) != expected.sha256) {
    return Damaged(absl::StrCat("the ", expected.object_bytes, " bytes at ", offsets_[chunk],
                                " of ", manifest_->object, " have another digest"));
  }
  absl::Status status =
      DecodeChunk(manifest_->compression, buffers->object, expected.file_bytes, &buffers->file);
  if (!status.ok()) {
    return Damaged(absl::StrCat("the ", expected.object_bytes, " bytes at ", offsets_[chunk],
                                " of ", manifest_->object, ": ", status.message()));
  }
  return file_->Write(chunk, buffers->file);
}

}  // namespace ctlstore::snapshot
