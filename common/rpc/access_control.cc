#include "common/rpc/access_control.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/bearer_tokens.h"
#include "common/rpc/watched_files.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

constexpr char kAuthorization[] = "authorization";
// Of a certificate's name in logs and errors.
constexpr size_t kMaxShownName = 200;

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest DigestOf(absl::string_view token) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

// The tokens of one role's file, as their digests: these are compared in a time that tells nothing,
// and what is in memory is no token.
class TokenFile {
 public:
  // A file of no name has no tokens.
  TokenFile(Role role, const std::string& path, Clock* clock)
      : role_(role),
        enabled_(!path.empty()),
        files_(
            {path},
            [this, path](const std::vector<std::string>& texts) {
              return Take(path, texts.front());
            },
            clock) {}

  absl::Status Load() {
    const absl::Status status = enabled_ ? files_.Load() : absl::OkStatus();
    if (status.ok()) return status;
    return absl::InvalidArgumentError(
        absl::StrCat("--", RoleName(role_), "_token_file: ", status.message()));
  }

  bool Has(const Digest& digest) {
    if (!enabled_) return false;
    files_.Refresh();
    int found = 0;
    absl::ReaderMutexLock lock(&mutex_);
    for (const Digest& one : digests_) {
      found |= CRYPTO_memcmp(one.data(), digest.data(), digest.size()) == 0 ? 1 : 0;
    }
    return found != 0;
  }

 private:
  absl::Status Take(const std::string& path, const std::string& text) {
    const absl::StatusOr<std::vector<std::string>> tokens = ParseTokens(text);
    if (!tokens.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the file ", path, ": ", tokens.status().message()));
    }
    std::vector<Digest> digests;
    for (const std::string& token : *tokens) digests.push_back(DigestOf(token));
    absl::MutexLock lock(&mutex_);
    digests_ = std::move(digests);
    return absl::OkStatus();
  }

  const Role role_;
  const bool enabled_;
  absl::Mutex mutex_;
  std::vector<Digest> digests_ ABSL_GUARDED_BY(mutex_);
  WatchedFiles files_;
};

absl::Status BadToken(absl::string_view problem) {
  return ErrorWithReason(
      absl::StatusCode::kUnauthenticated, reason::kNoRole,
      absl::StrCat(problem, "; it has to be \"Bearer TOKEN\" with a token that the server knows"));
}

// The first of `identities` that is among `known`; empty where none is.
std::string FirstKnown(absl::Span<const std::string> identities,
                       const std::vector<std::string>& known) {
  for (const std::string& identity : identities) {
    if (std::find(known.begin(), known.end(), identity) != known.end()) return identity;
  }
  return "";
}

std::string CertificateName(absl::string_view identity) {
  // What is in a certificate must not look like something else in a log.
  return absl::StrCat("certificate ", absl::CHexEscape(identity.substr(0, kMaxShownName)));
}

std::vector<std::string> IdentitiesOf(const grpc::AuthContext& context) {
  std::vector<std::string> identities;
  // The addresses that a certificate may name are not looked at: they say where something is.
  for (const char* property :
       {GRPC_X509_CN_PROPERTY_NAME, GRPC_PEER_DNS_PROPERTY_NAME, GRPC_PEER_URI_PROPERTY_NAME}) {
    for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
      identities.emplace_back(value.data(), value.size());
    }
  }
  return identities;
}

}  // namespace

class AccessControl::Impl {
 public:
  Impl(const AccessOptions& options, Clock* clock)
      : has_roles_(options.has_tokens() || options.has_identities()),
        admin_identities_(options.admin_identities),
        reader_identities_(options.reader_identities),
        admin_tokens_(Role::kAdmin, options.admin_token_file, clock),
        reader_tokens_(Role::kReader, options.reader_token_file, clock) {}

  absl::Status Load() {
    const absl::Status status = admin_tokens_.Load();
    return status.ok() ? reader_tokens_.Load() : status;
  }

  bool has_roles() const { return has_roles_; }

