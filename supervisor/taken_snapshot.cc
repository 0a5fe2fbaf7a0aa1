#include "supervisor/taken_snapshot.h"

#include <glog/logging.h>
#include <unistd.h>

#include <utility>

#include "common/snapshot/folder.h"

namespace ctlstore::supervisor {

TakenSnapshot::TakenSnapshot(snapshot::Manifest manifest) : manifest_(std::move(manifest)) {}

TakenSnapshot::~TakenSnapshot() {
  for (const auto& [compression, object] : objects_) {
    if (unlink(object.path.c_str()) != 0) {
      PLOG(WARNING) << "event=temporary_file_not_removed path=" << object.path;
    }
  }
}

void TakenSnapshot::Add(snapshot::Compression compression, Object object) {
  objects_.insert_or_assign(compression, std::move(object));
}

const TakenSnapshot::Object& TakenSnapshot::object(snapshot::Compression compression) const {
  return objects_.at(compression);
}

snapshot::Manifest TakenSnapshot::ManifestFor(snapshot::Compression compression) const {
  const snapshot::EncodedObject& encoded = object(compression).encoded;
  snapshot::Manifest manifest = manifest_;
  manifest.object = snapshot::SnapshotObjectName(manifest_.id, compression);
  manifest.compression = compression;
  manifest.object_bytes = encoded.object_bytes;
  manifest.object_sha256 = encoded.object_sha256;
  manifest.file_bytes = encoded.file_bytes;
  manifest.chunks = encoded.chunks;
  return manifest;
}

}  // namespace ctlstore::supervisor
