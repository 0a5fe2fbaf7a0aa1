#include "common/snapshot/folder.h"

#include <glog/logging.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/schema/errors.h"

namespace ctlstore::snapshot {
namespace {

using Json = nlohmann::ordered_json;
using object_store::ObjectInfo;
using object_store::ObjectStore;

constexpr char kManifestEnding[] = ".json";
constexpr char kIndexKey[] = "index.json";
constexpr int kIndexFormatVersion = 1;
// Some 300,000 ids.
constexpr int64_t kMaxIndexBytes = int64_t{16} << 20;
// How often the index is written again because others have published or removed meanwhile; who came
// last writes it again anyway.
constexpr int kMaxIndexWrites = 10;

constexpr size_t kSequenceDigits = 20;
constexpr size_t kRandomDigits = 8;
constexpr char kIdTimeFormat[] = "%E4Y%m%dT%H%M%SZ";
constexpr size_t kIdTimeBytes = 16;

// Younger objects without a manifest may be those of a snapshot that is being published.
constexpr absl::Duration kOrphanAge = absl::Hours(24);

absl::Status Damaged(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, message);
}

bool IsDigits(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isdigit(c); });
}

std::string ManifestKey(absl::string_view id) { return absl::StrCat(id, kManifestEnding); }

// The id of the snapshot whose manifest or object has the key; empty where it has neither.
absl::string_view IdOfManifest(absl::string_view key) {
  return absl::ConsumeSuffix(&key, kManifestEnding) && ParseSnapshotId(key).has_value()
             ? key
             : absl::string_view();
}
absl::string_view IdOfObject(absl::string_view key) {
  const absl::string_view id = key.substr(0, key.find('.'));
  if (!ParseSnapshotId(id).has_value()) return {};
  for (const Compression compression :
       {Compression::kNone, Compression::kZstd, Compression::kGzip}) {
    if (key == SnapshotObjectName(id, compression)) return id;
  }
  return {};
}

std::vector<std::string> IdsAmong(const std::vector<ObjectInfo>& objects) {
  std::vector<std::string> ids;
  for (const ObjectInfo& object : objects) {
    const absl::string_view id = IdOfManifest(object.key);
    if (!id.empty()) ids.emplace_back(id);
  }
  // Sequence and time have the same length in all of them.
  std::sort(ids.begin(), ids.end(), std::greater<>());
  return ids;
}

// Checks an object, which comes in pieces, against its manifest.
class ObjectCheck {
 public:
  explicit ObjectCheck(const Manifest& manifest) : manifest_(manifest) { digest_.emplace(); }

  absl::Status Add(absl::string_view piece) {
    whole_.Add(piece);
    while (!piece.empty()) {
      if (chunk_ == manifest_.chunks.size()) {
        return Damaged(absl::StrCat("it has more than the ", manifest_.object_bytes,
                                    " bytes that its manifest says"));
      }
      const Chunk& chunk = manifest_.chunks[chunk_];
      const absl::string_view part =
          piece.substr(0, std::min<uint64_t>(piece.size(), chunk.object_bytes - in_chunk_));
      digest_->Add(part);
      in_chunk_ += part.size();
      bytes_ += part.size();
      piece.remove_prefix(part.size());
      if (in_chunk_ < chunk.object_bytes) continue;
      if (digest_->Finish() != chunk.sha256) {
        return Damaged(absl::StrCat("chunk ", chunk_ + 1, " of ", manifest_.chunks.size(),
                                    ", bytes ", bytes_ - in_chunk_, " to ", bytes_,
                                    ", has another SHA-256 than its manifest says"));
      }
      digest_.emplace();
      ++chunk_;
      in_chunk_ = 0;
    }
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (bytes_ != manifest_.object_bytes || chunk_ != manifest_.chunks.size()) {
      return Damaged(absl::StrCat("it has ", bytes_, " bytes, and its manifest says ",
                                  manifest_.object_bytes));
    }
    if (whole_.Finish() != manifest_.object_sha256) {
      return Damaged("it has another SHA-256 than its manifest says");
    }
    return absl::OkStatus();
  }

