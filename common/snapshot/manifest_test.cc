#include "common/snapshot/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace ctlstore::snapshot {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

Manifest Example() {
  Manifest manifest;
  manifest.id = "00000000000000000042-20240102T030405Z-0123abcd";
  manifest.position = {42, std::string("0123456789abcde\0", 16)};
  manifest.taken_at = absl::FromUnixMillis(1704164645678);
  manifest.last_update = "2024-01-02 03:04:04+00:00";
  manifest.families = {"alpha", "beta"};
  manifest.object = manifest.id + ".db.gz";
  manifest.compression = Compression::kGzip;
  manifest.object_bytes = 150;
  manifest.object_sha256 = std::string(32, '\xfe');
  manifest.file_bytes = 4096 + 17;
  manifest.chunks = {{100, 4096, std::string(32, 'x')}, {50, 17, std::string(32, '\0')}};
  manifest.tables = {{"alpha", "one", 3, std::string(16, 'd')},
                     {"beta", "two", 0, std::string(16, 'e')}};
  manifest.instance = "host/17";
  return manifest;
}

void ExpectSame(const Manifest& a, const Manifest& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.taken_at, b.taken_at);
  EXPECT_EQ(a.last_update, b.last_update);
  EXPECT_EQ(a.families, b.families);
  EXPECT_EQ(a.object, b.object);
  EXPECT_EQ(a.compression, b.compression);
  EXPECT_EQ(a.object_bytes, b.object_bytes);
  EXPECT_EQ(a.object_sha256, b.object_sha256);
  EXPECT_EQ(a.file_bytes, b.file_bytes);
  ASSERT_EQ(a.chunks.size(), b.chunks.size());
  for (size_t i = 0; i < a.chunks.size(); ++i) {
    EXPECT_EQ(a.chunks[i].object_bytes, b.chunks[i].object_bytes);
    EXPECT_EQ(a.chunks[i].file_bytes, b.chunks[i].file_bytes);
    EXPECT_EQ(a.chunks[i].sha256, b.chunks[i].sha256);
  }
  ASSERT_EQ(a.tables.size(), b.tables.size());
  for (size_t i = 0; i < a.tables.size(); ++i) {
    EXPECT_EQ(a.tables[i].family, b.tables[i].family);
    EXPECT_EQ(a.tables[i].table, b.tables[i].table);
    EXPECT_EQ(a.tables[i].rows, b.tables[i].rows);
    EXPECT_EQ(a.tables[i].checksum, b.tables[i].checksum);
  }
  EXPECT_EQ(a.instance, b.instance);
}

