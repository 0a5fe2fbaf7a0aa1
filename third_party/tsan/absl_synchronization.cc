// Tells ThreadSanitizer about Abseil's locks.
//
// Debian's Abseil is compiled without ThreadSanitizer and waits through futexes, which the
// sanitizer does not see; every access guarded by an absl::Mutex would be reported as a race. The
// dynamic linker prefers the definitions here to the library's, so each call passes through: it
// does the library's work and says which way memory was handed over. Linked into every program by
// --config=tsan, and nowhere else.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

// Of the sanitizer's library, which has no header for them.
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

namespace {

// The library's own function of this (mangled) name. `Function` takes the object first.
template <typename Function>
Function* Original(const char* symbol) {
  void* const original = dlsym(RTLD_NEXT, symbol);
  if (original == nullptr) std::abort();
  return reinterpret_cast<Function*>(original);
}

// Conditions are evaluated by the library, with the lock held, in the middle of the calls that wait
// for it or let go of it: after what is said here about the lock. What they read is not looked at.
class IgnoreConditions {
 public:
  IgnoreConditions() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~IgnoreConditions() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

}  // namespace

// Names, in a wrapper, the library's function and the object that the sanitizer is told about.
#define CTLSTORE_TSAN_WRAP(symbol, result_type, self, ...)                  \
  static auto* const original = Original<result_type(__VA_ARGS__)>(symbol); \
  void* const object = const_cast<void*>(static_cast<const void*>(self))

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex4LockEv", void, this, Mutex*);
  original(this);
  __tsan_acquire(object);
}

void Mutex::Unlock() {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex6UnlockEv", void, this, Mutex*);
  __tsan_release(object);
  const IgnoreConditions ignore_conditions;
  original(this);
}

bool Mutex::TryLock() {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex7TryLockEv", bool, this, Mutex*);
  const bool locked = original(this);
  if (locked) __tsan_acquire(object);
  return locked;
}

void Mutex::ReaderLock() {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex10ReaderLockEv", void, this, Mutex*);
  original(this);
  __tsan_acquire(object);
}

void Mutex::ReaderUnlock() {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex12ReaderUnlockEv", void, this, Mutex*);
  __tsan_release(object);
  const IgnoreConditions ignore_conditions;
  original(this);
}

void Mutex::LockWhen(const Condition& condition) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE", void, this, Mutex*,
                     const Condition&);
  const IgnoreConditions ignore_conditions;
  original(this, condition);
  __tsan_acquire(object);
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE",
                     bool, this, Mutex*, const Condition&, Duration);
  const IgnoreConditions ignore_conditions;
  const bool holds = original(this, condition, timeout);
  __tsan_acquire(object);
  return holds;
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE",
                     bool, this, Mutex*, const Condition&, Time);
  const IgnoreConditions ignore_conditions;
  const bool holds = original(this, condition, deadline);
  __tsan_acquire(object);
  return holds;
}

// Waiting gives the lock up and takes it again.

void Mutex::Await(const Condition& condition) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE", void, this, Mutex*,
                     const Condition&);
  __tsan_release(object);
  const IgnoreConditions ignore_conditions;
  original(this, condition);
  __tsan_acquire(object);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE",
                     bool, this, Mutex*, const Condition&, Duration);
  __tsan_release(object);
  const IgnoreConditions ignore_conditions;
  const bool holds = original(this, condition, timeout);
  __tsan_acquire(object);
  return holds;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool,
                     this, Mutex*, const Condition&, Time);
  __tsan_release(object);
  const IgnoreConditions ignore_conditions;
  const bool holds = original(this, condition, deadline);
  __tsan_acquire(object);
  return holds;
}

void CondVar::Wait(Mutex* mutex) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", void, mutex, CondVar*, Mutex*);
  __tsan_release(object);
  original(this, mutex);
  __tsan_acquire(object);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", bool,
                     mutex, CondVar*, Mutex*, Duration);
  __tsan_release(object);
  const bool timed_out = original(this, mutex, timeout);
  __tsan_acquire(object);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", bool,
                     mutex, CondVar*, Mutex*, Time);
  __tsan_release(object);
  const bool timed_out = original(this, mutex, deadline);
  __tsan_acquire(object);
  return timed_out;
}

void Notification::Notify() {
  CTLSTORE_TSAN_WRAP("_ZN4absl7debian312Notification6NotifyEv", void, this, Notification*);
  __tsan_release(object);
  original(this);
}

void Notification::WaitForNotification() const {
  CTLSTORE_TSAN_WRAP("_ZNK4absl7debian312Notification19WaitForNotificationEv", void, this,
                     const Notification*);
  original(this);
  __tsan_acquire(object);
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  CTLSTORE_TSAN_WRAP(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE", bool, this,
      const Notification*, Duration);
  const bool notified = original(this, timeout);
  if (notified) __tsan_acquire(object);
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  CTLSTORE_TSAN_WRAP("_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE",
                     bool, this, const Notification*, Time);
  const bool notified = original(this, deadline);
  if (notified) __tsan_acquire(object);
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
