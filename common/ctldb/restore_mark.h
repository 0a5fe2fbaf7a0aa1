// How a ctldb says that it is being restored.

#ifndef CTLSTORE_COMMON_CTLDB_RESTORE_MARK_H_
#define CTLSTORE_COMMON_CTLDB_RESTORE_MARK_H_

namespace ctlstore::ctldb {

// A row of `locks` with this id is there from the first thing that a restore writes until the
// transaction that writes its ledger entries. While it is there the ctldb holds a part of its rows
// at most, and LedgerTransaction::Begin() refuses it. Its clock is a number of the restore that
// goes on; one that is taken up again has another number.
inline constexpr char kRestoreMark[] = "restore";

}  // namespace ctlstore::ctldb

#endif  // CTLSTORE_COMMON_CTLDB_RESTORE_MARK_H_