 private:
  const Manifest& manifest_;
  Digest whole_;
  // Of the chunk that is being read.
  absl::optional<Digest> digest_;
  size_t chunk_ = 0;
  int64_t in_chunk_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace

std::string NewSnapshotId(int64_t sequence, absl::Time taken_at) {
  static thread_local absl::BitGen random;
  return absl::StrFormat("%020d-%s-%08x", sequence,
                         absl::FormatTime(kIdTimeFormat, taken_at, absl::UTCTimeZone()),
                         absl::Uniform<uint32_t>(random));
}

absl::optional<SnapshotId> ParseSnapshotId(absl::string_view id) {
  if (id.size() != kSequenceDigits + kIdTimeBytes + kRandomDigits + 2 ||
      id[kSequenceDigits] != '-' || id[kSequenceDigits + kIdTimeBytes + 1] != '-') {
    return absl::nullopt;
  }
  const absl::string_view sequence = id.substr(0, kSequenceDigits);
  const absl::string_view time = id.substr(kSequenceDigits + 1, kIdTimeBytes);
  const absl::string_view random = id.substr(id.size() - kRandomDigits);
  SnapshotId parsed;
  std::string error;
  if (!IsDigits(sequence) || !absl::SimpleAtoi(sequence, &parsed.sequence) ||
      !absl::ParseTime(kIdTimeFormat, time, &parsed.taken_at, &error) ||
      absl::FormatTime(kIdTimeFormat, parsed.taken_at, absl::UTCTimeZone()) != time ||
      !std::all_of(random.begin(), random.end(), [](unsigned char c) {
        return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
      })) {
    return absl::nullopt;
  }
  return parsed;
}

std::string SnapshotObjectName(absl::string_view id, Compression compression) {
  switch (compression) {
    case Compression::kNone:
      break;
    case Compression::kZstd:
      return absl::StrCat(id, ".db.zst");
    case Compression::kGzip:
      return absl::StrCat(id, ".db.gz");
  }
  return absl::StrCat(id, ".db");
}

Folder::Folder(ObjectStore* store) : store_(store) {}

absl::StatusOr<std::vector<std::string>> Folder::List() {
  const absl::StatusOr<std::vector<ObjectInfo>> objects = store_->List("");
  if (absl::IsUnimplemented(objects.status())) return ReadIndex();
  if (!objects.ok()) return objects.status();
  return IdsAmong(*objects);
}

absl::StatusOr<Manifest> Folder::ReadManifest(absl::string_view id) {
  if (!ParseSnapshotId(id).has_value()) {
    return absl::NotFoundError(
        absl::StrCat(store_->name(), ": there is no such snapshot: that is not the id of any"));
  }
  const std::string key = ManifestKey(id);
  const absl::StatusOr<std::string> text = ReadText(key, Manifest::kMaxJsonBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<Manifest> manifest = DecodeManifest(*text);
  if (!manifest.ok()) {
    return Damaged(absl::StrCat(store_->name(), ": ", key, ": ", manifest.status().message()));
  }
  if (manifest->id != id || IdOfObject(manifest->object) != id ||
      manifest->position.sequence != ParseSnapshotId(id)->sequence) {
    return Damaged(absl::StrCat(store_->name(), ": ", key, " is the manifest of another snapshot"));
  }
  return manifest;
}

absl::Status Folder::Publish(const Manifest& manifest, const std::string& object_path) {
  const absl::optional<SnapshotId> id = ParseSnapshotId(manifest.id);
  if (!id.has_value() || id->sequence != manifest.position.sequence ||
      manifest.object != SnapshotObjectName(manifest.id, manifest.compression)) {
    return absl::InvalidArgumentError(
        "a snapshot's manifest must have an id and an object's name that fit it");
  }
  struct stat file;
  if (stat(object_path.c_str(), &file) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot look at the snapshot's object, ", object_path, ": ", strerror(errno)));
  }
  if (file.st_size != manifest.object_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the snapshot's object, ", object_path, ", has ",
                                                   file.st_size, " bytes, and its manifest says ",
                                                   manifest.object_bytes));
  }

  absl::Status status = store_->PutFile(manifest.object, object_path, {});
  if (!status.ok()) return status;
  ObjectStore::PutOptions json;
  json.content_type = "application/json";
  status = store_->Put(ManifestKey(manifest.id), EncodeManifest(manifest), json);
  if (absl::IsResourceExhausted(status) || absl::IsPermissionDenied(status)) {
    // The manifest is surely not there. Otherwise it may be, and the object has to stay.
    store_->Delete(manifest.object).IgnoreError();
  }
  if (!status.ok()) return status;
  return WriteIndex();
}

absl::StatusOr<std::vector<std::string>> Folder::ApplyRetention(const RetentionPolicy& policy,
                                                                absl::Time now) {
  const absl::StatusOr<std::vector<ObjectInfo>> objects = store_->List("");
  if (!objects.ok()) return objects.status();
  const std::vector<std::string> ids = IdsAmong(*objects);
  const absl::Time oldest = now - policy.age;
  std::vector<std::string> removed;
  for (size_t i = 1; i < ids.size(); ++i) {
    if (static_cast<int64_t>(i) >= policy.count || ParseSnapshotId(ids[i])->taken_at < oldest) {
      removed.push_back(ids[i]);
    }
  }
  if (!removed.empty()) {
    const absl::StatusOr<std::string> kept = NewestWithAllFamilies(ids, *objects);
    if (!kept.ok()) return kept.status();
    removed.erase(std::remove(removed.begin(), removed.end(), *kept), removed.end());
  }

  for (const std::string& id : removed) {
    absl::Status status = store_->Delete(ManifestKey(id));
    if (!status.ok()) return status;
  }
  if (!removed.empty()) {
    absl::Status status = WriteIndex();
    if (!status.ok()) return status;
  }
  const std::set<absl::string_view> gone(removed.begin(), removed.end());
  const std::set<absl::string_view> there(ids.begin(), ids.end());
  for (const ObjectInfo& object : *objects) {
    const absl::string_view id = IdOfObject(object.key);
    if (id.empty()) continue;
    const bool orphan = there.count(id) == 0 && object.modified <= now - kOrphanAge;
    if (!orphan && gone.count(id) == 0) continue;
    absl::Status status = store_->Delete(object.key);
    if (!status.ok()) return status;
    if (orphan)
      LOG(INFO) << "event=snapshot_orphan_removed store=" << store_->name()
                << " key=" << object.key;
  }
  const absl::Status status = store_->RemoveUnfinished(now - kOrphanAge);
  LOG_IF(WARNING, !status.ok() && !absl::IsUnimplemented(status))
      << "event=unfinished_uploads_not_removed store=" << store_->name() << " error=\"" << status
      << "\"";
  return removed;
}

