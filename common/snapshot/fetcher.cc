#include "common/snapshot/fetcher.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"
#include "common/snapshot/chunk_fetch.h"
#include "common/snapshot/disk.h"
#include "common/snapshot/fetch_watch.h"
#include "common/snapshot/file_check.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/partial_file.h"
#include "common/snapshot/progress_meter.h"
#include "common/snapshot/snapshot_candidates.h"
#include "common/snapshot/snapshot_places.h"
#include "common/snapshot/stream_fetch.h"

namespace ctlstore::snapshot {
namespace {

using object_store::ObjectInfo;

constexpr char kFileName[] = "ldb.db";
// How long a location is waited for where another one has snapshots.
constexpr absl::Duration kListPatience = absl::Seconds(15);
// How often a single object is begun anew because there is another one by then.
constexpr int kMaxObjectChanges = 5;
// How many reasons an error tells.
constexpr size_t kMaxReasons = 8;

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss, reason::kSnapshotDamaged, what);
}

absl::Status NotFound(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason::kSnapshotNotFound, what);
}

std::string Named(const std::vector<std::string>& families) {
  return families.empty() ? "all families" : absl::StrJoin(families, ",");
}

// One call of FetchNewest() or FetchById().
class Fetch {
 public:
  Fetch(const std::string& folder, const FetchOptions& options)
      : folder_(folder),
        options_(options),
        families_(options.families),
        meter_(options.clock),
        watch_(&meter_, options.on_progress, options.cancelled),
        cancelled_([this] { return watch_.cancelled(); }) {
    std::sort(families_.begin(), families_.end());
  }
  ~Fetch() {
    for (const std::unique_ptr<Place>& place : places_) {
      if (place->store != nullptr) watch_.Remove(place->store.get());
    }
  }

  absl::StatusOr<FetchedSnapshot> Newest(absl::Span<const Location> locations) {
    absl::Status status = Begin(locations);
    if (!status.ok()) return status;
    ListPlaces(places_, kListPatience);
    if (watch_.cancelled()) return Cancelled();
    std::vector<FolderListing> listings;
    size_t folders = 0;
    for (const std::unique_ptr<Place>& place : places_) {
      if (!place->status.ok()) PassOver(*place, "", place->status);
      if (place->folder != nullptr) ++folders;
      listings.push_back({place->url, place->ids});
    }
    size_t found = 0;
    const std::vector<Candidate> candidates =
        OrderCandidates(listings, options_.above_sequence, options_.excluded, &found);
    if (candidates.size() < found) {
      reasons_.push_back(absl::StrCat(found - candidates.size(), " of ", found,
                                      " snapshots are not after sequence ", options_.above_sequence,
                                      ", or are excluded"));
    } else if (found == 0 && folders > 0) {
      reasons_.push_back(absl::StrCat("there are none in ", folders, " folders"));
    }
    for (const Candidate& candidate : candidates) {
      for (size_t place : candidate.places) {
        absl::StatusOr<FetchedSnapshot> fetched =
            FromFolder(*places_[place], candidate.id, /*any=*/false);
        if (fetched.ok()) return fetched;
        if (IsFinal(fetched.status())) return Final(fetched.status());
        PassOver(*places_[place], candidate.id, fetched.status());
        // What does not fit does not fit from another place either.
        if (HasReason(fetched.status(), reason::kSnapshotNotFound)) break;
      }
    }
    for (const std::unique_ptr<Place>& place : places_) {
      if (place->location.form != Location::Form::kSingleObject || !place->status.ok()) continue;
      absl::StatusOr<FetchedSnapshot> fetched = FromObject(*place);
      if (fetched.ok()) return fetched;
      if (IsFinal(fetched.status())) return Final(fetched.status());
      PassOver(*place, place->location.key, fetched.status());
    }
    return Nothing();
  }

