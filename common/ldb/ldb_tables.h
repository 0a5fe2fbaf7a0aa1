// The local database's own tables, as both its writer and its readers know them. They are those of
// the Go ctlstore, whose readers can therefore read our files (docs/formats.md).

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

// What the heartbeat writes: row `heartbeat` of family `ctlstore`, table `heartbeats`, is a Unix
// time in nanoseconds.
inline constexpr char kReadHeartbeat[] =
    "SELECT value FROM ctlstore___heartbeats WHERE name = 'heartbeat'";

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_LDB_TABLES_H_
