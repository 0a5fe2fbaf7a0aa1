// The local database's own tables, as both its writer and its readers know them. The first two are
// those of the Go ctlstore, whose readers can therefore read our files (docs/formats.md).

#ifndef CTLSTORE_COMMON_LDB_LDB_TABLES_H_
#define CTLSTORE_COMMON_LDB_LDB_TABLES_H_

namespace ctlstore::ldb {

// The row with id 1 has the last applied sequence.
inline constexpr char kCreateSequenceTable[] =
    "CREATE TABLE IF NOT EXISTS _ldb_seq (id INTEGER PRIMARY KEY NOT NULL, seq BIGINT NOT NULL)";
inline constexpr char kReadSequence[] = "SELECT seq FROM _ldb_seq WHERE id = 1";
inline constexpr char kWriteSequence[] = "REPLACE INTO _ldb_seq (id, seq) VALUES (1, ?)";

// The row named `ledger` has the last applied entry's leader_ts, as YYYY-MM-DD HH:MM:SS+00:00 with
// or without a fraction.
inline constexpr char kCreateLastUpdateTable[] =
    "CREATE TABLE IF NOT EXISTS _ldb_last_update "
    "(name STRING PRIMARY KEY NOT NULL, timestamp DATETIME NOT NULL)";
inline constexpr char kReadLastUpdate[] =
    "SELECT timestamp FROM _ldb_last_update WHERE name = 'ledger'";
inline constexpr char kWriteLastUpdate[] =
    "REPLACE INTO _ldb_last_update (name, timestamp) VALUES ('ledger', ?)";

// What else belongs to the position, and to the file as a whole, by name.
inline constexpr char kCreateStateTable[] =
    "CREATE TABLE IF NOT EXISTS _ldb_state (name TEXT PRIMARY KEY NOT NULL, value)";
inline constexpr char kReadState[] = "SELECT value FROM _ldb_state WHERE name = ?";
// 16 random bytes.
inline constexpr char kStateIdentity[] = "identity";
// The families that are kept, sorted, with commas between them; '' for all.
inline constexpr char kStateFamilies[] = "families";
// The digest of the last applied entry (common/schema/ledger_position.h), which is valid only where
// `sequence` is that of _ldb_seq: other programs know of that one only.
inline constexpr char kStateSequence[] = "sequence";
inline constexpr char kStateDigest[] = "digest";

// What the last commits have changed (change_history.h): a row holds the changes of the ledger
// entries after `after` up to `last`, and each row begins where the one before ends. `total` counts
// the bytes of the rows up to this one.
inline constexpr char kCreateChangesTable[] =
    "CREATE TABLE IF NOT EXISTS _ldb_changes (last INTEGER PRIMARY KEY, after INTEGER NOT NULL, "
    "total INTEGER NOT NULL, changes BLOB NOT NULL)";

// The entries that were gone over by an operator's will.
inline constexpr char kCreateSkippedTable[] =
    "CREATE TABLE IF NOT EXISTS _ldb_skipped (seq INTEGER PRIMARY KEY, time TEXT, error TEXT)";

// What the heartbeat writes: row `heartbeat` of family `ctlstore`, table `heartbeats`, is a Unix
// time in nanoseconds.
inline constexpr char kReadHeartbeat[] =
    "SELECT value FROM ctlstore___heartbeats WHERE name = 'heartbeat'";

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_TABLES_H_
