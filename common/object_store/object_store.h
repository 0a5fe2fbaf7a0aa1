// Where objects are kept: a folder, an S3 bucket, a web server.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_OBJECT_STORE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_OBJECT_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ctlstore::object_store {

struct ObjectInfo {
  // Relative to the store's URL, with '/' between its parts.
  std::string key;
  int64_t size = 0;
  absl::Time modified = absl::InfinitePast();
  // Changes whenever the object does (an ETag, a file's identity and time); empty where unknown.
  std::string version;
  // What Put() was given, with names in lower case. Only Stat() fills this in.
  std::map<std::string, std::string> metadata;
};

// Objects by key under one URL. Thread-safe: several calls may run at the same time.
//
// What fails in passing (a server's error, a broken or stalled connection) is tried again inside, a
// bounded number of times with growing, jittered pauses. Errors of every call:
//   UNAVAILABLE          the store does not answer, or not rightly, although it was tried again.
//   PERMISSION_DENIED    it refuses: wrong or no credentials, or no right to do this.
//   NOT_FOUND            there is no such object (or bucket, which the message says).
//   RESOURCE_EXHAUSTED   there is no room.
//   UNIMPLEMENTED        this kind of store cannot do this.
//   CANCELLED            after Cancel().
// Messages name the store and the key, never a secret.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // The URL, without secrets.
  virtual std::string name() const = 0;

  // All objects whose key begins with `prefix`, in the order of their keys. An object that is being
  // written is not there. No error where the folder is not there. UNIMPLEMENTED for web servers.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) = 0;

  virtual absl::StatusOr<ObjectInfo> Stat(absl::string_view key) = 0;

  struct ReadOptions {
    int64_t offset = 0;
    // -1: up to the end.
    int64_t length = -1;
    // Where not empty: FAILED_PRECONDITION (OBJECT_CHANGED) where the object has another version.
    std::string version;
  };
  // Takes the next piece of what is read. An error ends the reading and is returned as it is.
  using Sink = std::function<absl::Status(absl::string_view)>;
  // Reads a range of the object, in order, each byte once (what was read before a connection broke
  // is not read again). OUT_OF_RANGE where the object ends before the range does.
  virtual absl::Status Read(absl::string_view key, const ReadOptions& options,
                            const Sink& sink) = 0;

  struct PutOptions {
    std::string content_type = "application/octet-stream";
    // Names of [a-z0-9-]; values of printable ASCII.
    std::map<std::string, std::string> metadata;
  };
  // Both put an object in place as a whole, in the place of one that is there: who reads meanwhile
  // sees the old one or the new one, and after an error or a crash there is the old one or the new
  // one. The store has confirmed the bytes (by a digest or an fsync) when OK is returned.
  // Takes a part of the file into memory at a time.
  virtual absl::Status PutFile(absl::string_view key, const std::string& path,
                               const PutOptions& options) = 0;
  virtual absl::Status Put(absl::string_view key, absl::string_view contents,
                           const PutOptions& options) = 0;

  // No error where there is no such object.
  virtual absl::Status Delete(absl::string_view key) = 0;

  // Gives up what earlier processes have left half written (parts of an upload, temporary files)
  // before `before`. Best effort.
  virtual absl::Status RemoveUnfinished(absl::Time before) = 0;

  // Ends what is under way soon, and all that comes later.
  virtual void Cancel() = 0;
};

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_OBJECT_STORE_H_
