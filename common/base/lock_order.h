// Abseil's watch over the order in which locks are taken.

#ifndef CTLSTORE_COMMON_BASE_LOCK_ORDER_H_
#define CTLSTORE_COMMON_BASE_LOCK_ORDER_H_

namespace ctlstore {

// Abseil as Debian builds it remembers for every lock which others were held when it was taken, to
// report orders that could end in a deadlock. That is for finding mistakes, and costs a server an
// eighth of its processor time. To be called once, by services, before they start; tests leave the
// watch on.
void StopWatchingLockOrder();

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_LOCK_ORDER_H_
