#include "supervisor/supervisor_control.h"

namespace ctlstore::supervisor {

SnapshotSummary SummaryOf(const snapshot::Manifest& manifest) {
  SnapshotSummary summary;
  summary.id = manifest.id;
  summary.sequence = manifest.position.sequence;
  summary.taken_at = manifest.taken_at;
  summary.compression = manifest.compression;
  summary.object_bytes = manifest.object_bytes;
  summary.file_bytes = manifest.file_bytes;
  summary.object_sha256 = manifest.object_sha256;
  summary.tables = static_cast<int64_t>(manifest.tables.size());
  for (const snapshot::TableSummary& table : manifest.tables) summary.rows += table.rows;
  summary.families = manifest.families;
  return summary;
}

}  // namespace ctlstore::supervisor