  absl::StatusOr<Caller> Identify(absl::optional<absl::string_view> authorization,
                                  absl::Span<const std::string> identities,
                                  absl::string_view peer) {
    Caller caller;
    caller.peer = std::string(peer);
    if (!has_roles_) {
      caller.name = "anyone";
      caller.is_reader = true;
      caller.is_admin = true;
      return caller;
    }
    bool admin_token = false;
    bool reader_token = false;
    if (authorization.has_value()) {
      absl::string_view token = *authorization;
      constexpr absl::string_view kScheme = "bearer ";
      if (!absl::StartsWithIgnoreCase(token, kScheme)) {
        return BadToken("the authorization is not a bearer token");
      }
      token = absl::StripAsciiWhitespace(token.substr(kScheme.size()));
      const Digest digest = DigestOf(token);
      admin_token = admin_tokens_.Has(digest);
      reader_token = reader_tokens_.Has(digest);
      if (!admin_token && !reader_token) return BadToken("the bearer token is not known");
    }
    const std::string admin_name = FirstKnown(identities, admin_identities_);
    const std::string reader_name = FirstKnown(identities, reader_identities_);
    caller.is_admin = admin_token || !admin_name.empty();
    caller.is_reader = caller.is_admin || reader_token || !reader_name.empty();
    // What proves most gives the name.
    if (admin_token) {
      caller.name = "token admin";
    } else if (!admin_name.empty()) {
      caller.name = CertificateName(admin_name);
    } else if (reader_token) {
      caller.name = "token reader";
    } else if (!reader_name.empty()) {
      caller.name = CertificateName(reader_name);
    } else if (!identities.empty()) {
      caller.name = CertificateName(identities.front());
    }
    return caller;
  }

 private:
  const bool has_roles_;
  const std::vector<std::string> admin_identities_;
  const std::vector<std::string> reader_identities_;
  TokenFile admin_tokens_;
  TokenFile reader_tokens_;
};

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::Create(const AccessOptions& options,
                                                                     Clock* clock) {
  for (const auto& identities : {options.admin_identities, options.reader_identities}) {
    if (std::find(identities.begin(), identities.end(), "") != identities.end()) {
      return absl::InvalidArgumentError("the name of a client certificate must not be empty");
    }
  }
  auto impl = std::make_unique<Impl>(options, clock);
  absl::Status status = impl->Load();
  if (!status.ok()) return status;
  return std::unique_ptr<AccessControl>(new AccessControl(std::move(impl)));
}

AccessControl::AccessControl(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AccessControl::~AccessControl() = default;

bool AccessControl::has_roles() const { return impl_->has_roles(); }

absl::StatusOr<Caller> AccessControl::Identify(absl::optional<absl::string_view> authorization,
                                               absl::Span<const std::string> identities,
                                               absl::string_view peer) const {
  return impl_->Identify(authorization, identities, peer);
}

absl::StatusOr<Caller> AccessControl::Identify(const grpc::ServerContextBase& context) const {
  const std::string peer = HostOfPeer(context.peer());
  if (!has_roles()) return impl_->Identify(absl::nullopt, {}, peer);
  const auto [begin, end] = context.client_metadata().equal_range(kAuthorization);
  absl::optional<absl::string_view> authorization;
  if (begin != end) {
    if (std::next(begin) != end) return BadToken("there are several authorizations");
    authorization = absl::string_view(begin->second.data(), begin->second.size());
  }
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  return impl_->Identify(authorization,
                         auth == nullptr ? std::vector<std::string>() : IdentitiesOf(*auth), peer);
}

std::string HostOfPeer(absl::string_view grpc_peer) {
  if (absl::StartsWith(grpc_peer, "unix")) return "unix";
  absl::string_view rest = grpc_peer;
  if (!absl::ConsumePrefix(&rest, "ipv4:")) absl::ConsumePrefix(&rest, "ipv6:");
  // gRPC writes the brackets of an IPv6 address as they stand in a URI.
  for (const auto& [open, close] :
       {std::pair<absl::string_view, absl::string_view>{"%5B", "%5D"}, {"[", "]"}}) {
    if (!absl::ConsumePrefix(&rest, open)) continue;
    return std::string(rest.substr(0, rest.find(close)));
  }
  return std::string(rest.substr(0, rest.rfind(':')));
}

}  // namespace ctlstore::rpc
