#include "supervisor/supervisor_runner.h"

#include <utility>

#include "common/object_store/open_store.h"

namespace ctlstore::supervisor {

absl::StatusOr<std::unique_ptr<SupervisorRunner>> SupervisorRunner::Start(const Options& options) {
  absl::StatusOr<std::unique_ptr<reflector::ReflectorRunner>> reflector =
      reflector::ReflectorRunner::Start(options.reflector);
  if (!reflector.ok()) return reflector.status();
  std::unique_ptr<SupervisorRunner> runner(new SupervisorRunner(*std::move(reflector)));
  absl::StatusOr<std::unique_ptr<Supervisor>> supervisor = Supervisor::Start(
      options.supervisor,
      [&options](const snapshot::Location& location) {
        return object_store::OpenStore(location.store, options.store);
      },
      &runner->copy_, &runner->metrics_);
  if (!supervisor.ok()) return supervisor.status();
  runner->supervisor_ = *std::move(supervisor);
  return runner;
}

SupervisorRunner::SupervisorRunner(std::unique_ptr<reflector::ReflectorRunner> reflector)
    : reflector_(std::move(reflector)), copy_(reflector_.get()), metrics_(reflector_->registry()) {}

SupervisorRunner::~SupervisorRunner() { Stop(); }

void SupervisorRunner::RequestStop() {
  if (supervisor_ != nullptr) supervisor_->RequestStop();
}

void SupervisorRunner::Stop() {
  if (supervisor_ != nullptr) supervisor_->Stop();
  reflector_->Stop();
}

}  // namespace ctlstore::supervisor
