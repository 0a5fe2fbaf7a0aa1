#include "executive/writer_authenticator.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/ctldb/writers.h"
#include "common/schema/errors.h"
#include "common/schema/names.h"
#include "executive/failure_throttle.h"
#include "executive/secret_memory.h"
#include "executive/writer_secrets.h"

namespace ctlstore::executive {
namespace {

constexpr size_t kMaxRemembered = 10000;
constexpr size_t kMaxThrottled = 10000;

// The words are the same whatever is wrong.
absl::Status BadCredentials() {
  return ErrorWithReason(absl::StatusCode::kUnauthenticated, reason::kBadCredentials,
                         "the writer is not known or the secret is not its own");
}

// For what other executives change at the same time, again and again.
constexpr int kMaxAttempts = 5;

}  // namespace

class WriterAuthenticator::Impl {
 public:
  Impl(const Options& options, Clock* clock, ExecutiveMetrics* metrics)
      : options_(options),
        metrics_(metrics),
        memory_(options.remember, kMaxRemembered, clock),
        throttle_(
            {options.free_failures, options.first_penalty, options.max_penalty, kMaxThrottled},
            clock) {}

  bool IsRemembered(const Credentials& credentials) {
    if (!memory_.IsFresh(credentials)) return false;
    metrics_->SecretChecked(/*from_memory=*/true, /*right=*/true);
    return true;
  }

  absl::Status Check(const Credentials& credentials, absl::string_view peer,
                     ctldb::Connection* connection) {
    // No writer breaks the rules.
    if (!CheckWriterName("writer", credentials.writer).ok() ||
        !CheckWriterSecret("secret", credentials.secret).ok()) {
      return BadCredentials();
    }
    if (IsRemembered(credentials)) return absl::OkStatus();
    absl::Status admitted = Admit(credentials, peer);
    if (!admitted.ok()) return admitted;
    absl::StatusOr<absl::optional<ctldb::Writer>> writer =
        ctldb::ReadWriter(connection, credentials.writer);
    if (!writer.ok()) return writer.status();
    const std::string stored_hash = writer->has_value() ? (*writer)->secret_hash : "";
    absl::StatusOr<bool> right = IsRight(credentials, peer, stored_hash);
    if (!right.ok()) return right.status();
    if (!*right) return BadCredentials();
    Upgrade(credentials, stored_hash, connection);
    return absl::OkStatus();
  }

