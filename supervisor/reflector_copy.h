// The local database that a supervisor's own reflector keeps.

#ifndef CTLSTORE_SUPERVISOR_REFLECTOR_COPY_H_
#define CTLSTORE_SUPERVISOR_REFLECTOR_COPY_H_

#include <cstdint>

#include "absl/status/status.h"
#include "reflector/reflector_control.h"
#include "supervisor/supervisor.h"

namespace ctlstore::supervisor {

// Is ready while the reflector is, has something of the ledger, and does not build or fetch another
// local database that is to take the place of this one. Thread-safe.
class ReflectorCopy : public Supervisor::Copy {
 public:
  // Has one local database, and must outlive this.
  explicit ReflectorCopy(const reflector::ReflectorControl* reflector) : reflector_(reflector) {}

  absl::Status Readiness() const override;
  int64_t applied_sequence() const override;
  int64_t ledger_sequence() const override;

 private:
  const reflector::ReflectorControl* const reflector_;
};

}  // namespace ctlstore::supervisor

#endif  // CTLSTORE_SUPERVISOR_REFLECTOR_COPY_H_
