// Which table a statement changes, told from its first words.

#ifndef CTLSTORE_COMMON_SQL_CHANGED_TABLE_H_
#define CTLSTORE_COMMON_SQL_CHANGED_TABLE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace ctlstore::sql {

struct ChangedTable {
  // The table's name in the database, as it is written, without quotes.
  std::string name;
  // CREATE, ALTER or DROP; otherwise the statement changes rows only.
  bool definition = false;
};

// The only table that `statement` changes, where SQLite takes it at all: it may still be wrong
// behind the name. Knows REPLACE, INSERT, DELETE, UPDATE, CREATE TABLE, ALTER TABLE ... ADD and
// DROP TABLE, with any spelling of the name and comments before it. nullopt for everything else,
// also for a name with a schema in front. Triggers and foreign keys, which change other tables, are
// not looked at: there are none in a local database.
absl::optional<ChangedTable> FindChangedTable(absl::string_view statement);

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_CHANGED_TABLE_H_
