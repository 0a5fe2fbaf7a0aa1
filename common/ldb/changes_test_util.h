// Changes for the tests of those who listen to them.

#ifndef CTLSTORE_COMMON_LDB_CHANGES_TEST_UTIL_H_
#define CTLSTORE_COMMON_LDB_CHANGES_TEST_UTIL_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "common/ldb/changes.h"

namespace ctlstore::ldb {

// The changes of one commit. They keep what they show.
class TestChanges {
 public:
  TestChanges() = default;
  TestChanges(const TestChanges&) = delete;
  TestChanges& operator=(const TestChanges&) = delete;

  // Tables are of the family `fam`. The key's fields are named k0, k1, … and have the types that go
  // with the values.
  TestChanges& Key(int64_t sequence, const std::string& table, std::vector<Value> key);
  TestChanges& Key(int64_t sequence, const std::string& table, int64_t key);
  TestChanges& Table(int64_t sequence, const std::string& table);
  TestChanges& Everything(int64_t sequence);

  absl::Span<const Change> span() const { return changes_; }

  // The three steps of a commit.
  void Commit(ChangeListener* listener, int64_t applied_sequence) const;

 private:
  struct Kept {
    TableName table;
    std::vector<Field> fields;
    std::vector<Value> values;
    std::vector<ValueView> views;
  };
  std::deque<Kept> kept_;
  std::vector<Change> changes_;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_CHANGES_TEST_UTIL_H_
