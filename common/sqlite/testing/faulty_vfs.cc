#include "common/sqlite/testing/faulty_vfs.h"

#include <cstdlib>
#include <new>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"

namespace ctlstore::sqlite {
namespace {

bool CanHave(FaultyVfs::Fault fault, VfsCall call, bool grows) {
  switch (fault) {
    case FaultyVfs::Fault::kIoError:
      return true;
    case FaultyVfs::Fault::kShortWrite:
      return call == VfsCall::kWrite;
    case FaultyVfs::Fault::kFull:
      return call == VfsCall::kWrite || (call == VfsCall::kShmMap && grows);
    case FaultyVfs::Fault::kFailedSync:
      return call == VfsCall::kSync;
  }
  return false;
}

int ErrorOf(VfsCall call) {
  switch (call) {
    case VfsCall::kOpen:
      return SQLITE_CANTOPEN;
    case VfsCall::kDelete:
      return SQLITE_IOERR_DELETE;
    case VfsCall::kAccess:
      return SQLITE_IOERR_ACCESS;
    case VfsCall::kRead:
      return SQLITE_IOERR_READ;
    case VfsCall::kWrite:
      return SQLITE_IOERR_WRITE;
    case VfsCall::kTruncate:
      return SQLITE_IOERR_TRUNCATE;
    case VfsCall::kSync:
      return SQLITE_IOERR_FSYNC;
    case VfsCall::kFileSize:
      return SQLITE_IOERR_FSTAT;
    case VfsCall::kShmMap:
      return SQLITE_IOERR_SHMMAP;
  }
  return SQLITE_IOERR;
}

}  // namespace

// An open file. The file of the VFS beneath lies behind it in memory.
struct FaultyVfs::File {
  sqlite3_file head;
  FaultyVfs* vfs;
  bool looked_after;

  static File* Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
  sqlite3_file* base() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  const sqlite3_io_methods& methods() { return *base()->pMethods; }
};

// What SQLite calls.
struct FaultyVfs::Methods {
  static FaultyVfs* Of(sqlite3_vfs* vfs) { return static_cast<FaultyVfs*>(vfs->pAppData); }

  // Whether the call has to fail, with the error in `*error`.
  static bool Fails(sqlite3_file* file, VfsCall call, int* error) {
    File* const self = File::Of(file);
    Fault fault;
    if (!self->looked_after || !self->vfs->Fails(call, /*grows=*/false, &fault)) return false;
    *error = ErrorOf(call);
    return true;
  }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags,
                  int* out_flags) {
    FaultyVfs* const self = Of(vfs);
    File* const opened = new (file) File();
    opened->vfs = self;
    opened->looked_after = self->LooksAfter(name == nullptr ? "" : name);
    Fault fault;
    if (opened->looked_after && self->Fails(VfsCall::kOpen, /*grows=*/false, &fault)) {
      return ErrorOf(VfsCall::kOpen);
    }
    const int code = self->base_->xOpen(self->base_, name, opened->base(), flags, out_flags);
    if (opened->base()->pMethods != nullptr) opened->head.pMethods = &kIoMethods;
    return code;
  }

