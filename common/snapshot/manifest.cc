#include "common/snapshot/manifest.h"

#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ctlstore::snapshot {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kSha256Bytes = 32;
constexpr size_t kLedgerDigestBytes = 16;
constexpr size_t kTableChecksumBytes = 16;
constexpr size_t kMaxNameBytes = 200;
constexpr int64_t kAnyNumber = std::numeric_limits<int64_t>::max();

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

bool IsPlainName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name[0] == '.') return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

// Reads the members of one object. What is wrong is kept in `*status`, the first of it only, and
// reading goes on with empty values.
class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string path, absl::Status* status)
      : json_(json), path_(std::move(path)), status_(*status) {
    if (!json_.is_object()) Fail("", "is no object");
  }

  void Fail(absl::string_view member, absl::string_view what) {
    if (!status_.ok()) return;
    std::string place = path_;
    if (!member.empty()) absl::StrAppend(&place, place.empty() ? "" : ".", member);
    status_ = absl::InvalidArgumentError(
        absl::StrCat("the manifest is not valid: ", place.empty() ? "it" : place, " ", what));
  }

  const Json* Member(const char* name) {
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(name);
    if (found != json_.end()) return &*found;
    Fail(name, "is missing");
    return nullptr;
  }

  std::string Text(const char* name) {
    const Json* member = Member(name);
    if (member == nullptr) return "";
    if (member->is_string()) return member->get_ref<const std::string&>();
    Fail(name, "is no string");
    return "";
  }

  std::string PlainName(const char* name) {
    std::string text = Text(name);
    if (!IsPlainName(text)) {
      Fail(name, absl::StrCat("is not 1 to ", kMaxNameBytes,
                              " letters, digits, '-', '_' and '.', the first one no '.'"));
    }
    return text;
  }

  int64_t Number(const char* name, int64_t max) {
    const Json* member = Member(name);
    if (member == nullptr) return 0;
    // A number that fits neither 64-bit type is taken for a decimal.
    if (!member->is_number_integer() ||
        (!member->is_number_unsigned() && member->get<int64_t>() < 0) ||
        member->get<uint64_t>() > static_cast<uint64_t>(max)) {
      Fail(name, absl::StrCat("is no integer from 0 to ", max));
      return 0;
    }
    return member->get<int64_t>();
  }

  // `size` bytes, or none where that is allowed.
  std::string Bytes(const char* name, size_t size, bool may_be_empty = false) {
    const std::string text = Text(name);
    if (text.empty() && may_be_empty) return "";
    bool is_hex = text.size() == 2 * size;
    for (const char c : text) is_hex = is_hex && absl::ascii_isxdigit(c);
    if (is_hex) return absl::HexStringToBytes(text);
    Fail(name, absl::StrCat("is not ", 2 * size, " hex digits"));
    return "";
  }

  absl::Time Time(const char* name) {
    const std::string text = Text(name);
    absl::Time time;
    std::string error;
    if (absl::ParseTime(absl::RFC3339_full, text, &time, &error) && time != absl::InfinitePast() &&
        time != absl::InfiniteFuture()) {
      return time;
    }
    Fail(name, "is no time as in 2006-01-02T15:04:05Z");
    return absl::UnixEpoch();
  }

  // Calls `take(element, path)` for each.
  template <typename Take>
  void Array(const char* name, const Take& take) {
    const Json* member = Member(name);
    if (member == nullptr) return;
    if (!member->is_array()) return Fail(name, "is no array");
    size_t i = 0;
    for (const Json& element : *member) {
      if (!status_.ok()) return;
      take(element, absl::StrCat(path_, path_.empty() ? "" : ".", name, "[", i++, "]"));
    }
  }

 private:
  const Json& json_;
  const std::string path_;
  absl::Status& status_;
};

void ReadChunks(ObjectReader* root, Manifest* manifest, absl::Status* status) {
  int64_t object_left = manifest->object_bytes, file_left = manifest->file_bytes;
  root->Array("chunks", [&](const Json& json, std::string path) {
    ObjectReader reader(json, std::move(path), status);
    Chunk chunk;
    chunk.object_bytes = reader.Number("object_bytes", Chunk::kMaxObjectBytes);
    chunk.file_bytes = reader.Number("file_bytes", Chunk::kMaxFileBytes);
    chunk.sha256 = reader.Bytes("sha256", kSha256Bytes);
    if (chunk.object_bytes > object_left || chunk.file_bytes > file_left) {
      reader.Fail("", "ends behind the object's or the file's end");
    }
    object_left -= chunk.object_bytes;
    file_left -= chunk.file_bytes;
    manifest->chunks.push_back(std::move(chunk));
  });
  if (object_left != 0) root->Fail("chunks", "are less than the object");
  if (file_left != 0) root->Fail("chunks", "are less than the file");
}

