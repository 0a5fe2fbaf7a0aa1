// Objects as files in a folder.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_FILE_STORE_H_
#define CTLSTORE_COMMON_OBJECT_STORE_FILE_STORE_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/object_store/object_store.h"
#include "common/object_store/store_url.h"

namespace ctlstore::object_store {

// An object is the file of its name, so other programs may write and read the folder too. Thread-
// safe, and so are several processes in one folder.
//
// What is put is written to a hidden file beside its place (".uploading-..."), brought to the disk
// and renamed. Folders are made where they are not there. Files get the mode 0644 less the umask.
//
// Metadata is kept in the file's extended attribute `user.ctlstore.metadata`, with the file's size
// and time of change, so that it is not believed of a file that others have written over. A file
// system without extended attributes keeps none, and then Stat() returns none.
//
// A version is the file's identity, size and time of change. Subfolders that may not be read are
// gone over by List(), and so are links to folders. RESOURCE_EXHAUSTED for a full disk, a quota and
// a limit of a file's size.
class FileStore : public ObjectStore {
 public:
  // `url` is one of a file. The folder need not be there.
  explicit FileStore(const StoreUrl& url);

  std::string name() const override { return name_; }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override;
  absl::Status Read(absl::string_view key, const ReadOptions& options, const Sink& sink) override;
  absl::Status PutFile(absl::string_view key, const std::string& path,
                       const PutOptions& options) override;
  absl::Status Put(absl::string_view key, absl::string_view contents,
                   const PutOptions& options) override;
  absl::Status Delete(absl::string_view key) override;
  absl::Status RemoveUnfinished(absl::Time before) override;
  void Cancel() override { cancelled_ = true; }

 private:
  class Upload;

  // The file that an object is. INVALID_ARGUMENT for a key that can be none.
  absl::StatusOr<std::string> PathOf(absl::string_view key) const;
  absl::Status CheckNotCancelled() const;
  // `action` is what could not be done, for the message.
  absl::Status Error(int error, absl::string_view action, absl::string_view key) const;

  const std::string name_;
  // With a '/' at its end.
  const std::string folder_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_FILE_STORE_H_