  static int Delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
    FaultyVfs* const self = Of(vfs);
    Fault fault;
    if (self->LooksAfter(name) && self->Fails(VfsCall::kDelete, /*grows=*/false, &fault)) {
      return ErrorOf(VfsCall::kDelete);
    }
    return self->base_->xDelete(self->base_, name, sync_folder);
  }

  static int Access(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
    FaultyVfs* const self = Of(vfs);
    Fault fault;
    if (self->LooksAfter(name) && self->Fails(VfsCall::kAccess, /*grows=*/false, &fault)) {
      return ErrorOf(VfsCall::kAccess);
    }
    return self->base_->xAccess(self->base_, name, flags, result);
  }

  static int Close(sqlite3_file* file) {
    return File::Of(file)->methods().xClose(File::Of(file)->base());
  }

  static int Read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
    int error;
    if (Fails(file, VfsCall::kRead, &error)) return error;
    return File::Of(file)->methods().xRead(File::Of(file)->base(), data, size, offset);
  }

  static int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
    File* const self = File::Of(file);
    Fault fault;
    if (!self->looked_after || !self->vfs->Fails(VfsCall::kWrite, /*grows=*/false, &fault)) {
      return self->methods().xWrite(self->base(), data, size, offset);
    }
    if (fault == Fault::kFull) return SQLITE_FULL;
    if (fault == Fault::kShortWrite) self->methods().xWrite(self->base(), data, size / 2, offset);
    return ErrorOf(VfsCall::kWrite);
  }

  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    int error;
    if (Fails(file, VfsCall::kTruncate, &error)) return error;
    return File::Of(file)->methods().xTruncate(File::Of(file)->base(), size);
  }

  static int Sync(sqlite3_file* file, int flags) {
    int error;
    if (Fails(file, VfsCall::kSync, &error)) return error;
    return File::Of(file)->methods().xSync(File::Of(file)->base(), flags);
  }

  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    int error;
    if (Fails(file, VfsCall::kFileSize, &error)) return error;
    return File::Of(file)->methods().xFileSize(File::Of(file)->base(), size);
  }

  static int Lock(sqlite3_file* file, int lock) {
    return File::Of(file)->methods().xLock(File::Of(file)->base(), lock);
  }

  static int Unlock(sqlite3_file* file, int lock) {
    return File::Of(file)->methods().xUnlock(File::Of(file)->base(), lock);
  }

  static int CheckReservedLock(sqlite3_file* file, int* result) {
    return File::Of(file)->methods().xCheckReservedLock(File::Of(file)->base(), result);
  }

  static int FileControl(sqlite3_file* file, int operation, void* argument) {
    return File::Of(file)->methods().xFileControl(File::Of(file)->base(), operation, argument);
  }

  static int SectorSize(sqlite3_file* file) {
    return File::Of(file)->methods().xSectorSize(File::Of(file)->base());
  }

  static int DeviceCharacteristics(sqlite3_file* file) {
    return File::Of(file)->methods().xDeviceCharacteristics(File::Of(file)->base());
  }

  static int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** memory) {
    File* const self = File::Of(file);
    Fault fault;
    if (self->looked_after && self->vfs->Fails(VfsCall::kShmMap, extend != 0, &fault)) {
      *memory = nullptr;
      return fault == Fault::kFull ? SQLITE_IOERR_SHMSIZE : ErrorOf(VfsCall::kShmMap);
    }
    return self->methods().xShmMap(self->base(), region, size, extend, memory);
  }

  static int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
    return File::Of(file)->methods().xShmLock(File::Of(file)->base(), offset, count, flags);
  }

  static void ShmBarrier(sqlite3_file* file) {
    File::Of(file)->methods().xShmBarrier(File::Of(file)->base());
  }

  static int ShmUnmap(sqlite3_file* file, int remove) {
    return File::Of(file)->methods().xShmUnmap(File::Of(file)->base(), remove);
  }

  // Nothing is read past xRead.
  static int Fetch(sqlite3_file*, sqlite3_int64, int, void** memory) {
    *memory = nullptr;
    return SQLITE_OK;
  }

  static int Unfetch(sqlite3_file*, sqlite3_int64, void*) { return SQLITE_OK; }

  static const sqlite3_io_methods kIoMethods;
};

const sqlite3_io_methods FaultyVfs::Methods::kIoMethods = {
    /*iVersion=*/3,
    Close,
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    Lock,
    Unlock,
    CheckReservedLock,
    FileControl,
    SectorSize,
    DeviceCharacteristics,
    ShmMap,
    ShmLock,
    ShmBarrier,
    ShmUnmap,
    Fetch,
    Unfetch};

FaultyVfs::FaultyVfs(std::string name, std::vector<std::string> endings)
    : name_(std::move(name)), endings_(std::move(endings)), base_(sqlite3_vfs_find(nullptr)) {
  if (base_ == nullptr || sqlite3_vfs_find(name_.c_str()) != nullptr) std::abort();
  // The other methods of SQLite's own VFS for Unix do not look at which VFS they are called for.
  vfs_ = *base_;
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + base_->szOsFile;
  vfs_.xOpen = Methods::Open;
  vfs_.xDelete = Methods::Delete;
  vfs_.xAccess = Methods::Access;
  if (sqlite3_vfs_register(&vfs_, /*makeDflt=*/0) != SQLITE_OK) std::abort();
}

FaultyVfs::~FaultyVfs() { sqlite3_vfs_unregister(&vfs_); }

void FaultyVfs::MakeDefault() {
  if (sqlite3_vfs_register(&vfs_, /*makeDflt=*/1) != SQLITE_OK) std::abort();
}

void FaultyVfs::Arm(Fault fault, int64_t countdown, bool once) {
  std::lock_guard<std::mutex> lock(mutex_);
  armed_ = true;
  fault_ = fault;
  countdown_ = countdown;
  once_ = once;
  failed_ = 0;
}

int64_t FaultyVfs::Disarm() {
  std::lock_guard<std::mutex> lock(mutex_);
  armed_ = false;
  return failed_;
}

int64_t FaultyVfs::calls() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::accumulate(calls_.begin(), calls_.end(), int64_t{0});
}

int64_t FaultyVfs::calls(VfsCall call) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return calls_[static_cast<size_t>(call)];
}

bool FaultyVfs::Fails(VfsCall call, bool grows, Fault* fault) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++calls_[static_cast<size_t>(call)];
  if (!armed_ || !CanHave(fault_, call, grows)) return false;
  if (countdown_ > 0) --countdown_;
  if (countdown_ > 0 || (once_ && failed_ > 0)) return false;
  ++failed_;
  *fault = fault_;
  return true;
}

bool FaultyVfs::LooksAfter(absl::string_view path) const {
  if (endings_.empty()) return true;
  for (const std::string& ending : endings_) {
    if (absl::EndsWith(path, ending)) return true;
  }
  return false;
}

}  // namespace ctlstore::sqlite
