#include "common/ldb/freshness_page.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/base/config.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/ldb/file_identity.h"

namespace ctlstore::ldb {
namespace {

constexpr char kMagic[] = "CTLFRESH";
constexpr uint32_t kVersion = 1;
constexpr size_t kIdentityBytes = 16;
constexpr size_t kTableSlots = 4096;
// A table is in one of the slots that follow its hash's own, so that to look for one is bounded.
constexpr size_t kProbes = 64;
constexpr size_t kRingEntries = 65536;
// A commit that would take more of the ring than this names its tables only.
constexpr size_t kMaxKeysOfCommit = kRingEntries / 2;
// In the place of a ring entry's key: the whole table. No key has this hash.
constexpr uint64_t kWholeTable = 0;

static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8,
              "processes share the page without locks");
#ifndef ABSL_IS_LITTLE_ENDIAN
#error "the page's format is little-endian"
#endif

struct TableSlot {
  std::atomic<uint64_t> table;  // 0: free
  std::atomic<uint64_t> version;
};

struct RingEntry {
  std::atomic<uint64_t> table;
  std::atomic<uint64_t> key;
};

// The file, as docs/formats.md describes it. What is not atomic is written before the file has its
// name and never again.
struct Page {
  char magic[8];
  uint32_t version;
  uint32_t table_slots;
  uint32_t ring_entries;
  uint32_t unused;
  char identity[kIdentityBytes];
  char padding1[24];

  std::atomic<uint64_t> epoch;
  std::atomic<int64_t> applied_sequence;
  std::atomic<uint64_t> everything;
  std::atomic<uint64_t> other_tables;
  // Entries ever added to the ring, and how many will have been when those are in that are being
  // written. Entry number n is at n modulo the ring's size.
  std::atomic<uint64_t> ring_head;
  std::atomic<uint64_t> ring_reserved;
  char padding2[4096 - 112];

  TableSlot tables[kTableSlots];
  RingEntry ring[kRingEntries];
};
static_assert(offsetof(Page, epoch) == 64 && offsetof(Page, ring_reserved) == 104 &&
                  offsetof(Page, tables) == 4096 && offsetof(Page, ring) == 69632 &&
                  sizeof(Page) == 1118208,
              "the layout is part of the format");
// What every version of the format has: the magic bytes and the epoch, in these places.
constexpr size_t kCommonBytes = offsetof(Page, epoch) + sizeof(uint64_t);

// A short hash of 64-bit words; the definition is in docs/formats.md and must never change.
class WordHash {
 public:
  void Add(uint64_t word) {
    hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15u;
    hash_ ^= hash_ >> 32;
  }

  void AddValue(const ValueView& value) {
    const uint64_t kind = static_cast<uint64_t>(value.kind()) << 56;
    switch (value.kind()) {
      case ValueKind::kNull:
        Add(kind);
        break;
      case ValueKind::kInteger:
        Add(kind);
        Add(static_cast<uint64_t>(value.integer()));
        break;
      case ValueKind::kDecimal: {
        // The two zeros are equal.
        const double decimal = value.decimal() == 0 ? 0 : value.decimal();
        uint64_t bits;
        std::memcpy(&bits, &decimal, sizeof(bits));
        Add(kind);
        Add(bits);
        break;
      }
      case ValueKind::kText:
      case ValueKind::kBytes: {
        absl::string_view data = value.data();
        Add(kind | data.size());
        uint64_t word;
        for (; data.size() >= sizeof(word); data.remove_prefix(sizeof(word))) {
          std::memcpy(&word, data.data(), sizeof(word));
          Add(word);
        }
        if (!data.empty()) {
          word = 0;
          std::memcpy(&word, data.data(), data.size());
          Add(word);
        }
        break;
      }
    }
  }

  // Never 0, which has a meaning of its own in the page.
  uint64_t Finish() const {
    uint64_t hash = (hash_ ^ (hash_ >> 29)) * 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 32;
    return hash == 0 ? 1 : hash;
  }

