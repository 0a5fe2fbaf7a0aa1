#include "common/snapshot/object_encoder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/digest.h"

namespace ctlstore::snapshot {
namespace {

// More of them are not much faster: the digests are taken by one at a time.
constexpr int kMaxThreads = 8;
// The largest window, in gzip's form, and how much memory it takes.
constexpr int kGzipWindowBits = 15 + 16;
constexpr int kGzipMemory = 8;

absl::Status NoMemory() { return absl::ResourceExhaustedError("no memory to compress"); }

absl::Status FileError(int error, absl::string_view what, const std::string& path) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(message);
  }
  if (error == ENOENT && what == "read") return absl::NotFoundError(message);
  return absl::UnavailableError(message);
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Compresses chunks one after the other.
class ChunkEncoder {
 public:
  virtual ~ChunkEncoder() = default;
  // What `chunk` becomes, valid until the next call.
  virtual absl::StatusOr<absl::string_view> Encode(absl::string_view chunk) = 0;
};

class PlainChunkEncoder : public ChunkEncoder {
 public:
  absl::StatusOr<absl::string_view> Encode(absl::string_view chunk) override { return chunk; }
};

class ZstdChunkEncoder : public ChunkEncoder {
 public:
  ZstdChunkEncoder(int level, size_t chunk_bytes)
      : context_(ZSTD_createCCtx()),
        size_(ZSTD_compressBound(chunk_bytes)),
        // Not touched before it is used, as chunks become much smaller.
        buffer_(new char[size_]) {
    if (context_ == nullptr) return;
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel,
                           level == 0 ? ZSTD_defaultCLevel() : level);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_contentSizeFlag, 1);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdChunkEncoder() override { ZSTD_freeCCtx(context_); }

  absl::StatusOr<absl::string_view> Encode(absl::string_view chunk) override {
    if (context_ == nullptr) return NoMemory();
    const size_t size = ZSTD_compress2(context_, buffer_.get(), size_, chunk.data(), chunk.size());
    if (ZSTD_isError(size)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot compress: ", ZSTD_getErrorName(size)));
    }
    return absl::string_view(buffer_.get(), size);
  }

 private:
  ZSTD_CCtx* const context_;
  const size_t size_;
  const std::unique_ptr<char[]> buffer_;
};

class GzipChunkEncoder : public ChunkEncoder {
 public:
  GzipChunkEncoder(int level, size_t chunk_bytes) {
    ready_ = deflateInit2(&stream_, level == 0 ? Z_DEFAULT_COMPRESSION : level, Z_DEFLATED,
                          kGzipWindowBits, kGzipMemory, Z_DEFAULT_STRATEGY) == Z_OK;
    if (!ready_) return;
    size_ = deflateBound(&stream_, chunk_bytes);
    buffer_.reset(new unsigned char[size_]);
  }
  ~GzipChunkEncoder() override {
    if (ready_) deflateEnd(&stream_);
  }

  absl::StatusOr<absl::string_view> Encode(absl::string_view chunk) override {
    if (!ready_) return NoMemory();
    deflateReset(&stream_);
    stream_.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(chunk.data()));
    stream_.avail_in = static_cast<uInt>(chunk.size());
    stream_.next_out = buffer_.get();
    stream_.avail_out = static_cast<uInt>(size_);
    if (deflate(&stream_, Z_FINISH) != Z_STREAM_END) {
      return absl::InternalError("zlib takes more room for a chunk than it says");
    }
    return absl::string_view(reinterpret_cast<const char*>(buffer_.get()), stream_.total_out);
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
  size_t size_ = 0;
  std::unique_ptr<unsigned char[]> buffer_;
};

std::unique_ptr<ChunkEncoder> NewChunkEncoder(const EncodeOptions& options) {
  const size_t chunk_bytes = static_cast<size_t>(options.chunk_bytes);
  switch (options.compression) {
    case Compression::kZstd:
      return std::make_unique<ZstdChunkEncoder>(options.level, chunk_bytes);
    case Compression::kGzip:
      return std::make_unique<GzipChunkEncoder>(options.level, chunk_bytes);
    case Compression::kNone:
      break;
  }
  return std::make_unique<PlainChunkEncoder>();
}

absl::Status CheckOptions(const EncodeOptions& options) {
  const int max_level = options.compression == Compression::kZstd   ? 19
                        : options.compression == Compression::kGzip ? 9
                                                                    : 0;
  if (options.level < 0 || options.level > max_level) {
    return absl::InvalidArgumentError(absl::StrCat("the compression level is ", options.level,
                                                   "; for ", CompressionName(options.compression),
                                                   " it is from 0 to ", max_level));
  }
  if (options.chunk_bytes < 1 || options.chunk_bytes > Chunk::kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunks of ", options.chunk_bytes, " bytes; they have from 1 to ", Chunk::kMaxFileBytes));
  }
  return absl::OkStatus();
}

// One file on its way into one object. Each thread reads a chunk when it is its turn (the digest of
// the file is taken in order), compresses it beside the others, and hands it over; whoever has the
// chunk that the object goes on with writes it, and those behind it that wait.
class Encoding {
 public:
  Encoding(const std::string& from, int from_fd, int64_t file_bytes, const std::string& to,
           int to_fd, const EncodeOptions& options, const std::function<bool()>& cancelled)
      : from_(from),
        from_fd_(from_fd),
        to_(to),
        to_fd_(to_fd),
        options_(options),
        cancelled_(cancelled),
        // An empty file is an empty chunk, which plain tools take for an empty file.
        chunks_(
            std::max<int64_t>(1, (file_bytes + options.chunk_bytes - 1) / options.chunk_bytes)) {
    object_.file_bytes = file_bytes;
  }

