#include "common/snapshot/object_decoder.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <random>

namespace ctlstore::snapshot {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

std::string ZstdFrame(absl::string_view data) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string frame(ZSTD_compressBound(data.size()), '\0');
  frame.resize(ZSTD_compress2(context, &frame[0], frame.size(), data.data(), data.size()));
  ZSTD_freeCCtx(context);
  return frame;
}

std::string GzipMember(absl::string_view data) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string member(deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(&member[0]);
  stream.avail_out = static_cast<uInt>(member.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  member.resize(stream.total_out);
  deflateEnd(&stream);
  return member;
}

std::string Compressed(Compression compression, absl::string_view data) {
  return compression == Compression::kZstd   ? ZstdFrame(data)
         : compression == Compression::kGzip ? GzipMember(data)
                                             : std::string(data);
}

// Compresses to about a third.
std::string SomeData(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string data;
  while (data.size() < size) {
    data.append(random() % 30, 'a');
    for (uint32_t i = random() % 15; i > 0; --i) data.push_back(static_cast<char>(random()));
  }
  data.resize(size);
  return data;
}

// In pieces of up to `max_piece`.
absl::Status Decode(Compression compression, absl::string_view object, int64_t max_file_bytes,
                    size_t max_piece, std::mt19937* random, std::string* out) {
  out->clear();
  StreamDecoder decoder(compression, max_file_bytes);
  const auto sink = [out](absl::string_view piece) {
    out->append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  while (!object.empty()) {
    const size_t size = std::min<size_t>(object.size(), 1 + (*random)() % max_piece);
    absl::Status status = decoder.Add(object.substr(0, size), sink);
    EXPECT_LE(static_cast<int64_t>(out->size()), max_file_bytes);
    if (!status.ok()) {
      EXPECT_EQ(decoder.Finish(), status);
      return status;
    }
    object.remove_prefix(size);
  }
  EXPECT_EQ(decoder.file_bytes(), static_cast<int64_t>(out->size()));
  return decoder.Finish();
}

class ObjectDecoderTest : public ::testing::TestWithParam<Compression> {};

INSTANTIATE_TEST_SUITE_P(All, ObjectDecoderTest,
                         ::testing::Values(Compression::kNone, Compression::kZstd,
                                           Compression::kGzip),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

TEST_P(ObjectDecoderTest, AChunkBecomesWhatItWas) {
  std::string out = "from before";
  for (const size_t size : {0, 1, 100, 100000, 3000000}) {
    const std::string data = SomeData(size, 1);
    const std::string chunk = Compressed(GetParam(), data);
    ASSERT_TRUE(DecodeChunk(GetParam(), chunk, static_cast<int64_t>(size), &out).ok()) << size;
    EXPECT_TRUE(out == data) << size;
  }
}

TEST_P(ObjectDecoderTest, AChunkOfAnotherSizeIsDamaged) {
  const std::string data = SomeData(10000, 2);
  const std::string chunk = Compressed(GetParam(), data);
  std::string out;
  for (const int64_t size : {0, 1, 9999, 10001, 1000000}) {
    EXPECT_EQ(DecodeChunk(GetParam(), chunk, size, &out).code(), absl::StatusCode::kDataLoss)
        << size;
  }
  for (const size_t cut : {size_t{0}, size_t{1}, chunk.size() / 2, chunk.size() - 1}) {
    EXPECT_EQ(DecodeChunk(GetParam(), chunk.substr(0, cut), 10000, &out).code(),
              absl::StatusCode::kDataLoss)
        << cut;
  }
  EXPECT_EQ(DecodeChunk(GetParam(), chunk + "x", 10000, &out).code(), absl::StatusCode::kDataLoss);
  for (const int64_t size : {int64_t{-1}, Chunk::kMaxFileBytes + 1, kNoLimit}) {
    EXPECT_EQ(DecodeChunk(GetParam(), chunk, size, &out).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(ObjectDecoderTest, AnEmptyChunkIsWholeOnlyWhereNothingIsCompressed) {
  std::string out;
  EXPECT_EQ(DecodeChunk(GetParam(), "", 0, &out).ok(), GetParam() == Compression::kNone);
  EXPECT_EQ(StreamDecoder(GetParam(), 10).Finish().ok(), GetParam() == Compression::kNone);
}

TEST_P(ObjectDecoderTest, AStreamOfManyFramesBecomesWhatItWas) {
  std::mt19937 random(3);
  for (const size_t max_piece : {size_t{1}, size_t{100}, size_t{1} << 20}) {
    std::string data, object;
    for (const size_t size : {0, 50000, 1, 0, 131072, 262144, 77}) {
      const std::string part = SomeData(size, static_cast<uint32_t>(size));
      data += part;
      object += Compressed(GetParam(), part);
    }
    std::string out;
    absl::Status status =
        Decode(GetParam(), object, static_cast<int64_t>(data.size()), max_piece, &random, &out);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(out == data);
  }
}

TEST_P(ObjectDecoderTest, AStreamThatBecomesTooMuchIsStopped) {
  std::mt19937 random(4);
  // A thousand times what it has, at least.
  const std::string data(20000000, 'a');
  const std::string object = Compressed(GetParam(), data);
  std::string out;
  for (const int64_t limit : {int64_t{0}, int64_t{1000}, int64_t{19999999}}) {
    EXPECT_EQ(Decode(GetParam(), object, limit, 4096, &random, &out).code(),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_TRUE(Decode(GetParam(), object, 20000000, 4096, &random, &out).ok());
}

TEST_P(ObjectDecoderTest, ASinksErrorEndsTheDecoding) {
  StreamDecoder decoder(GetParam(), kNoLimit);
  const std::string object = Compressed(GetParam(), SomeData(1000000, 5));
  int calls = 0;
  const auto sink = [&calls](absl::string_view) {
    ++calls;
    return absl::AbortedError("no more");
  };
  EXPECT_EQ(decoder.Add(object, sink), absl::AbortedError("no more"));
  EXPECT_EQ(decoder.Add(object, sink), absl::AbortedError("no more"));
  EXPECT_EQ(decoder.Finish(), absl::AbortedError("no more"));
  EXPECT_EQ(calls, 1);
}

// Each cut and each changed byte is found, as all formats have checksums; whatever comes, no more
// comes out than may.
TEST_P(ObjectDecoderTest, DamageIsFound) {
  if (GetParam() == Compression::kNone) GTEST_SKIP() << "nothing can be damaged";
  std::mt19937 random(6);
  const std::string first = SomeData(3000, 7), second = SomeData(2000, 8);
  const std::string chunk = Compressed(GetParam(), first);
  const std::string object = chunk + Compressed(GetParam(), second);
  std::string out;
  for (size_t cut = 0; cut < object.size(); ++cut) {
    const absl::Status status =
        Decode(GetParam(), object.substr(0, cut), kNoLimit, 1000, &random, &out);
    EXPECT_EQ(status.ok(), cut == chunk.size()) << cut;
  }
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = object;
    for (uint32_t i = 1 + random() % 3; i > 0; --i) {
      const size_t at = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
          break;
        case 1:
          damaged.erase(at, 1 + random() % 20);
          break;
        default:
          damaged.insert(at, SomeData(1 + random() % 20, random()));
      }
      if (damaged.empty()) damaged = "x";
    }
    const absl::Status status = Decode(GetParam(), damaged, 10000, 1000, &random, &out);
    // Some bits of the headers mean nothing.
    if (status.ok()) {
      EXPECT_TRUE(out == first + second || out == first || out == second || out.empty()) << round;
    }
    const absl::Status of_chunk = DecodeChunk(GetParam(), damaged, 5000, &out);
    if (of_chunk.ok()) {
      EXPECT_TRUE(out == first + second);
    }
  }
}

TEST(ObjectDecoderWindowTest, AFrameThatAsksForTooMuchMemoryIsNotTaken) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 28);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  std::string frame(1000, '\0');
  ZSTD_outBuffer out{&frame[0], frame.size(), 0};
  ZSTD_inBuffer in{"abc", 3, 0};
  ASSERT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush), 0u);
  ASSERT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0u);
  ZSTD_freeCCtx(context);
  frame.resize(out.pos);
  StreamDecoder decoder(Compression::kZstd, 1000);
  EXPECT_EQ(decoder.Add(frame, [](absl::string_view) { return absl::OkStatus(); }).code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ctlstore::snapshot
