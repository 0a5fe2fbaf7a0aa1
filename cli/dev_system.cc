#include "cli/dev_system.h"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/secret_file.h"
#include "common/base/clock.h"
#include "common/base/file_lock.h"
#include "common/ldb/reader.h"
#include "common/rpc/http_flags.h"
#include "common/rpc/instance_name.h"
#include "common/snapshot/location.h"
#include "executive/executive_server.h"
#include "heartbeat/heartbeat_flags.h"
#include "supervisor/supervisor_runner.h"
#include "supervisor/supervisor_server.h"

namespace ctlstore::cli {
namespace {

constexpr absl::Duration kReadyPoll = absl::Milliseconds(10);
constexpr absl::Duration kGrace = absl::Seconds(2);
// Heartbeats' writers on a shared system of record are told apart by this many of a secret's
// digits.
constexpr size_t kNameDigits = 8;

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  if (std::filesystem::create_directories(path, error)) {
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot make the folder ", path, ": ", error.message()));
}

// A folder's name for a system of record.
std::string FolderName(const ctldb::Target& target) {
  std::string name = target.ToString();
  for (char& c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return name;
}

// An address that cannot be used is for the caller to change.
absl::Status NameFlag(const absl::Status& status, const std::string& address,
                      absl::string_view flag) {
  if (!absl::StrContains(status.message(), address)) return status;
  if (absl::IsInvalidArgument(status)) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", status.message()));
  }
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(absl::StrCat(status.message(), "; choose another address with --",
                                             flag, "=HOST:PORT (port 0 takes a free one)"));
}

}  // namespace

class DevSystem::Impl {
 public:
  absl::Status Start(const Options& options) {
    absl::Status made = MakeFolder(options.data_dir);
    if (!made.ok()) return made;
    absl::StatusOr<std::unique_ptr<FileLock>> lock =
        FileLock::Open(absl::StrCat(options.data_dir, "/dev.lock"));
    if (!lock.ok()) return lock.status();
    lock_ = *std::move(lock);
    absl::Status locked = lock_->Lock(absl::ZeroDuration());
    if (!locked.ok()) {
      return absl::Status(locked.code(),
                          absl::StrCat("the data folder is in use: ", locked.message(),
                                       "; choose another one with --data_dir"));
    }

    writer_secret_path_ = absl::StrCat(options.data_dir, "/writer.secret");
    absl::StatusOr<std::string> writer_secret = ReadOrCreateSecret(writer_secret_path_);
    if (!writer_secret.ok()) return writer_secret.status();
    absl::StatusOr<std::string> heartbeat_secret =
        ReadOrCreateSecret(absl::StrCat(options.data_dir, "/heartbeat.secret"));
    if (!heartbeat_secret.ok()) return heartbeat_secret.status();

    ctldb_.kind = ctldb::Target::Kind::kSqlite;
    ctldb_.path = absl::StrCat(options.data_dir, "/ctldb.db");
    std::string ldb_folder = options.data_dir;
    if (options.ctldb.has_value()) {
      ctldb_ = *options.ctldb;
      absl::StrAppend(&ldb_folder, "/", FolderName(ctldb_));
    }
    ldb_path_ = absl::StrCat(ldb_folder, "/ldb.db");
    supervisor_ldb_path_ = absl::StrCat(ldb_folder, "/supervisor/ldb.db");
    snapshots_path_ = absl::StrCat(ldb_folder, "/snapshots");

    server_ = options.server;
    absl::Status prepared = PrepareOwnAccess(options.data_dir);
    if (!prepared.ok()) return prepared;
    absl::Status started = StartExecutive(options);
    if (!started.ok()) return started;
    started = StartReflector(options);
    if (!started.ok()) return started;
    started = StartSidecar(options);
    if (!started.ok()) return started;
    started = StartSupervisor(options);
    if (!started.ok()) return started;

    heartbeat::HeartbeatRunner::Options heartbeat_options = options.heartbeat;
    heartbeat_options.executive = own_executive_address();
    heartbeat_options.channel.token_file = server_.access.admin_token_file;
    heartbeat_options.credentials.writer = heartbeat::kDefaultWriter;
    if (options.ctldb.has_value()) {
      absl::StrAppend(&heartbeat_options.credentials.writer, "-",
                      heartbeat_secret->substr(0, kNameDigits));
    }
    heartbeat_options.credentials.secret = *std::move(heartbeat_secret);
    started_at_ = absl::Now();
    heartbeat_ = std::make_unique<heartbeat::HeartbeatRunner>(heartbeat_options);
    return absl::OkStatus();
  }

  ~Impl() { Stop(); }

