#include "common/snapshot/object_decoder.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ctlstore::snapshot {
namespace {

constexpr size_t kOutputBytes = size_t{128} << 10;
constexpr int kMaxWindowLog = 27;
// The largest window, in gzip's form.
constexpr int kGzipWindowBits = 15 + 16;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the compressed data is damaged: ", what));
}

absl::Status ZstdError(size_t result) {
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
    return absl::ResourceExhaustedError("no memory to decompress");
  }
  return Damaged(ZSTD_getErrorName(result));
}

absl::Status GzipError(const z_stream& stream, int result) {
  if (result == Z_MEM_ERROR) return absl::ResourceExhaustedError("no memory to decompress");
  if (stream.msg != nullptr) return Damaged(stream.msg);
  return Damaged(result == Z_BUF_ERROR ? "it is cut off" : "it is no gzip");
}

unsigned char* Bytes(const char* data) {
  return reinterpret_cast<unsigned char*>(const_cast<char*>(data));
}

absl::Status DecodeZstdChunk(absl::string_view chunk, std::string* out) {
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  if (context == nullptr) return absl::ResourceExhaustedError("no memory to decompress");
  const size_t result =
      ZSTD_decompressDCtx(context.get(), &(*out)[0], out->size(), chunk.data(), chunk.size());
  if (ZSTD_isError(result)) return ZstdError(result);
  if (result != out->size() || chunk.empty()) {
    return Damaged(absl::StrCat("it becomes ", result, " bytes, not ", out->size()));
  }
  return absl::OkStatus();
}

absl::Status DecodeGzipChunk(absl::string_view chunk, std::string* out) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindowBits) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to decompress");
  }
  stream.next_in = Bytes(chunk.data());
  stream.avail_in = static_cast<uInt>(chunk.size());
  stream.next_out = Bytes(&(*out)[0]);
  stream.avail_out = static_cast<uInt>(out->size());
  const int result = inflate(&stream, Z_FINISH);
  absl::Status status;
  if (result == Z_STREAM_END) {
    if (stream.avail_in > 0) status = Damaged("something is behind its end");
    if (stream.avail_out > 0) {
      status = Damaged(absl::StrCat("it becomes ", stream.total_out, " bytes, not ", out->size()));
    }
  } else if (result == Z_BUF_ERROR && stream.avail_in > 0) {
    status = Damaged(absl::StrCat("it becomes more than ", out->size(), " bytes"));
  } else {
    status = GzipError(stream, result);
  }
  inflateEnd(&stream);
  return status;
}

}  // namespace

absl::Status DecodeChunk(Compression compression, absl::string_view chunk, int64_t file_bytes,
                         std::string* out) {
  if (file_bytes < 0 || file_bytes > Chunk::kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a chunk of ", file_bytes, " bytes; it may have up to ", Chunk::kMaxFileBytes));
  }
  if (compression == Compression::kNone) {
    if (static_cast<int64_t>(chunk.size()) != file_bytes) {
      return Damaged(absl::StrCat("it has ", chunk.size(), " bytes, not ", file_bytes));
    }
    out->assign(chunk.data(), chunk.size());
    return absl::OkStatus();
  }
  if (chunk.size() > std::numeric_limits<uInt>::max()) return Damaged("it is too large");
  out->resize(static_cast<size_t>(file_bytes));
  return compression == Compression::kZstd ? DecodeZstdChunk(chunk, out)
                                           : DecodeGzipChunk(chunk, out);
}

