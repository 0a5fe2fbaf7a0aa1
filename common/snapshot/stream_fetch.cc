#include "common/snapshot/stream_fetch.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/base64.h"
#include "common/base/digest.h"
#include "common/schema/errors.h"
#include "common/snapshot/disk.h"
#include "common/snapshot/object_decoder.h"
#include "common/snapshot/single_object.h"

namespace ctlstore::snapshot {
namespace {

using object_store::ObjectInfo;
using object_store::ObjectStore;

// After how much it is looked again how much room there is.
constexpr int64_t kRoomBytes = int64_t{16} << 20;

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

class Stream {
 public:
  Stream(const ObjectInfo& info, Compression compression, const std::string& path,
         int64_t min_free_bytes, ProgressMeter* meter, const std::function<bool()>& cancelled)
      : info_(info),
        path_(path),
        min_free_bytes_(min_free_bytes),
        meter_(meter),
        cancelled_(cancelled),
        decoder_(compression, std::numeric_limits<int64_t>::max()) {}

  absl::Status Run(ObjectStore* store) {
    absl::StatusOr<OwnedFd> file = OpenFile(path_, O_WRONLY | O_CREAT | O_EXCL);
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
    ObjectStore::ReadOptions read;
    read.length = info_.size;
    read.version = info_.version;
    absl::Status status =
        store->Read(info_.key, read, [this](absl::string_view piece) { return Take(piece); });
    if (absl::IsOutOfRange(status)) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kObjectChanged,
                             absl::StrCat("the object ", info_.key, " has got shorter"));
    }
    if (status.ok()) status = decoder_.Finish();
    if (absl::IsDataLoss(status)) return Damaged(status.message());
    if (status.ok() && fsync(file_.get()) != 0) return DiskError(errno, "sync", path_);
    return status;
  }

  // Of the file.
  std::string Finish() { return sha1_.Finish(); }

 private:
  absl::Status Take(absl::string_view piece) {
    if (cancelled_ != nullptr && cancelled_()) {
      return absl::CancelledError("the fetch was cancelled");
    }
    absl::Status status =
        decoder_.Add(piece, [this](absl::string_view decoded) { return Write(decoded); });
    if (status.ok()) meter_->Add(static_cast<int64_t>(piece.size()));
    return status;
  }

  absl::Status Write(absl::string_view decoded) {
    if (file_bytes_ >= room_checked_to_) {
      absl::Status status =
          CheckRoom(path_.substr(0, path_.rfind('/')), kRoomBytes, min_free_bytes_);
      if (!status.ok()) return status;
      room_checked_to_ = file_bytes_ + kRoomBytes;
    }
    absl::Status status = WriteAt(file_.get(), file_bytes_, decoded, path_);
    if (!status.ok()) return status;
    sha1_.Add(decoded);
    file_bytes_ += static_cast<int64_t>(decoded.size());
    return absl::OkStatus();
  }

  const ObjectInfo& info_;
  const std::string& path_;
  const int64_t min_free_bytes_;
  ProgressMeter* const meter_;
  const std::function<bool()>& cancelled_;
  StreamDecoder decoder_;
  Digest sha1_{Digest::Kind::kSha1};
  OwnedFd file_;
  int64_t file_bytes_ = 0;
  int64_t room_checked_to_ = 0;
};

}  // namespace

absl::StatusOr<FetchedStream> FetchStream(ObjectStore* store, const ObjectInfo& info,
                                          Compression compression, const std::string& path,
                                          int64_t min_free_bytes, ProgressMeter* meter,
                                          const std::function<bool()>& cancelled) {
  FetchedStream fetched;
  absl::Status status = RemoveFile(path);
  if (!status.ok()) return status;
  {
    Stream stream(info, compression, path, min_free_bytes, meter, cancelled);
    status = stream.Run(store);
    const auto checksum = info.metadata.find(kChecksumMetadata);
    if (status.ok() && checksum != info.metadata.end()) {
      const std::string digest = stream.Finish();
      fetched.digest_is_right = DecodeBase64(checksum->second) == digest;
      if (!fetched.digest_is_right) {
        status = Damaged(absl::StrCat("the file has the SHA-1 ", absl::Base64Escape(digest),
                                      " where the object's checksum says ", checksum->second));
      }
    }
  }
  if (status.ok()) return fetched;
  RemoveFile(path).IgnoreError();
  return status;
}

}  // namespace ctlstore::snapshot