  absl::Status WaitUntilReady(absl::Time deadline, absl::Notification* stop) {
    ldb::Reader reader(ldb_path_);
    while (true) {
      const absl::StatusOr<ldb::Position> position = reader.GetPosition();
      if (position.ok() && position->heartbeat_time.has_value() &&
          *position->heartbeat_time >= started_at_) {
        return absl::OkStatus();
      }
      if (Clock::Real()->SleepOrStop(kReadyPoll, stop)) {
        return absl::CancelledError("stopped before it was ready");
      }
      if (absl::Now() < deadline) continue;
      const absl::Status heartbeat = heartbeat_->state().last_error;
      const absl::Status reflector = reflector_->Status().front().error;
      return absl::DeadlineExceededError(
          !heartbeat.ok()   ? absl::StrCat("the heartbeat cannot write: ", heartbeat.message())
          : !reflector.ok() ? absl::StrCat("the reflector cannot go on: ", reflector.message())
                            : "the reflector is still catching up");
    }
  }

  std::string executive_address() const { return executive_->addresses().front(); }
  std::string sidecar_address() const { return sidecar_->addresses().front(); }
  std::string reflector_address() const { return reflector_server_->addresses().front(); }
  std::string executive_http_address() const { return executive_->http_address(); }
  std::string sidecar_http_address() const { return sidecar_->http_address(); }
  std::string supervisor_address() const { return supervisor_server_->addresses().front(); }
  const std::string& ldb_path() const { return ldb_path_; }
  const std::string& snapshots_path() const { return snapshots_path_; }
  const std::string& writer_secret_path() const { return writer_secret_path_; }
  const std::string& admin_token_path() const { return server_.access.admin_token_file; }
  std::string ctldb_name() const { return ctldb_.ToString(); }

  // Each before what it calls, so that nothing fails while it goes down.
  void Stop() {
    if (heartbeat_ != nullptr) heartbeat_->Stop();
    if (supervisor_ != nullptr) supervisor_->RequestStop();
    if (supervisor_server_ != nullptr) supervisor_server_->Shutdown(kGrace);
    if (supervisor_ != nullptr) supervisor_->Stop();
    if (sidecar_ != nullptr) sidecar_->Shutdown(kGrace);
    if (reflector_server_ != nullptr) reflector_server_->Shutdown(kGrace);
    if (reflector_ != nullptr) reflector_->Stop();
    if (executive_ != nullptr) executive_->Shutdown(kGrace);
    heartbeat_.reset();
    supervisor_server_.reset();
    supervisor_.reset();
    sidecar_.reset();
    executive_.reset();
    reflector_server_.reset();
    reflector_.reset();
    lock_.reset();
  }

 private:
  // The heartbeat and the reflector have to get in as well, whatever the servers ask of others.
  absl::Status PrepareOwnAccess(const std::string& data_dir) {
    const bool has_roles = rpc::ProtectionOf(server_).roles;
    if (has_roles && server_.access.admin_token_file.empty()) {
      server_.access.admin_token_file = absl::StrCat(data_dir, "/admin.token");
      const absl::StatusOr<std::string> token = ReadOrCreateSecret(server_.access.admin_token_file);
      if (!token.ok()) return token.status();
    }
    if (has_roles || server_.tls.enabled()) {
      own_socket_ = absl::StrCat("unix:", data_dir, "/executive.sock");
    }
    return absl::OkStatus();
  }

  absl::Status StartExecutive(const Options& options) {
    executive::ExecutiveServer::Options executive_options = options.executive;
    executive_options.ctldb = ctldb_;
    executive_options.connection = options.connection;
    executive_options.server = server_;
    executive_options.server.listen = {options.executive_listen};
    if (!own_socket_.empty()) executive_options.server.listen.push_back(own_socket_);
    executive_options.stop = options.stop;
    absl::StatusOr<std::unique_ptr<executive::ExecutiveServer>> server =
        executive::ExecutiveServer::Start(executive_options);
    if (!server.ok()) {
      return NameFlag(server.status(), options.executive_listen, "executive_listen");
    }
    executive_ = *std::move(server);
    return absl::OkStatus();
  }

  // Where there are two addresses the second one is for those in here.
  const std::string& own_executive_address() const { return executive_->addresses().back(); }

  // The supervisor's snapshots.
  snapshot::Location Snapshots() const {
    snapshot::Location location;
    location.store.path = snapshots_path_;
    return location;
  }

  // Of a reflector that keeps one local database.
  reflector::ReflectorRunner::Options ReflectorOptions(const Options& options,
                                                       const std::string& ldb_path) const {
    reflector::ReflectorRunner::Options reflector_options = options.reflector;
    reflector_options.upstreams.resize(2);
    reflector_options.upstreams[0].stream_address = own_executive_address();
    reflector_options.upstreams[1].ctldb = ctldb_;
    reflector_options.connection = options.connection;
    reflector_options.channel.token_file = server_.access.admin_token_file;
    reflector_options.ldbs = {{ldb_path, {}, ""}};
    reflector_options.snapshots = {Snapshots()};
    return reflector_options;
  }

  absl::Status StartReflector(const Options& options) {
    absl::StatusOr<std::unique_ptr<reflector::ReflectorRunner>> runner =
        reflector::ReflectorRunner::Start(ReflectorOptions(options, ldb_path_));
    if (!runner.ok()) return runner.status();
    reflector_ = *std::move(runner);
    rpc::ServerOptions server_options = server_;
    server_options.listen = {options.reflector_listen};
    absl::StatusOr<std::unique_ptr<reflector::ReflectorServer>> server =
        reflector::ReflectorServer::Start(server_options, reflector_.get(), reflector_->registry());
    if (!server.ok()) {
      return NameFlag(server.status(), options.reflector_listen, "reflector_listen");
    }
    reflector_server_ = *std::move(server);
    return absl::OkStatus();
  }

