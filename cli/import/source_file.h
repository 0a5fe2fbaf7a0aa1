// The file that an import reads, as often as it needs to.

#ifndef CTLSTORE_CLI_IMPORT_SOURCE_FILE_H_
#define CTLSTORE_CLI_IMPORT_SOURCE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctlstore::cli {

// A regular file is read where it is. Standard input and everything else that can be read only once
// (a pipe, a FIFO) is first copied to a file without a name in TMPDIR, or in /tmp, so that memory
// stays bounded. Not thread-safe.
class SourceFile {
 public:
  // `path` "-" is standard input. NOT_FOUND where the file is not there; UNAVAILABLE where it
  // cannot be read or copied.
  static absl::StatusOr<std::unique_ptr<SourceFile>> Open(const std::string& path);
  ~SourceFile();
  SourceFile(const SourceFile&) = delete;
  SourceFile& operator=(const SourceFile&) = delete;

  // For messages: the path, or "standard input".
  const std::string& name() const { return name_; }

  // Goes back to the beginning.
  absl::Status Rewind();

  // Reads the next `size` bytes, fewer only at the end. UNAVAILABLE where that fails.
  absl::StatusOr<size_t> Read(char* buffer, size_t size);

  // Bytes read since the beginning, and the file's size when it was opened.
  int64_t position() const { return position_; }
  int64_t size() const { return size_; }

 private:
  SourceFile(std::string name, int fd, int64_t size)
      : name_(std::move(name)), fd_(fd), size_(size) {}

  const std::string name_;
  const int fd_;
  const int64_t size_;
  int64_t position_ = 0;
};

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_IMPORT_SOURCE_FILE_H_