  absl::Status Register(const Credentials& credentials, absl::string_view peer,
                        ctldb::Connection* connection, bool* added) {
    *added = false;
    absl::Status admitted = Admit(credentials, peer);
    if (!admitted.ok()) return admitted;
    for (int i = 0; i < kMaxAttempts; ++i) {
      absl::StatusOr<absl::optional<ctldb::Writer>> writer =
          ctldb::ReadWriter(connection, credentials.writer);
      if (!writer.ok()) return writer.status();
      if (writer->has_value()) {
        absl::StatusOr<bool> right = IsRight(credentials, peer, (*writer)->secret_hash);
        if (!right.ok()) return right.status();
        if (!*right) {
          return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kWriterDiffers,
                                 "the writer exists with another secret");
        }
        Upgrade(credentials, (*writer)->secret_hash, connection);
        return absl::OkStatus();
      }
      absl::StatusOr<std::string> hash = Hash(credentials.secret);
      if (!hash.ok()) return hash.status();
      absl::StatusOr<bool> is_new = ctldb::AddWriter(connection, credentials.writer, *hash);
      if (!is_new.ok()) return is_new.status();
      if (!*is_new) continue;
      *added = true;
      memory_.Remember(credentials, *hash);
      throttle_.Succeeded(credentials.writer, peer);
      return absl::OkStatus();
    }
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy,
                           "the writer is added and removed by others at the same time");
  }

 private:
  // One of the slow hashes that may be computed at the same time.
  class HashTurn {
   public:
    explicit HashTurn(Impl* impl) : impl_(impl) {
      absl::MutexLock lock(&impl_->mutex_, absl::Condition(impl_, &Impl::HasFreeTurn));
      ++impl_->turns_;
    }
    ~HashTurn() {
      absl::MutexLock lock(&impl_->mutex_);
      --impl_->turns_;
    }
    HashTurn(const HashTurn&) = delete;
    HashTurn& operator=(const HashTurn&) = delete;

   private:
    Impl* const impl_;
  };

  bool HasFreeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return turns_ < std::max(1, options_.max_concurrent_hashes);
  }

  absl::StatusOr<std::string> Hash(absl::string_view secret) {
    HashTurn turn(this);
    return HashSecret(secret);
  }

  // A secret that was right before is looked at in any case.
  absl::Status Admit(const Credentials& credentials, absl::string_view peer) {
    if (memory_.IsKnown(credentials)) return absl::OkStatus();
    return throttle_.Admit(credentials.writer, peer);
  }

  // Whether it was right for this stored hash before; then it is right for longer.
  bool Renew(const Credentials& credentials, absl::string_view peer,
             absl::string_view stored_hash) {
    if (!memory_.IsKnownFor(credentials, stored_hash)) return false;
    memory_.Remember(credentials, stored_hash);
    throttle_.Succeeded(credentials.writer, peer);
    metrics_->SecretChecked(/*from_memory=*/true, /*right=*/true);
    return true;
  }

  // `stored_hash` is empty for a writer that is not there.
  absl::StatusOr<bool> IsRight(const Credentials& credentials, absl::string_view peer,
                               absl::string_view stored_hash) {
    if (Renew(credentials, peer, stored_hash)) return true;
    HashTurn turn(this);
    // While this call waited, others may have found the secret right, or used up the failures.
    if (Renew(credentials, peer, stored_hash)) return true;
    absl::Status admitted = throttle_.Admit(credentials.writer, peer);
    if (!admitted.ok()) return admitted;
    absl::StatusOr<bool> matches = SecretMatches(credentials.secret, stored_hash);
    if (!matches.ok()) return matches;
    metrics_->SecretChecked(/*from_memory=*/false, *matches);
    if (*matches) {
      memory_.Remember(credentials, stored_hash);
      throttle_.Succeeded(credentials.writer, peer);
    } else {
      throttle_.Failed(credentials.writer, peer);
    }
    return matches;
  }

  // Replaces `stored_hash`, which the secret is right for, where it is a Go executive's. What fails
  // is tried again when the ctldb is next asked about the writer.
  void Upgrade(const Credentials& credentials, const std::string& stored_hash,
               ctldb::Connection* connection) {
    if (!options_.upgrade_hashes || !IsGoSecretHash(stored_hash)) return;
    {
      absl::MutexLock lock(&mutex_);
      // Where it is not known for this hash any more, another call has replaced the hash.
      if (upgrading_.contains(credentials.writer) ||
          !memory_.IsKnownFor(credentials, stored_hash)) {
        return;
      }
      upgrading_.insert(credentials.writer);
    }
    const absl::StatusOr<bool> upgraded = [&]() -> absl::StatusOr<bool> {
      absl::StatusOr<std::string> hash = Hash(credentials.secret);
      if (!hash.ok()) return hash.status();
      absl::StatusOr<bool> replaced =
          ctldb::ReplaceSecretHash(connection, credentials.writer, stored_hash, *hash);
      if (replaced.ok() && *replaced) memory_.Remember(credentials, *hash);
      return replaced;
    }();
    {
      absl::MutexLock lock(&mutex_);
      upgrading_.erase(credentials.writer);
    }
    const std::string name = absl::Utf8SafeCEscape(credentials.writer);
    if (!upgraded.ok()) {
      LOG(WARNING) << "event=writer_hash_not_upgraded writer=\"" << name << "\" error=\""
                   << upgraded.status().message() << "\"";
    } else if (*upgraded) {
      LOG(INFO) << "event=writer_hash_upgraded writer=\"" << name << "\"";
    }
  }

  const Options options_;
  ExecutiveMetrics* const metrics_;
  SecretMemory memory_;
  FailureThrottle throttle_;

  absl::Mutex mutex_;
  int turns_ ABSL_GUARDED_BY(mutex_) = 0;
  // The writers whose hashes are being replaced.
  absl::flat_hash_set<std::string> upgrading_ ABSL_GUARDED_BY(mutex_);
};

WriterAuthenticator::WriterAuthenticator(const Options& options, Clock* clock,
                                         ExecutiveMetrics* metrics)
    : impl_(std::make_unique<Impl>(options, clock, metrics)) {}

WriterAuthenticator::~WriterAuthenticator() = default;

bool WriterAuthenticator::IsRemembered(const Credentials& credentials) {
  return impl_->IsRemembered(credentials);
}

absl::Status WriterAuthenticator::Check(const Credentials& credentials, absl::string_view peer,
                                        ctldb::Connection* connection) {
  return impl_->Check(credentials, peer, connection);
}

absl::Status WriterAuthenticator::Register(const Credentials& credentials, absl::string_view peer,
                                           ctldb::Connection* connection, bool* added) {
  return impl_->Register(credentials, peer, connection, added);
}

}  // namespace ctlstore::executive