  absl::Status StartSupervisor(const Options& options) {
    supervisor::SupervisorRunner::Options supervisor_options;
    supervisor_options.reflector = ReflectorOptions(options, supervisor_ldb_path_);
    supervisor_options.supervisor = options.supervisor;
    supervisor_options.supervisor.taker.ldb_path = supervisor_ldb_path_;
    supervisor_options.supervisor.taker.instance = rpc::InstanceName();
    supervisor_options.supervisor.destinations = {Snapshots()};
    absl::StatusOr<std::unique_ptr<supervisor::SupervisorRunner>> runner =
        supervisor::SupervisorRunner::Start(supervisor_options);
    if (!runner.ok()) return runner.status();
    supervisor_ = *std::move(runner);
    rpc::ServerOptions server_options = server_;
    server_options.listen = {options.supervisor_listen};
    absl::StatusOr<std::unique_ptr<supervisor::SupervisorServer>> server =
        supervisor::SupervisorServer::Start(server_options, supervisor_->control(),
                                            supervisor_->reflector(), supervisor_->registry());
    if (!server.ok()) {
      return NameFlag(server.status(), options.supervisor_listen, "supervisor_listen");
    }
    supervisor_server_ = *std::move(server);
    return absl::OkStatus();
  }

  absl::Status StartSidecar(const Options& options) {
    sidecar::SidecarServer::Options sidecar_options = options.sidecar;
    sidecar_options.ldb_path = ldb_path_;
    sidecar_options.server = server_;
    sidecar_options.server.listen = {options.sidecar_listen};
    absl::StatusOr<absl::optional<rpc::HttpServer::Options>> http = rpc::HttpOptionsFromPort(
        "sidecar_http_port", options.sidecar_http_port, sidecar_options.server);
    if (!http.ok()) return NameFlag(http.status(), options.sidecar_listen, "sidecar_listen");
    sidecar_options.http = *std::move(http);
    absl::StatusOr<std::unique_ptr<sidecar::SidecarServer>> server =
        sidecar::SidecarServer::Start(sidecar_options);
    if (!server.ok()) return NameFlag(server.status(), options.sidecar_listen, "sidecar_listen");
    sidecar_ = *std::move(server);
    return absl::OkStatus();
  }

  std::unique_ptr<FileLock> lock_;
  rpc::ServerOptions server_;
  // The executive's second address, where it is needed.
  std::string own_socket_;
  ctldb::Target ctldb_;
  std::string ldb_path_;
  std::string supervisor_ldb_path_;
  std::string snapshots_path_;
  std::string writer_secret_path_;
  absl::Time started_at_;
  std::unique_ptr<executive::ExecutiveServer> executive_;
  std::unique_ptr<reflector::ReflectorRunner> reflector_;
  std::unique_ptr<reflector::ReflectorServer> reflector_server_;
  std::unique_ptr<sidecar::SidecarServer> sidecar_;
  std::unique_ptr<supervisor::SupervisorRunner> supervisor_;
  std::unique_ptr<supervisor::SupervisorServer> supervisor_server_;
  std::unique_ptr<heartbeat::HeartbeatRunner> heartbeat_;
};

absl::StatusOr<std::unique_ptr<DevSystem>> DevSystem::Start(const Options& options) {
  auto impl = std::make_unique<Impl>();
  absl::Status started = impl->Start(options);
  if (!started.ok()) return started;
  return std::unique_ptr<DevSystem>(new DevSystem(std::move(impl)));
}

DevSystem::DevSystem(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DevSystem::~DevSystem() = default;

absl::Status DevSystem::WaitUntilReady(absl::Time deadline, absl::Notification* stop) {
  return impl_->WaitUntilReady(deadline, stop);
}
std::string DevSystem::executive_address() const { return impl_->executive_address(); }
std::string DevSystem::sidecar_address() const { return impl_->sidecar_address(); }
std::string DevSystem::reflector_address() const { return impl_->reflector_address(); }
std::string DevSystem::executive_http_address() const { return impl_->executive_http_address(); }
std::string DevSystem::sidecar_http_address() const { return impl_->sidecar_http_address(); }
std::string DevSystem::supervisor_address() const { return impl_->supervisor_address(); }
const std::string& DevSystem::snapshots_path() const { return impl_->snapshots_path(); }
const std::string& DevSystem::ldb_path() const { return impl_->ldb_path(); }
const std::string& DevSystem::writer_secret_path() const { return impl_->writer_secret_path(); }
const std::string& DevSystem::admin_token_path() const { return impl_->admin_token_path(); }
std::string DevSystem::ctldb_name() const { return impl_->ctldb_name(); }
void DevSystem::Stop() { impl_->Stop(); }

}  // namespace ctlstore::cli