 private:
  uint64_t hash_ = 0x243f6a8885a308d3u;
};

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", strerror(error));
  // EFBIG: the process may not write files as large.
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::UnavailableError(message);
}

absl::Status CheckIdentity(absl::string_view identity) {
  if (identity.size() == kIdentityBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a local database's identity has ", kIdentityBytes,
                                                 " bytes, not ", identity.size()));
}

// An open file and, once Map() was called, the page that it holds.
class MappedPage {
 public:
  explicit MappedPage(int fd) : fd_(fd) {}
  ~MappedPage() {
    if (page_ != nullptr) munmap(page_, mapped_);
    if (fd_ >= 0) close(fd_);
  }
  MappedPage(const MappedPage&) = delete;
  MappedPage& operator=(const MappedPage&) = delete;

  int fd() const { return fd_; }
  Page* page() const { return page_; }

  // 0, or the error's number.
  int Map(size_t size, int protection) {
    void* const memory = mmap(nullptr, size, protection, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) return errno;
    page_ = static_cast<Page*>(memory);
    mapped_ = size;
    return 0;
  }

 private:
  const int fd_;
  Page* page_ = nullptr;
  size_t mapped_ = 0;
};

bool HasFormat(const Page& page) {
  return std::memcmp(page.magic, kMagic, sizeof(page.magic)) == 0 && page.version == kVersion &&
         page.table_slots == kTableSlots && page.ring_entries == kRingEntries;
}

bool HasIdentity(const Page& page, absl::string_view identity) {
  return absl::string_view(page.identity, kIdentityBytes) == identity;
}

// Real blocks for the whole page: a store into the mapping must not be the first to learn that the
// disk is full, because it would end the process. 0, or the error's number.
int Allocate(int fd) {
  int error;
  do {
    error = posix_fallocate(fd, 0, sizeof(Page));
  } while (error == EINTR);
  return error;
}

