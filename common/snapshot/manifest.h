// What is said of a snapshot, beside it.

#ifndef CTLSTORE_COMMON_SNAPSHOT_MANIFEST_H_
#define CTLSTORE_COMMON_SNAPSHOT_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/schema/ledger_position.h"

namespace ctlstore::snapshot {

enum class Compression { kNone, kZstd, kGzip };

// "none", "zstd", "gzip".
absl::string_view CompressionName(Compression compression);
absl::StatusOr<Compression> ParseCompression(absl::string_view name);

// A piece of the object that can be fetched, checked and decompressed by itself: a zstd frame, a
// gzip member. One after the other they are the object, and decompressed the file; so plain tools
// read the object too.
struct Chunk {
  // What one has at most before it is compressed, and, as data may grow by a little, about what it
  // has at most after: whoever reads chunks takes some of them into memory.
  static constexpr int64_t kMaxFileBytes = int64_t{64} << 20;
  static constexpr int64_t kMaxObjectBytes = kMaxFileBytes + (int64_t{1} << 20);

  int64_t object_bytes = 0;
  int64_t file_bytes = 0;
  // 32 bytes, of what the object has.
  std::string sha256;
};

struct TableSummary {
  // Empty where the table is none of a family's.
  std::string family;
  std::string table;
  int64_t rows = 0;
  // 16 bytes, of the definition and the rows in any order (common/ldb/table_checksum.h).
  std::string checksum;
};

// One snapshot: an LDB at a ledger position, as one object. A plain value.
struct Manifest {
  static constexpr int kFormatVersion = 1;
  // What its JSON has at most; enough for more than 1 TB in chunks of 8 MiB.
  static constexpr int64_t kMaxJsonBytes = int64_t{64} << 20;

  // Unique, and in the order of sequences: the manifest's name without its ending.
  std::string id;
  LedgerPosition position;
  // When the state was read.
  absl::Time taken_at;
  // leader_ts of the last entry, as _ldb_last_update has it; empty where there is none.
  std::string last_update;
  // The families that are in it, sorted; all where empty.
  std::vector<std::string> families;

  // The object's key, relative to the manifest's folder.
  std::string object;
  Compression compression = Compression::kZstd;
  int64_t object_bytes = 0;
  // 32 bytes, of the whole object.
  std::string object_sha256;
  // What the LDB has when it is decompressed.
  int64_t file_bytes = 0;
  std::vector<Chunk> chunks;

  std::vector<TableSummary> tables;
  // Who took it: "host/pid".
  std::string instance;
};

// JSON (docs/formats.md has the form), which later versions may add to: what is not known is gone
// over.
std::string EncodeManifest(const Manifest& manifest);

// INVALID_ARGUMENT where this is no manifest, of a format version that is not known, or one that
// contradicts itself: chunks that do not add up, an id or an object's name that leads elsewhere
// (both are of letters, digits, '-', '_' and '.', and do not begin with '.'), numbers below 0.
absl::StatusOr<Manifest> DecodeManifest(absl::string_view json);

}  // namespace ctlstore::snapshot

#endif  // CTLSTORE_COMMON_SNAPSHOT_MANIFEST_H_
