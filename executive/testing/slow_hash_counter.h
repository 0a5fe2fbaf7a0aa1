// How many slow hashes a process computes.

#ifndef CTLSTORE_EXECUTIVE_TESTING_SLOW_HASH_COUNTER_H_
#define CTLSTORE_EXECUTIVE_TESTING_SLOW_HASH_COUNTER_H_

#include <cstddef>

namespace ctlstore::executive {

// Told by OpenSSL's large allocations, of which a slow hash makes one; they are watched in every
// program that links this, from its start. The counter counts from its construction. Use one at a
// time.
class SlowHashCounter {
 public:
  SlowHashCounter();
  SlowHashCounter(const SlowHashCounter&) = delete;
  SlowHashCounter& operator=(const SlowHashCounter&) = delete;

  int count() const;
  // The most that were computed at the same time.
  int most_at_once() const;
  // Of one hash; 0 where none was computed.
  size_t largest_bytes() const;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_SLOW_HASH_COUNTER_H_