class StreamDecoder::Zstd {
 public:
  Zstd() : stream_(ZSTD_createDStream()), output_(kOutputBytes) {
    if (stream_ != nullptr) {
      ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kMaxWindowLog);
    }
  }
  ~Zstd() { ZSTD_freeDStream(stream_); }

  // `emit` takes each piece that comes out.
  template <typename Emit>
  absl::Status Add(absl::string_view piece, const Emit& emit) {
    if (stream_ == nullptr) return absl::ResourceExhaustedError("no memory to decompress");
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    bool output_full = false;
    while (in.pos < in.size || output_full) {
      ZSTD_outBuffer out{output_.data(), output_.size(), 0};
      const size_t result = ZSTD_decompressStream(stream_, &out, &in);
      if (ZSTD_isError(result)) return ZstdError(result);
      at_end_ = result == 0;
      output_full = !at_end_ && out.pos == out.size;
      absl::Status status = emit(absl::string_view(output_.data(), out.pos));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  bool at_end() const { return at_end_; }

 private:
  ZSTD_DStream* const stream_;
  std::vector<char> output_;
  bool at_end_ = false;
};

class StreamDecoder::Gzip {
 public:
  Gzip() : output_(kOutputBytes) { ready_ = inflateInit2(&stream_, kGzipWindowBits) == Z_OK; }
  ~Gzip() {
    if (ready_) inflateEnd(&stream_);
  }

  template <typename Emit>
  absl::Status Add(absl::string_view piece, const Emit& emit) {
    if (!ready_) return absl::ResourceExhaustedError("no memory to decompress");
    while (!piece.empty()) {
      const size_t taken = std::min<size_t>(piece.size(), size_t{1} << 30);
      stream_.next_in = Bytes(piece.data());
      stream_.avail_in = static_cast<uInt>(taken);
      piece.remove_prefix(taken);
      bool output_full = false;
      while (stream_.avail_in > 0 || output_full) {
        if (at_end_) inflateReset(&stream_);
        stream_.next_out = Bytes(output_.data());
        stream_.avail_out = static_cast<uInt>(output_.size());
        const int result = inflate(&stream_, Z_NO_FLUSH);
        at_end_ = result == Z_STREAM_END;
        // Nothing was left of a full buffer.
        const bool nothing_left = result == Z_BUF_ERROR && output_full;
        if (result != Z_OK && !at_end_ && !nothing_left) return GzipError(stream_, result);
        output_full = !at_end_ && stream_.avail_out == 0;
        absl::Status status =
            emit(absl::string_view(output_.data(), output_.size() - stream_.avail_out));
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  bool at_end() const { return at_end_; }

 private:
  z_stream stream_{};
  bool ready_ = false;
  std::vector<char> output_;
  bool at_end_ = false;
};

StreamDecoder::StreamDecoder(Compression compression, int64_t max_file_bytes)
    : compression_(compression), max_file_bytes_(max_file_bytes) {
  if (compression == Compression::kZstd) zstd_ = std::make_unique<Zstd>();
  if (compression == Compression::kGzip) gzip_ = std::make_unique<Gzip>();
}

StreamDecoder::~StreamDecoder() = default;

absl::Status StreamDecoder::Emit(absl::string_view piece, const Sink& sink) {
  if (piece.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(piece.size()) > max_file_bytes_ - file_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it becomes more than ", max_file_bytes_, " bytes when it is decompressed"));
  }
  file_bytes_ += static_cast<int64_t>(piece.size());
  return sink(piece);
}

absl::Status StreamDecoder::Add(absl::string_view piece, const Sink& sink) {
  if (!status_.ok()) return status_;
  const auto emit = [&](absl::string_view out) { return Emit(out, sink); };
  switch (compression_) {
    case Compression::kNone:
      status_ = emit(piece);
      break;
    case Compression::kZstd:
      status_ = zstd_->Add(piece, emit);
      break;
    case Compression::kGzip:
      status_ = gzip_->Add(piece, emit);
      break;
  }
  return status_;
}

absl::Status StreamDecoder::Finish() {
  if (!status_.ok()) return status_;
  const bool at_end = compression_ == Compression::kZstd   ? zstd_->at_end()
                      : compression_ == Compression::kGzip ? gzip_->at_end()
                                                           : true;
  if (!at_end) status_ = Damaged("it is cut off");
  return status_;
}

}  // namespace ctlstore::snapshot