TEST(ManifestTest, IsReadAsItWasWritten) {
  Manifest manifest = Example();
  absl::StatusOr<Manifest> read = DecodeManifest(EncodeManifest(manifest));
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(*read, manifest);

  // Nothing is known of the ledger, all families, no table.
  manifest.position = {};
  manifest.families.clear();
  manifest.tables.clear();
  manifest.last_update.clear();
  for (const Compression compression :
       {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    manifest.compression = compression;
    read = DecodeManifest(EncodeManifest(manifest));
    ASSERT_TRUE(read.ok()) << read.status();
    ExpectSame(*read, manifest);
  }
}

TEST(ManifestTest, WhatLaterVersionsAddIsGoneOver) {
  Json json = Json::parse(EncodeManifest(Example()));
  json["more"] = {{"a", {1, 2, 3}}};
  json["chunks"][0]["offset"] = 0;
  json["tables"][1]["bytes"] = 1.5;
  const absl::StatusOr<Manifest> read = DecodeManifest(json.dump());
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(*read, Example());
}

TEST(ManifestTest, WhatContradictsItselfIsNotTaken) {
  const struct {
    std::function<void(Json&)> damage;
    const char* message;
  } cases[] = {
      {[](Json& json) { json["format"] = 2; }, "format version 2"},
      {[](Json& json) { json.erase("format"); }, "format is missing"},
      {[](Json& json) { json.erase("chunks"); }, "chunks is missing"},
      {[](Json& json) { json["tables"] = Json::object(); }, "tables is no array"},
      {[](Json& json) { json["id"] = "../x"; }, "id is not"},
      {[](Json& json) { json["id"] = ""; }, "id is not"},
      {[](Json& json) { json["id"] = ".."; }, "id is not"},
      {[](Json& json) { json["id"] = 7; }, "id is no string"},
      {[](Json& json) { json["object"] = "other/x.db.zst"; }, "object is not"},
      {[](Json& json) { json["object"] = "x\n"; }, "object is not"},
      {[](Json& json) { json["object"] = std::string(201, 'x'); }, "object is not"},
      {[](Json& json) { json["compression"] = "lz4"; }, "compression is not"},
      {[](Json& json) { json["sequence"] = -1; }, "sequence is no integer from 0"},
      {[](Json& json) { json["sequence"] = 1.5; }, "sequence is no integer"},
      {[](Json& json) { json["sequence"] = 9223372036854775808u; }, "sequence is no integer"},
      {[](Json& json) { json["ledger_digest"] = "00"; }, "ledger_digest is not 32 hex digits"},
      {[](Json& json) { json["object_sha256"] = std::string(64, 'g'); }, "is not 64 hex digits"},
      {[](Json& json) { json["taken_at"] = "yesterday"; }, "taken_at is no time"},
      {[](Json& json) { json["taken_at"] = "infinite-past"; }, "taken_at is no time"},
      {[](Json& json) {
         json["families"] = {"b", "a"};
       },
       "families are not sorted"},
      {[](Json& json) {
         json["families"] = {"a", "a"};
       },
       "families are not sorted"},
      {[](Json& json) { json["families"] = {1}; }, "families has what is no name"},
      {[](Json& json) { json["object_bytes"] = 151; }, "chunks are less than the object"},
      {[](Json& json) { json["object_bytes"] = 149; }, "chunks[1] ends behind"},
      {[](Json& json) { json["file_bytes"] = 4114; }, "chunks are less than the file"},
      {[](Json& json) { json["file_bytes"] = 4095; }, "chunks[0] ends behind"},
      {[](Json& json) { json["chunks"][1]["file_bytes"] = -17; }, "chunks[1].file_bytes is no"},
      {[](Json& json) { json["chunks"][1]["file_bytes"] = (64 << 20) + 1; },
       "chunks[1].file_bytes is no integer from 0 to 67108864"},
      {[](Json& json) { json["chunks"][0] = nullptr; }, "chunks[0] is no object"},
      {[](Json& json) { json["chunks"][0]["sha256"] = ""; }, "chunks[0].sha256 is not"},
      {[](Json& json) { json["tables"][0]["rows"] = "3"; }, "tables[0].rows is no integer"},
      {[](Json& json) { json["tables"][0]["checksum"] = "ab"; }, "tables[0].checksum is not"},
  };
  for (const auto& test : cases) {
    Json json = Json::parse(EncodeManifest(Example()));
    test.damage(json);
    const absl::StatusOr<Manifest> read = DecodeManifest(json.dump());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(test.message));
  }
  // Sums that go round do not add up either.
  Json json = Json::parse(EncodeManifest(Example()));
  json["object_bytes"] = 9223372036854775807;
  json["file_bytes"] = 9223372036854775807;
  EXPECT_FALSE(DecodeManifest(json.dump()).ok());
  for (const char* text : {"", "null", "[]", "17", "\"x\"", "{", "{}", "\xff"}) {
    EXPECT_EQ(DecodeManifest(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  // Nesting costs no stack.
  EXPECT_FALSE(DecodeManifest(std::string(1000000, '[')).ok());
}

TEST(ManifestTest, TextsThatAreNotUtf8AreWrittenNevertheless) {
  Manifest manifest = Example();
  manifest.instance = "h\xffst";
  const absl::StatusOr<Manifest> read = DecodeManifest(EncodeManifest(manifest));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->instance, "h\xef\xbf\xbdst");
}

// Whatever is taken adds up, and is written so that it is taken again.
TEST(ManifestTest, DamagedTextIsRefusedOrStillAdds) {
  std::mt19937 random(20240102);
  const std::string good = EncodeManifest(Example());
  constexpr absl::string_view kPieces[] = {
      "0", "9",  "-1", "1e9",     "\"",   "{",  "}",    "[",    "]",      ",",
      ":", "..", "/",  "\\u0000", "null", "\n", "\xff", "4096", "chunks", "18446744073709551615"};
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < changes; ++i) {
      const size_t at = random() % (text.size() + 1);
      const absl::string_view piece = kPieces[random() % std::size(kPieces)];
      switch (random() % 4) {
        case 0:
          text.insert(at, piece.data(), piece.size());
          break;
        case 1:
          text.replace(at, std::min(text.size() - at, piece.size()), piece.data(), piece.size());
          break;
        case 2:
          text.erase(at, random() % 100);
          break;
        default:
          if (at < text.size()) text[at] = static_cast<char>(random());
      }
    }
    const absl::StatusOr<Manifest> read = DecodeManifest(text);
    if (!read.ok()) {
      ASSERT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
      continue;
    }
    ++taken;
    int64_t object_bytes = 0, file_bytes = 0;
    for (const Chunk& chunk : read->chunks) {
      ASSERT_GE(chunk.object_bytes, 0);
      ASSERT_GE(chunk.file_bytes, 0);
      ASSERT_EQ(chunk.sha256.size(), 32u);
      object_bytes += chunk.object_bytes;
      file_bytes += chunk.file_bytes;
    }
    ASSERT_EQ(object_bytes, read->object_bytes);
    ASSERT_EQ(file_bytes, read->file_bytes);
    ASSERT_GE(read->position.sequence, 0);
    ASSERT_EQ(read->id.find('/'), std::string::npos);
    ASSERT_EQ(read->object.find('/'), std::string::npos);
    const absl::StatusOr<Manifest> again = DecodeManifest(EncodeManifest(*read));
    ASSERT_TRUE(again.ok()) << again.status();
    ExpectSame(*again, *read);
  }
  EXPECT_GT(taken, 100);
}

TEST(CompressionTest, NamesAreReadAsTheyAreWritten) {
  for (const Compression compression :
       {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    EXPECT_EQ(*ParseCompression(CompressionName(compression)), compression);
  }
  EXPECT_EQ(ParseCompression("ZSTD").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ctlstore::snapshot