  absl::StatusOr<EncodedObject> Run() {
    int threads = options_.threads;
    if (threads <= 0) {
      threads = std::min<int>(kMaxThreads,
                              std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
    }
    threads = static_cast<int>(std::min<int64_t>(threads, chunks_));
    max_ahead_ = 2 * threads;
    std::vector<std::thread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back([this] { Work(); });
    Work();
    for (std::thread& worker : workers) worker.join();
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    object_.object_sha256 = object_digest_.Finish();
    if (options_.file_sha1) object_.file_sha1 = file_digest_.Finish();
    return std::move(object_);
  }

 private:
  struct Encoded {
    std::string data;
    Chunk chunk;
  };

  void Work() {
    const std::unique_ptr<ChunkEncoder> encoder = NewChunkEncoder(options_);
    const std::unique_ptr<char[]> buffer(new char[static_cast<size_t>(options_.chunk_bytes)]);
    while (true) {
      int64_t index = 0;
      absl::StatusOr<absl::string_view> chunk = Read(buffer.get(), &index);
      if (!chunk.ok()) return Fail(chunk.status());
      if (index == chunks_) return;
      absl::StatusOr<absl::string_view> encoded = encoder->Encode(*chunk);
      if (!encoded.ok()) return Fail(encoded.status());
      Encoded piece;
      piece.data = std::string(*encoded);
      piece.chunk.object_bytes = static_cast<int64_t>(encoded->size());
      piece.chunk.file_bytes = static_cast<int64_t>(chunk->size());
      piece.chunk.sha256 = Sha256(piece.data);
      if (!HandOver(index, std::move(piece))) return;
    }
  }

  void Fail(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
  }

  // The next chunk of the file; `*index` is `chunks_` at its end. Waits while too many chunks that
  // are behind it are not written yet.
  absl::StatusOr<absl::string_view> Read(char* buffer, int64_t* index) {
    absl::MutexLock turn(&reading_);
    {
      const auto may_read = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return next_to_read_ - next_to_write_ < max_ahead_ || !status_.ok();
      };
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&may_read));
      if (!status_.ok()) return status_;
      *index = next_to_read_;
      if (*index == chunks_) return absl::string_view();
      ++next_to_read_;
    }
    if (cancelled_ != nullptr && cancelled_()) {
      return absl::CancelledError("the compression was cancelled");
    }
    const int64_t begin = *index * options_.chunk_bytes;
    const size_t size =
        static_cast<size_t>(std::min(options_.chunk_bytes, object_.file_bytes - begin));
    size_t done = 0;
    while (done < size) {
      const ssize_t got =
          pread(from_fd_, buffer + done, size - done, static_cast<off_t>(begin) + done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FileError(errno, "read", from_);
      if (got == 0) return absl::UnavailableError(absl::StrCat(from_, " has become shorter"));
      done += static_cast<size_t>(got);
    }
    if (options_.file_sha1) file_digest_.Add(absl::string_view(buffer, size));
    return absl::string_view(buffer, size);
  }

  // False where nothing more is to be done.
  bool HandOver(int64_t index, Encoded piece) {
    absl::MutexLock lock(&mutex_);
    waiting_.emplace(index, std::move(piece));
    while (status_.ok() && !writing_ && !waiting_.empty() &&
           waiting_.begin()->first == next_to_write_) {
      Encoded next = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
      writing_ = true;
      mutex_.Unlock();
      const absl::Status status = Write(next);
      mutex_.Lock();
      writing_ = false;
      ++next_to_write_;
      if (status_.ok()) status_ = status;
    }
    return status_.ok();
  }

  // One at a time.
  absl::Status Write(const Encoded& piece) {
    object_digest_.Add(piece.data);
    size_t done = 0;
    while (done < piece.data.size()) {
      const ssize_t written = write(to_fd_, piece.data.data() + done, piece.data.size() - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return FileError(errno, "write", to_);
      done += static_cast<size_t>(written);
    }
    object_.object_bytes += piece.chunk.object_bytes;
    object_.chunks.push_back(piece.chunk);
    return absl::OkStatus();
  }

  const std::string& from_;
  const int from_fd_;
  const std::string& to_;
  const int to_fd_;
  const EncodeOptions& options_;
  const std::function<bool()>& cancelled_;
  const int64_t chunks_;
  int64_t max_ahead_ = 0;

  // Held while a chunk is read.
  absl::Mutex reading_ ABSL_ACQUIRED_BEFORE(mutex_);
  Digest file_digest_{Digest::Kind::kSha1};

  absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  int64_t next_to_read_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_to_write_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<int64_t, Encoded> waiting_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  // Of who has set `writing_`.
  Digest object_digest_;
  EncodedObject object_;
};

}  // namespace

absl::StatusOr<EncodedObject> EncodeObject(const std::string& from, const std::string& to,
                                           const EncodeOptions& options,
                                           const std::function<bool()>& cancelled) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  const Fd in(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat about {};
  if (in.get() < 0 || fstat(in.get(), &about) != 0) return FileError(errno, "read", from);
  const Fd out(open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (out.get() < 0) return FileError(errno, "write", to);
  absl::StatusOr<EncodedObject> object =
      Encoding(from, in.get(), about.st_size, to, out.get(), options, cancelled).Run();
  if (!object.ok()) unlink(to.c_str());
  return object;
}

}  // namespace ctlstore::snapshot
