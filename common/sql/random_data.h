// Random names, values and tables for tests that compare two ways of doing the same.

#ifndef CTLSTORE_COMMON_SQL_RANDOM_DATA_H_
#define CTLSTORE_COMMON_SQL_RANDOM_DATA_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::sql {

// The same sequence for the same seed. Everything it makes is valid by common/schema's rules, and
// likes what is hard: quotes, semicolons, comments, line ends, emoji, the ends of each range.
// Not thread-safe.
class RandomData {
 public:
  explicit RandomData(uint64_t seed) : generator_(seed) {}

  // 0 to `bound` - 1.
  size_t Below(size_t bound);
  bool OneIn(size_t n) { return Below(n) == 0; }

  int64_t Integer();
  double Decimal();
  // Well-formed UTF-8 without NUL.
  std::string Text(size_t max_characters);
  std::string Bytes(size_t max_size);

  // A value of the type; null at times where `nullable`.
  Value Of(FieldType type, bool nullable);
  FieldType Type();
  FieldType KeyType();

  // A table with 1 to 8 fields of random types, of which 1 to 3 are the key, in random order.
  TableSchema Table(const std::string& family, const std::string& table);

 private:
  std::mt19937_64 generator_;
};

}  // namespace ctlstore::sql

#endif  // CTLSTORE_COMMON_SQL_RANDOM_DATA_H_
