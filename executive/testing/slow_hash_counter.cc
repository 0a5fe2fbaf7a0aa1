#include "executive/testing/slow_hash_counter.h"

#include <glog/logging.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <set>

namespace ctlstore::executive {
namespace {

constexpr size_t kLarge = size_t{4} << 20;

struct State {
  std::mutex mutex;
  std::set<void*> large;
  int count = 0;
  int most_at_once = 0;
  size_t largest_bytes = 0;
};

State* GetState() {
  static auto* const state = new State;
  return state;
}

void* Allocate(size_t size, const char*, int) {
  void* const result = malloc(size);
  if (size >= kLarge && result != nullptr) {
    State* const state = GetState();
    std::lock_guard<std::mutex> lock(state->mutex);
    state->large.insert(result);
    ++state->count;
    state->largest_bytes = std::max(state->largest_bytes, size);
    state->most_at_once = std::max(state->most_at_once, static_cast<int>(state->large.size()));
  }
  return result;
}

void* Reallocate(void* memory, size_t size, const char*, int) { return realloc(memory, size); }

void Free(void* memory, const char*, int) {
  {
    State* const state = GetState();
    std::lock_guard<std::mutex> lock(state->mutex);
    state->large.erase(memory);
  }
  free(memory);
}

// OpenSSL takes other functions only before it has allocated anything.
const int watching = CRYPTO_set_mem_functions(Allocate, Reallocate, Free);

}  // namespace

SlowHashCounter::SlowHashCounter() {
  CHECK_EQ(watching, 1) << "OpenSSL was used before it could be watched";
  State* const state = GetState();
  std::lock_guard<std::mutex> lock(state->mutex);
  state->count = 0;
  state->largest_bytes = 0;
  state->most_at_once = static_cast<int>(state->large.size());
}

int SlowHashCounter::count() const {
  State* const state = GetState();
  std::lock_guard<std::mutex> lock(state->mutex);
  return state->count;
}

int SlowHashCounter::most_at_once() const {
  State* const state = GetState();
  std::lock_guard<std::mutex> lock(state->mutex);
  return state->most_at_once;
}

size_t SlowHashCounter::largest_bytes() const {
  State* const state = GetState();
  std::lock_guard<std::mutex> lock(state->mutex);
  return state->largest_bytes;
}

}  // namespace ctlstore::executive