void MakeOdd(std::atomic<uint64_t>* epoch) {
  const uint64_t value = epoch->load(std::memory_order_relaxed);
  if (value % 2 == 0) epoch->store(value + 1, std::memory_order_relaxed);
  // Nothing that is written to the database from here on is seen before the epoch is.
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void MakeEven(std::atomic<uint64_t>* epoch) {
  epoch->store(epoch->load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void CountUp(std::atomic<uint64_t>* counter) {
  counter->store(counter->load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// The page at `path` where it can be gone on with, null where it cannot: then those who have mapped
// it see an odd epoch from now on.
absl::StatusOr<std::unique_ptr<MappedPage>> TakeOver(const std::string& path,
                                                     absl::string_view identity) {
  auto mapped =
      std::make_unique<MappedPage>(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (mapped->fd() < 0) {
    if (errno == ENOENT) return nullptr;
    return FileError("open", path, errno);
  }
  struct stat file;
  if (fstat(mapped->fd(), &file) != 0) return FileError("look at", path, errno);
  if (!S_ISREG(file.st_mode) || file.st_size < static_cast<off_t>(kCommonBytes)) return nullptr;
  const bool whole = file.st_size == sizeof(Page);
  const int error = mapped->Map(whole ? sizeof(Page) : kCommonBytes, PROT_READ | PROT_WRITE);
  if (error != 0) return FileError("map", path, error);
  Page* const page = mapped->page();
  if (whole && HasFormat(*page) && HasIdentity(*page, identity)) {
    const uint64_t unfinished = page->ring_reserved.load(std::memory_order_relaxed) -
                                page->ring_head.load(std::memory_order_relaxed);
    if (unfinished <= kRingEntries) {
      // A copy of a page can have holes.
      const int no_space = Allocate(mapped->fd());
      if (no_space != 0) return FileError("extend", path, no_space);
      return mapped;
    }
  }
  if (std::memcmp(page->magic, kMagic, sizeof(page->magic)) == 0) MakeOdd(&page->epoch);
  return nullptr;
}

absl::StatusOr<std::unique_ptr<MappedPage>> MakeNew(const std::string& path,
                                                    absl::string_view identity) {
  const std::string new_path = absl::StrCat(path, ".new");
  unlink(new_path.c_str());
  auto mapped = std::make_unique<MappedPage>(
      open(new_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (mapped->fd() < 0) return FileError("create", new_path, errno);
  absl::Status status;
  int error = Allocate(mapped->fd());
  if (error != 0) {
    status = FileError("extend", new_path, error);
  } else if ((error = mapped->Map(sizeof(Page), PROT_READ | PROT_WRITE)) != 0) {
    status = FileError("map", new_path, error);
  } else {
    Page* const page = mapped->page();
    std::memcpy(page->magic, kMagic, sizeof(page->magic));
    page->version = kVersion;
    page->table_slots = kTableSlots;
    page->ring_entries = kRingEntries;
    std::memcpy(page->identity, identity.data(), kIdentityBytes);
    page->epoch.store(1, std::memory_order_release);
    if (rename(new_path.c_str(), path.c_str()) == 0) return mapped;
    status = FileError("put in place", path, errno);
  }
  unlink(new_path.c_str());
  return status;
}

}  // namespace

uint64_t FreshnessTableHash(const TableName& table) {
  WordHash hash;
  hash.AddValue(table.family);
  hash.AddValue(table.table);
  return hash.Finish();
}

uint64_t FreshnessKeyHash(absl::Span<const ValueView> key) {
  WordHash hash;
  for (const ValueView& value : key) hash.AddValue(value);
  return hash.Finish();
}

std::string FreshnessPagePath(absl::string_view ldb_path) {
  std::string path(ldb_path);
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) != nullptr) path = resolved;
  return absl::StrCat(path, ".freshness");
}

class FreshnessPageWriter::Impl {
 public:
  explicit Impl(std::unique_ptr<MappedPage> mapped)
      : mapped_(std::move(mapped)), page_(*mapped_->page()) {}

  ~Impl() { MakeOdd(&page_.epoch); }

  // After whatever an earlier writer has left.
  void Attach(int64_t applied_sequence) {
    MakeOdd(&page_.epoch);
    // The entries that it was writing when it ended are no changes, but have overwritten some.
    page_.ring_head.store(page_.ring_reserved.load(std::memory_order_relaxed),
                          std::memory_order_release);
    EndChange(applied_sequence);
  }

  void BeginChange() { MakeOdd(&page_.epoch); }

  void EndChange(absl::Span<const Change> changes, int64_t applied_sequence) {
    MakeOdd(&page_.epoch);
    for (const Change& change : changes) {
      if (change.kind == Change::Kind::kEverything) {
        EndChange(applied_sequence);
        return;
      }
    }
    if (changes.size() <= kMaxKeysOfCommit) {
      AddKeys(changes);
    } else if (!AddTables(changes)) {
      EndChange(applied_sequence);
      return;
    }
    Finish(applied_sequence);
  }

  // Nothing has changed.
  void EndPause() {
    if (page_.epoch.load(std::memory_order_relaxed) % 2 != 0) MakeEven(&page_.epoch);
  }

  // Anything may have changed.
  void EndChange(int64_t applied_sequence) {
    CountUp(&page_.everything);
    Finish(applied_sequence);
  }

  int64_t applied_sequence() const {
    return page_.applied_sequence.load(std::memory_order_relaxed);
  }

 private:
  void Finish(int64_t applied_sequence) {
    page_.applied_sequence.store(applied_sequence, std::memory_order_relaxed);
    MakeEven(&page_.epoch);
  }

  void AddKeys(absl::Span<const Change> changes) {
    uint64_t number = Reserve(changes.size());
    const TableName* table = nullptr;
    uint64_t table_hash = 0;
    for (const Change& change : changes) {
      if (change.table != table) {
        table = change.table;
        table_hash = FreshnessTableHash(*table);
        CountTable(table_hash);
      }
      Put(number++, table_hash,
          change.kind == Change::Kind::kKey ? FreshnessKeyHash(change.key) : kWholeTable);
    }
    page_.ring_head.store(number, std::memory_order_release);
  }

  // Returns whether the ring could take that many.
  bool AddTables(absl::Span<const Change> changes) {
    absl::flat_hash_set<uint64_t> tables;
    const TableName* table = nullptr;
    for (const Change& change : changes) {
      if (change.table == table) continue;
      table = change.table;
      tables.insert(FreshnessTableHash(*table));
    }
    if (tables.size() > kRingEntries) return false;
    uint64_t number = Reserve(tables.size());
    for (uint64_t table_hash : tables) {
      CountTable(table_hash);
      Put(number++, table_hash, kWholeTable);
    }
    page_.ring_head.store(number, std::memory_order_release);
    return true;
  }

  // Returns the number of the first entry. A reader that comes upon anything that is written after
  // this knows from ring_reserved which entries are gone.
  uint64_t Reserve(size_t count) {
    const uint64_t head = page_.ring_head.load(std::memory_order_relaxed);
    page_.ring_reserved.store(head + count, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    return head;
  }

  void Put(uint64_t number, uint64_t table, uint64_t key) {
    RingEntry& entry = page_.ring[number % kRingEntries];
    entry.table.store(table, std::memory_order_relaxed);
    entry.key.store(key, std::memory_order_relaxed);
  }

  void CountTable(uint64_t table_hash) {
    for (size_t i = 0; i < kProbes; ++i) {
      TableSlot& slot = page_.tables[(table_hash + i) % kTableSlots];
      const uint64_t found = slot.table.load(std::memory_order_relaxed);
      if (found == table_hash) return CountUp(&slot.version);
      if (found != 0) continue;
      // From what readers take for a table without a slot, so that it only ever grows.
      slot.version.store(page_.other_tables.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
      slot.table.store(table_hash, std::memory_order_release);
      return;
    }
    CountUp(&page_.other_tables);
  }

  const std::unique_ptr<MappedPage> mapped_;
  Page& page_;
};

absl::StatusOr<std::unique_ptr<FreshnessPageWriter>> FreshnessPageWriter::Open(
    const std::string& path, absl::string_view identity, int64_t applied_sequence) {
  const absl::Status valid = CheckIdentity(identity);
  if (!valid.ok()) return valid;
  absl::StatusOr<std::unique_ptr<MappedPage>> mapped = TakeOver(path, identity);
  if (mapped.ok() && *mapped == nullptr) mapped = MakeNew(path, identity);
  if (!mapped.ok()) return mapped.status();
  auto impl = std::make_unique<Impl>(*std::move(mapped));
  impl->Attach(applied_sequence);
  return std::unique_ptr<FreshnessPageWriter>(new FreshnessPageWriter(std::move(impl)));
}

FreshnessPageWriter::FreshnessPageWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FreshnessPageWriter::~FreshnessPageWriter() = default;

void FreshnessPageWriter::Committing(absl::Span<const Change>) { impl_->BeginChange(); }

void FreshnessPageWriter::Committed(absl::Span<const Change> changes, int64_t applied_sequence) {
  impl_->EndChange(changes, applied_sequence);
}

void FreshnessPageWriter::CommitFailed() {
  // What a failed commit has left behind need not be nothing.
  impl_->BeginChange();
  impl_->EndChange(impl_->applied_sequence());
}

void FreshnessPageWriter::Pause() { impl_->BeginChange(); }

void FreshnessPageWriter::Resume() { impl_->EndPause(); }

class FreshnessPageView::Impl {
 public:
  Impl(std::string path, FileIdentity file, std::unique_ptr<MappedPage> mapped)
      : path_(std::move(path)), file_(file), mapped_(std::move(mapped)), page_(*mapped_->page()) {}

  const Page& page() const { return page_; }
  bool InPlace() const { return IdentityOf(path_) == file_; }

 private:
  const std::string path_;
  const FileIdentity file_;
  const std::unique_ptr<MappedPage> mapped_;
  const Page& page_;
};

absl::StatusOr<std::unique_ptr<FreshnessPageView>> FreshnessPageView::Open(
    const std::string& path, absl::string_view identity) {
  const absl::Status valid = CheckIdentity(identity);
  if (!valid.ok()) return valid;
  auto mapped = std::make_unique<MappedPage>(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (mapped->fd() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no ", path));
    return FileError("open", path, errno);
  }
  struct stat file;
  if (fstat(mapped->fd(), &file) != 0) return FileError("look at", path, errno);
  if (!S_ISREG(file.st_mode) || file.st_size != sizeof(Page)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a freshness page"));
  }
  const int error = mapped->Map(sizeof(Page), PROT_READ);
  if (error != 0) return FileError("map", path, error);
  if (!HasFormat(*mapped->page())) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a freshness page of format ", kVersion));
  }
  if (!HasIdentity(*mapped->page(), identity)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is of another local database"));
  }
  auto impl =
      std::make_unique<Impl>(path, FileIdentity{file.st_dev, file.st_ino}, std::move(mapped));
  return std::unique_ptr<FreshnessPageView>(new FreshnessPageView(std::move(impl)));
}

FreshnessPageView::FreshnessPageView(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FreshnessPageView::~FreshnessPageView() = default;

uint64_t FreshnessPageView::epoch() const {
  // What the caller has read before is not newer than the epoch that is read now.
  std::atomic_thread_fence(std::memory_order_acquire);
  return impl_->page().epoch.load(std::memory_order_acquire);
}

int64_t FreshnessPageView::applied_sequence() const {
  return impl_->page().applied_sequence.load(std::memory_order_acquire);
}

uint64_t FreshnessPageView::TableVersion(uint64_t table_hash) const {
  const Page& page = impl_->page();
  const uint64_t everything = page.everything.load(std::memory_order_acquire);
  // Before the slots: a table that gets its slot now begins above this.
  const uint64_t other_tables = page.other_tables.load(std::memory_order_acquire);
  for (size_t i = 0; i < kProbes; ++i) {
    const TableSlot& slot = page.tables[(table_hash + i) % kTableSlots];
    const uint64_t found = slot.table.load(std::memory_order_acquire);
    if (found == table_hash) return everything + slot.version.load(std::memory_order_acquire);
    if (found == 0) break;
  }
  return everything + other_tables;
}

bool FreshnessPageView::InPlace() const { return impl_->InPlace(); }

FreshnessPageView::Mark FreshnessPageView::mark() const {
  const Page& page = impl_->page();
  Mark mark;
  // In this order: who sees that everything changed sees where the ring went on then.
  mark.everything = page.everything.load(std::memory_order_acquire);
  mark.ring = page.ring_head.load(std::memory_order_acquire);
  return mark;
}

void FreshnessPageView::ChangesSince(Mark* since, Changed* changed) const {
  const Page& page = impl_->page();
  changed->everything = false;
  changed->tables.clear();
  changed->keys.clear();
  const Mark now = mark();
  const Mark before = *since;
  *since = now;
  // Also where the page is not what it was, and the difference is anything.
  changed->everything =
      now.everything != before.everything || now.ring - before.ring > kRingEntries;
  if (changed->everything || now.ring == before.ring) return;
  for (uint64_t number = before.ring; number != now.ring; ++number) {
    const RingEntry& entry = page.ring[number % kRingEntries];
    const uint64_t table = entry.table.load(std::memory_order_relaxed);
    const uint64_t key = entry.key.load(std::memory_order_relaxed);
    if (key == kWholeTable) {
      changed->tables.push_back(table);
    } else {
      changed->keys.push_back({table, key});
    }
  }
  // Were any of them overwritten meanwhile? Who has read what was written after a reservation sees
  // the reservation too.
  std::atomic_thread_fence(std::memory_order_acquire);
  const uint64_t reserved = page.ring_reserved.load(std::memory_order_relaxed);
  if (reserved - before.ring > kRingEntries) {
    changed->everything = true;
    changed->tables.clear();
    changed->keys.clear();
  }
}

}  // namespace ctlstore::ldb
