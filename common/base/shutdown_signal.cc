#include "common/base/shutdown_signal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

namespace ctlstore {
namespace {

constexpr int kInterruptedExit = 130;

}  // namespace

ShutdownSignal::ShutdownSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // Blocked here and so in every thread that is started from here on; the waiting thread takes
  // them.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Detached: it waits for as long as the process lives, as this object does.
  std::thread([this, signals] {
    int signal = 0;
    while (sigwait(&signals, &signal) == 0) {
      if (notification_.HasBeenNotified()) _exit(kInterruptedExit);
      notification_.Notify();
    }
  }).detach();
}

}  // namespace ctlstore