absl::Status Folder::Verify(const Manifest& manifest) {
  const absl::StatusOr<ObjectInfo> object = store_->Stat(manifest.object);
  if (!object.ok()) return object.status();
  absl::Status status;
  ObjectCheck check(manifest);
  if (object->size != manifest.object_bytes) {
    status = Damaged(absl::StrCat("it has ", object->size, " bytes, and its manifest says ",
                                  manifest.object_bytes));
  } else {
    ObjectStore::ReadOptions options;
    options.version = object->version;
    status = store_->Read(manifest.object, options,
                          [&](absl::string_view piece) { return check.Add(piece); });
    if (status.ok()) status = check.Finish();
  }
  if (!absl::IsDataLoss(status)) return status;
  return Damaged(
      absl::StrCat(store_->name(), ": ", manifest.object, " is damaged: ", status.message()));
}

absl::StatusOr<std::vector<std::string>> Folder::ReadIndex() {
  const absl::StatusOr<std::string> text = ReadText(kIndexKey, kMaxIndexBytes);
  if (absl::IsNotFound(text.status())) return std::vector<std::string>();
  if (!text.ok()) return text.status();
  const Json index = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto damaged = [&](absl::string_view what) {
    return Damaged(absl::StrCat(store_->name(), ": ", kIndexKey, " ", what));
  };
  if (!index.is_object()) return damaged("is no JSON object");
  const auto format = index.find("format");
  if (format == index.end() || *format != kIndexFormatVersion) {
    return damaged(absl::StrCat("is not of format version ", kIndexFormatVersion));
  }
  const auto snapshots = index.find("snapshots");
  if (snapshots == index.end() || !snapshots->is_array()) {
    return damaged("has no array \"snapshots\"");
  }
  std::set<std::string, std::greater<>> ids;
  for (const Json& id : *snapshots) {
    if (id.is_string() && ParseSnapshotId(id.get_ref<const std::string&>()).has_value()) {
      ids.insert(id.get<std::string>());
    }
  }
  return std::vector<std::string>(ids.begin(), ids.end());
}

absl::Status Folder::WriteIndex() {
  // Another one may publish or remove between what is read here and the writing, and write its
  // index before this one. So whoever has written looks again.
  absl::optional<std::vector<std::string>> written;
  for (int i = 0; i < kMaxIndexWrites; ++i) {
    absl::StatusOr<std::vector<ObjectInfo>> objects = store_->List("");
    if (!objects.ok()) return objects.status();
    std::vector<std::string> ids = IdsAmong(*objects);
    if (written.has_value() && *written == ids) return absl::OkStatus();
    ObjectStore::PutOptions options;
    options.content_type = "application/json";
    const Json index = {{"format", kIndexFormatVersion}, {"snapshots", ids}};
    absl::Status status = store_->Put(kIndexKey, index.dump(1) + "\n", options);
    if (!status.ok()) return status;
    written = std::move(ids);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Folder::ReadText(absl::string_view key, int64_t max_bytes) {
  std::string text;
  absl::Status status = store_->Read(key, {}, [&](absl::string_view piece) {
    if (static_cast<int64_t>(text.size() + piece.size()) > max_bytes) {
      return Damaged(absl::StrCat(store_->name(), ": ", key, " has more than ", max_bytes,
                                  " bytes, which nothing of ours has"));
    }
    text.append(piece.data(), piece.size());
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return text;
}

absl::StatusOr<std::string> Folder::NewestWithAllFamilies(const std::vector<std::string>& ids,
                                                          const std::vector<ObjectInfo>& objects) {
  for (const std::string& id : ids) {
    const absl::StatusOr<Manifest> manifest = ReadManifest(id);
    if (absl::IsDataLoss(manifest.status()) || absl::IsNotFound(manifest.status())) continue;
    if (!manifest.ok()) return manifest.status();
    const bool whole = std::any_of(objects.begin(), objects.end(), [&](const ObjectInfo& object) {
      return object.key == manifest->object && object.size == manifest->object_bytes;
    });
    if (manifest->families.empty() && whole) return id;
  }
  return std::string();
}

}  // namespace ctlstore::snapshot