  absl::StatusOr<FetchedSnapshot> ById(const Location& location, absl::string_view id) {
    if (location.form != Location::Form::kFolder) {
      return absl::InvalidArgumentError(
          absl::StrCat(location.ToString(), " is one object and no folder with snapshots"));
    }
    if (!ParseSnapshotId(id).has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", id, "\" is no snapshot's id"));
    }
    absl::Status status = Begin({&location, 1});
    if (!status.ok()) return status;
    const Place& place = *places_[0];
    absl::StatusOr<FetchedSnapshot> fetched =
        place.status.ok() ? FromFolder(place, std::string(id), /*any=*/true) : place.status;
    if (fetched.ok()) return fetched;
    if (IsFinal(fetched.status())) return Final(fetched.status());
    PassOver(place, id, fetched.status());
    return Nothing();
  }

 private:
  absl::Status Begin(absl::Span<const Location> locations) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error) return DiskError(error.value(), "make the folder", folder_);
    absl::StatusOr<OwnedFd> lock = OpenFile(folder_, O_RDONLY | O_DIRECTORY);
    if (!lock.ok()) return lock.status();
    if (flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::UnavailableError(
          absl::StrCat("another one fetches a snapshot into ", folder_, " already"));
    }
    lock_ = *std::move(lock);
    // What was not taken away is of no use any more, but takes room.
    absl::Status status = RemoveFile(absl::StrCat(folder_, "/", kFileName));
    if (!status.ok()) return status;
    watch_.Report();
    const StoreOpener open = [this](const object_store::StoreUrl& url) {
      return options_.open_store != nullptr ? options_.open_store(url)
                                            : object_store::OpenStore(url, options_.store);
    };
    places_ = OpenPlaces(locations, open, &watch_);
    return absl::OkStatus();
  }

  static absl::Status Cancelled() { return absl::CancelledError("the fetch was cancelled"); }

  // Whether it makes no sense to try another one.
  bool IsFinal(const absl::Status& status) const {
    return watch_.cancelled() || absl::IsResourceExhausted(status);
  }

  absl::Status Final(const absl::Status& status) const {
    return watch_.cancelled() ? Cancelled() : status;
  }

  void PassOver(const Place& place, absl::string_view id, const absl::Status& status) {
    if (absl::IsDataLoss(status)) {
      damaged_ = true;
    } else if (!absl::IsNotFound(status)) {
      unavailable_ = true;
    }
    reasons_.push_back(absl::StrCat(place.url, id.empty() ? "" : " ", id, ": ", status.message()));
    LOG(WARNING) << "event=snapshot_passed_over url=" << place.url << " id=" << id << " error=\""
                 << status << "\"";
    meter_.Looking();
    watch_.Report();
  }

  absl::Status Nothing() {
    if (watch_.cancelled()) return Cancelled();
    std::string why = places_.empty() ? "no places are named" : "";
    for (size_t i = 0; i < std::min(reasons_.size(), kMaxReasons); ++i) {
      absl::StrAppend(&why, i == 0 ? "" : "; ", reasons_[i]);
    }
    if (reasons_.size() > kMaxReasons) {
      absl::StrAppend(&why, "; and ", reasons_.size() - kMaxReasons, " more");
    }
    if (unavailable_) {
      return absl::UnavailableError(absl::StrCat("no snapshot could be fetched: ", why));
    }
    if (damaged_) return Damaged(absl::StrCat("there is no snapshot that is not damaged: ", why));
    return NotFound(absl::StrCat("there is no snapshot that fits: ", why));
  }

  // `any`: whatever its families are.
  absl::StatusOr<FetchedSnapshot> FromFolder(const Place& place, const std::string& id, bool any) {
    absl::StatusOr<Manifest> manifest = place.folder->ReadManifest(id);
    if (!manifest.ok()) return manifest.status();
    if (manifest->id != id || manifest->position.sequence != ParseSnapshotId(id)->sequence ||
        manifest->file_bytes <= 0) {
      return Damaged("the manifest is not one of this snapshot");
    }
    if (!any && !HasFamilies(manifest->families, families_)) {
      return NotFound(
          absl::StrCat("it has ", Named(manifest->families), " and not ", Named(families_)));
    }
    if (!any && options_.accept) {
      const absl::Status accepted = options_.accept(manifest->position);
      if (!accepted.ok()) return NotFound(accepted.message());
    }
    if (damaged_files_.count(manifest->object_sha256) > 0) {
      return Damaged("it is the same as one that is damaged");
    }
    bool resumed = false;
    absl::Status status = FetchChunks(place, *manifest, &resumed);
    if (absl::IsDataLoss(status) && resumed) {
      // What was there from before may have been damaged here.
      LOG(WARNING) << "event=snapshot_fetch_begins_anew url=" << place.url << " id=" << id
                   << " error=\"" << status << "\"";
      status = FetchChunks(place, *manifest, &resumed);
    }
    if (absl::IsNotFound(status)) {
      // Manifests are removed before the objects.
      absl::StatusOr<Manifest> again = place.folder->ReadManifest(id);
      if (!again.ok()) return again.status();
      return Damaged(absl::StrCat("there is no object ", manifest->object));
    }
    if (!status.ok()) return status;
    FetchedSnapshot fetched;
    fetched.key = FolderKey(place.url, id);
    fetched.url = place.url;
    fetched.id = id;
    fetched.position = manifest->position;
    fetched.families = manifest->families;
    fetched.file_bytes = manifest->file_bytes;
    fetched.taken_at = manifest->taken_at;
    return PutInPlace(PartialFile::PathIn(folder_), std::move(fetched));
  }

  // To a file that is checked and on the disk. `*resumed`: whether a part of it was there from
  // before and is not any more.
  absl::Status FetchChunks(const Place& place, const Manifest& manifest, bool* resumed) {
    *resumed = false;
    absl::StatusOr<ObjectInfo> info = place.store->Stat(manifest.object);
    if (!info.ok()) return info.status();
    if (info->size != manifest.object_bytes) {
      return Damaged(absl::StrCat("the object ", manifest.object, " has ", info->size,
                                  " bytes where its manifest says ", manifest.object_bytes));
    }
    absl::StatusOr<std::unique_ptr<PartialFile>> file =
        PartialFile::Open(folder_, manifest.chunks, options_.min_free_bytes, options_.save_every);
    if (!file.ok()) return file.status();
    int64_t there = 0;
    for (size_t i = 0; i < manifest.chunks.size(); ++i) {
      if ((*file)->resumed()[i]) there += manifest.chunks[i].object_bytes;
    }
    BeginObject(place, manifest.id, manifest.position.sequence, manifest.object_bytes, there);
    absl::Status status = ChunkFetch(place.store.get(), &manifest, file->get(), &meter_)
                              .Run(options_.parallel_ranges, cancelled_);
    if (!status.ok()) return status;
    meter_.Checking();
    watch_.Report();
    absl::Status saved;
    std::thread saver([&file, &saved] { saved = (*file)->Finish(); });
    absl::StatusOr<FileState> state =
        CheckFile((*file)->path(), /*digest_is_right=*/true, cancelled_);
    saver.join();
    status = state.ok() ? CompareWithManifest(*state, manifest) : state.status();
    if (absl::IsDataLoss(status)) {
      *resumed = there > 0;
      if (!*resumed) damaged_files_.insert(manifest.object_sha256);
      PartialFile::Remove(folder_).IgnoreError();
    }
    return status.ok() ? saved : status;
  }

  absl::StatusOr<FetchedSnapshot> FromObject(const Place& place) {
    for (int attempt = 1;; ++attempt) {
      absl::StatusOr<FetchedSnapshot> fetched = FetchObject(place);
      if (fetched.ok() || !HasReason(fetched.status(), reason::kObjectChanged)) return fetched;
      if (attempt == kMaxObjectChanges) {
        return absl::UnavailableError(fetched.status().message());
      }
    }
  }

  absl::StatusOr<FetchedSnapshot> FetchObject(const Place& place) {
    absl::StatusOr<ObjectInfo> info = place.store->Stat(place.location.key);
    if (!info.ok()) return info.status();
    FetchedSnapshot fetched;
    fetched.key = ObjectKey(place.url,
                            !info->version.empty()
                                ? info->version
                                : absl::StrCat(info->size, "-", absl::ToUnixNanos(info->modified)));
    fetched.url = place.url;
    fetched.id = place.location.key;
    fetched.taken_at = info->modified;
    if (options_.excluded.count(fetched.key) > 0) return NotFound("it is excluded");
    // There is room for one file.
    absl::Status status = PartialFile::Remove(folder_);
    if (status.ok()) status = CheckRoom(folder_, info->size, options_.min_free_bytes);
    if (!status.ok()) return status;
    BeginObject(place, fetched.id, -1, info->size, 0);
    const std::string path = PartialFile::PathIn(folder_);
    absl::StatusOr<FetchedStream> stream =
        FetchStream(place.store.get(), *info, place.location.compression, path,
                    options_.min_free_bytes, &meter_, cancelled_);
    if (!stream.ok()) return stream.status();
    meter_.Checking();
    watch_.Report();
    absl::StatusOr<FileState> state = CheckFile(path, stream->digest_is_right, cancelled_);
    status = state.status();
    if (status.ok() && state->position.sequence <= options_.above_sequence) {
      status = NotFound(absl::StrCat("it is at sequence ", state->position.sequence,
                                     " and not after ", options_.above_sequence));
    }
    if (status.ok() && !HasFamilies(state->families, families_)) {
      status =
          NotFound(absl::StrCat("it has ", Named(state->families), " and not ", Named(families_)));
    }
    if (!status.ok()) {
      RemoveFile(path).IgnoreError();
      return status;
    }
    fetched.position = state->position;
    fetched.families = state->families;
    fetched.file_bytes = state->file_bytes;
    return PutInPlace(path, std::move(fetched));
  }

  void BeginObject(const Place& place, const std::string& id, int64_t sequence, int64_t bytes,
                   int64_t there) {
    LOG(INFO) << "event=snapshot_fetch_begins url=" << place.url << " id=" << id
              << " sequence=" << sequence << " bytes=" << bytes << " there=" << there;
    meter_.Fetching(place.url, id, sequence, bytes, there);
    watch_.Report();
    began_ = options_.clock->SteadyNow();
  }

  absl::StatusOr<FetchedSnapshot> PutInPlace(const std::string& path, FetchedSnapshot fetched) {
    const std::string to = absl::StrCat(folder_, "/", kFileName);
    if (rename(path.c_str(), to.c_str()) != 0) return DiskError(errno, "put in place", to);
    absl::Status status = PartialFile::RemoveNotes(folder_);
    if (status.ok()) status = SyncFolder(folder_);
    if (!status.ok()) return status;
    LOG(INFO) << "event=snapshot_fetched url=" << fetched.url << " id=" << fetched.id
              << " sequence=" << fetched.position.sequence << " file_bytes=" << fetched.file_bytes
              << " seconds=" << absl::ToDoubleSeconds(options_.clock->SteadyNow() - began_);
    return fetched;
  }

  const std::string folder_;
  const FetchOptions& options_;
  std::vector<std::string> families_;
  OwnedFd lock_;
  ProgressMeter meter_;
  std::vector<std::unique_ptr<Place>> places_;
  FetchWatch watch_;
  // Of what is used inside: costs nothing to ask.
  const std::function<bool()> cancelled_;
  // Of objects all of whose chunks are right.
  std::set<std::string> damaged_files_;
  bool damaged_ = false;
  bool unavailable_ = false;
  std::vector<std::string> reasons_;
  absl::Duration began_;
};

}  // namespace

absl::StatusOr<FetchedSnapshot> FetchNewest(absl::Span<const Location> locations,
                                            const std::string& folder,
                                            const FetchOptions& options) {
  return Fetch(folder, options).Newest(locations);
}

absl::StatusOr<FetchedSnapshot> FetchById(const Location& location, absl::string_view id,
                                          const std::string& folder, const FetchOptions& options) {
  return Fetch(folder, options).ById(location, id);
}

}  // namespace ctlstore::snapshot