void ReadFamilies(ObjectReader* root, Manifest* manifest) {
  root->Array("families", [&](const Json& json, const std::string&) {
    if (!json.is_string() || json.get_ref<const std::string&>().empty()) {
      return root->Fail("families", "has what is no name");
    }
    std::string family = json.get<std::string>();
    if (!manifest->families.empty() && family <= manifest->families.back()) {
      return root->Fail("families", "are not sorted");
    }
    manifest->families.push_back(std::move(family));
  });
}

void ReadTables(ObjectReader* root, Manifest* manifest, absl::Status* status) {
  root->Array("tables", [&](const Json& json, std::string path) {
    ObjectReader reader(json, std::move(path), status);
    TableSummary table;
    table.family = reader.Text("family");
    table.table = reader.Text("table");
    table.rows = reader.Number("rows", kAnyNumber);
    table.checksum = reader.Bytes("checksum", kTableChecksumBytes);
    manifest->tables.push_back(std::move(table));
  });
}

}  // namespace

absl::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "none";
    case Compression::kZstd:
      return "zstd";
    case Compression::kGzip:
      return "gzip";
  }
  return "";
}

absl::StatusOr<Compression> ParseCompression(absl::string_view name) {
  for (const Compression compression :
       {Compression::kNone, Compression::kZstd, Compression::kGzip}) {
    if (name == CompressionName(compression)) return compression;
  }
  return absl::InvalidArgumentError("the compression has to be zstd, gzip or none");
}

std::string EncodeManifest(const Manifest& manifest) {
  Json chunks = Json::array();
  for (const Chunk& chunk : manifest.chunks) {
    chunks.push_back(Json{{"object_bytes", chunk.object_bytes},
                          {"file_bytes", chunk.file_bytes},
                          {"sha256", Hex(chunk.sha256)}});
  }
  Json tables = Json::array();
  for (const TableSummary& table : manifest.tables) {
    tables.push_back(Json{{"family", table.family},
                          {"table", table.table},
                          {"rows", table.rows},
                          {"checksum", Hex(table.checksum)}});
  }
  const Json json = {
      {"format", Manifest::kFormatVersion},
      {"id", manifest.id},
      {"sequence", manifest.position.sequence},
      {"ledger_digest", Hex(manifest.position.digest)},
      {"taken_at", absl::FormatTime(absl::RFC3339_full, manifest.taken_at, absl::UTCTimeZone())},
      {"last_update", manifest.last_update},
      {"families", manifest.families},
      {"object", manifest.object},
      {"compression", std::string(CompressionName(manifest.compression))},
      {"object_bytes", manifest.object_bytes},
      {"object_sha256", Hex(manifest.object_sha256)},
      {"file_bytes", manifest.file_bytes},
      {"chunks", std::move(chunks)},
      {"tables", std::move(tables)},
      {"instance", manifest.instance},
  };
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Manifest> DecodeManifest(absl::string_view json) {
  if (static_cast<int64_t>(json.size()) > Manifest::kMaxJsonBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the manifest is not valid: it has ",
                                                   json.size(), " bytes, and at most ",
                                                   Manifest::kMaxJsonBytes, " are allowed"));
  }
  const Json parsed = Json::parse(json.data(), json.data() + json.size(), nullptr,
                                  /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    return absl::InvalidArgumentError("the manifest is not valid: it is no JSON");
  }
  absl::Status status;
  ObjectReader reader(parsed, "", &status);
  const int64_t format = reader.Number("format", kAnyNumber);
  if (status.ok() && format != Manifest::kFormatVersion) {
    return absl::InvalidArgumentError(absl::StrCat("the manifest is of format version ", format,
                                                   ", and only version ", Manifest::kFormatVersion,
                                                   " is known here"));
  }
  Manifest manifest;
  manifest.id = reader.PlainName("id");
  manifest.position.sequence = reader.Number("sequence", kAnyNumber);
  manifest.position.digest =
      reader.Bytes("ledger_digest", kLedgerDigestBytes, /*may_be_empty=*/true);
  manifest.taken_at = reader.Time("taken_at");
  manifest.last_update = reader.Text("last_update");
  ReadFamilies(&reader, &manifest);
  manifest.object = reader.PlainName("object");
  const absl::StatusOr<Compression> compression = ParseCompression(reader.Text("compression"));
  if (!compression.ok()) reader.Fail("compression", "is not zstd, gzip or none");
  manifest.compression = compression.value_or(Compression::kNone);
  manifest.object_bytes = reader.Number("object_bytes", kAnyNumber);
  manifest.object_sha256 = reader.Bytes("object_sha256", kSha256Bytes);
  manifest.file_bytes = reader.Number("file_bytes", kAnyNumber);
  ReadChunks(&reader, &manifest, &status);
  ReadTables(&reader, &manifest, &status);
  manifest.instance = reader.Text("instance");
  if (!status.ok()) return status;
  return manifest;
}

}  // namespace ctlstore::snapshot
