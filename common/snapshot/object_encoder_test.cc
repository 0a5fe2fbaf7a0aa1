#include "common/snapshot/object_encoder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/snapshot/object_decoder.h"

namespace ctlstore::snapshot {
namespace {

constexpr int64_t kChunk = 10000;

bool Never() { return false; }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteFile(const std::string& path, absl::string_view data) {
  std::ofstream(path, std::ios::binary)
      .write(data.data(), static_cast<std::streamsize>(data.size()));
}

// Some of it compresses, some does not.
std::string SomeData(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string data;
  while (data.size() < size) {
    data.append(random() % 300, static_cast<char>('a' + random() % 3));
    for (uint32_t i = random() % 300; i > 0; --i) data.push_back(static_cast<char>(random()));
  }
  data.resize(size);
  return data;
}

std::string Decoded(Compression compression, absl::string_view object) {
  std::string out;
  StreamDecoder decoder(compression, int64_t{1} << 30);
  const auto sink = [&out](absl::string_view piece) {
    out.append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  absl::Status status = decoder.Add(object, sink);
  if (status.ok()) status = decoder.Finish();
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

class ObjectEncoderTest : public ::testing::TestWithParam<Compression> {
 protected:
  ObjectEncoderTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "/encoder", getpid());
    std::filesystem::create_directories(folder_);
    from_ = folder_ + "/file";
    to_ = folder_ + "/object";
    options_.compression = GetParam();
    options_.chunk_bytes = kChunk;
    options_.threads = 3;
    options_.file_sha1 = true;
  }
  ~ObjectEncoderTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_, from_, to_;
  EncodeOptions options_;
};

INSTANTIATE_TEST_SUITE_P(All, ObjectEncoderTest,
                         ::testing::Values(Compression::kNone, Compression::kZstd,
                                           Compression::kGzip),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

TEST_P(ObjectEncoderTest, TheObjectAndEachOfItsChunksAreReadBack) {
  for (const int64_t size :
       {int64_t{0}, int64_t{1}, kChunk - 1, kChunk, kChunk + 1, 5 * kChunk, 100 * kChunk + 17}) {
    SCOPED_TRACE(size);
    const std::string data = SomeData(static_cast<size_t>(size), 1);
    WriteFile(from_, data);
    for (const int threads : {0, 1, 5}) {
      options_.threads = threads;
      const absl::StatusOr<EncodedObject> object = EncodeObject(from_, to_, options_, Never);
      ASSERT_TRUE(object.ok()) << object.status();
      const std::string encoded = ReadFile(to_);
      EXPECT_TRUE(Decoded(GetParam(), encoded) == data);
      EXPECT_EQ(object->file_bytes, size);
      EXPECT_EQ(object->object_bytes, static_cast<int64_t>(encoded.size()));
      EXPECT_EQ(object->object_sha256, Sha256(encoded));
      Digest sha1(Digest::Kind::kSha1);
      sha1.Add(data);
      EXPECT_EQ(object->file_sha1, sha1.Finish());

      EXPECT_EQ(object->chunks.size(),
                static_cast<size_t>(std::max<int64_t>(1, (size + kChunk - 1) / kChunk)));
      int64_t object_offset = 0, file_offset = 0;
      for (const Chunk& chunk : object->chunks) {
        const absl::string_view bytes = absl::string_view(encoded).substr(
            static_cast<size_t>(object_offset), static_cast<size_t>(chunk.object_bytes));
        EXPECT_EQ(chunk.sha256, Sha256(bytes));
        std::string part;
        ASSERT_TRUE(DecodeChunk(GetParam(), bytes, chunk.file_bytes, &part).ok());
        EXPECT_TRUE(part == data.substr(static_cast<size_t>(file_offset), part.size()));
        object_offset += chunk.object_bytes;
        file_offset += chunk.file_bytes;
      }
      EXPECT_EQ(object_offset, object->object_bytes);
      EXPECT_EQ(file_offset, size);
    }
  }
}

TEST_P(ObjectEncoderTest, OtherLevelsAreReadBackToo) {
  const std::string data = SomeData(3 * kChunk, 2);
  WriteFile(from_, data);
  const std::vector<int> levels = GetParam() == Compression::kZstd   ? std::vector<int>{1, 19}
                                  : GetParam() == Compression::kGzip ? std::vector<int>{1, 9}
                                                                     : std::vector<int>{0};
  for (const int level : levels) {
    options_.level = level;
    ASSERT_TRUE(EncodeObject(from_, to_, options_, Never).ok());
    EXPECT_TRUE(Decoded(GetParam(), ReadFile(to_)) == data);
  }
  for (const int level : {-1, levels.back() + 1}) {
    options_.level = level;
    EXPECT_EQ(EncodeObject(from_, to_, options_, Never).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(ObjectEncoderTest, AFullDiskLeavesNoFile) {
  WriteFile(from_, SomeData(20 * kChunk, 3));
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  for (const rlim_t room : {0, 1000, 30000}) {
    rlimit limited = before;
    limited.rlim_cur = room;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
    const absl::Status status = EncodeObject(from_, to_, options_, Never).status();
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_FALSE(std::filesystem::exists(to_));
  }
}

TEST_P(ObjectEncoderTest, IsCancelledAtAnyChunkAndLeavesNoFile) {
  WriteFile(from_, SomeData(20 * kChunk, 4));
  for (const int at : {0, 1, 7, 19}) {
    std::atomic<int> questions{0};
    const absl::Status status =
        EncodeObject(from_, to_, options_, [&] { return questions++ >= at; }).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    EXPECT_FALSE(std::filesystem::exists(to_));
  }
}

TEST_P(ObjectEncoderTest, FilesThatCannotBeReadOrWrittenAreNamed) {
  EXPECT_EQ(EncodeObject(from_, to_, options_, Never).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(to_));
  WriteFile(from_, "x");
  EXPECT_EQ(EncodeObject(from_, folder_ + "/no/object", options_, Never).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(EncodeObject(folder_, to_, options_, Never).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(to_));
  options_.chunk_bytes = 0;
  EXPECT_EQ(EncodeObject(from_, to_, options_, Never).status().code(),
            absl::StatusCode::kInvalidArgument);
  options_.chunk_bytes = Chunk::kMaxFileBytes + 1;
  EXPECT_EQ(EncodeObject(from_, to_, options_, Never).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ObjectEncoderToolTest, GunzipReadsTheObject) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/gunzip", getpid());
  std::filesystem::create_directories(folder);
  for (const size_t size : {size_t{0}, size_t{5 * kChunk + 3}}) {
    const std::string data = SomeData(size, 5);
    WriteFile(folder + "/file", data);
    EncodeOptions options;
    options.compression = Compression::kGzip;
    options.chunk_bytes = kChunk;
    ASSERT_TRUE(EncodeObject(folder + "/file", folder + "/object.gz", options, Never).ok());
    const std::string command =
        absl::StrCat("gunzip -c ", folder, "/object.gz | cmp - ", folder, "/file");
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ctlstore::snapshot
