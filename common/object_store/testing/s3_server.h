// An S3 server of a test's own.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_TESTING_S3_SERVER_H_
#define CTLSTORE_COMMON_OBJECT_STORE_TESTING_S3_SERVER_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::object_store::testing {

// Runs s3rver with one empty bucket, on a free port of 127.0.0.1 and in a folder of its own, which
// goes with it. It verifies signatures and digests of bodies; s3_server.js has the details. Parts
// of an upload may have any size. The server ends with this process, whatever ends that.
// Thread-safe.
class S3Server {
 public:
  struct Options {
    std::string region = "us-east-1";
    // Where not empty, requests must have it.
    std::string session_token;
    // For TLS: PEM files.
    std::string certificate_file;
    std::string key_file;
  };

  // Returns when the server answers. NOT_FOUND where node or s3rver is not installed.
  static absl::StatusOr<std::unique_ptr<S3Server>> Start(const Options& options);
  static absl::StatusOr<std::unique_ptr<S3Server>> Start() { return Start(Options()); }
  ~S3Server();
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  // "http://127.0.0.1:port", or with https.
  const std::string& endpoint() const { return endpoint_; }
  int port() const { return port_; }
  std::string bucket() const { return "snapshots"; }
  std::string access_key_id() const { return "CTLSTORETESTKEY"; }
  std::string secret_access_key() const { return "a secret/with+signs="; }

  // The AWS_... variables by which this server is used, for this process or one that it starts.
  // None of the machine's own credentials are left among them.
  std::map<std::string, std::string> environment() const;
  // Sets them in this process. Before there are threads that look at the environment.
  void SetEnvironment() const;

  // `fault` is JSON as s3_server.js says: `{"method": "PUT", "times": 2, "status": 503}`.
  void AddFault(absl::string_view fault);
  void ClearFaults();
  // As it was at its start. Nothing may be under way.
  void Reset();

  struct Request {
    std::string method;
    // Path and query.
    std::string url;
    // By names in lower case.
    std::map<std::string, std::string> headers;
  };
  // Those that have come since the last call.
  std::vector<Request> TakeRequests();

 private:
  S3Server(std::string folder, const Options& options);

  absl::Status Launch();
  // Sends a command and returns the answer, both a line of JSON. Ends the process where the server
  // does not answer.
  std::string Command(const std::string& command);
  // Empty at the end.
  std::string ReadLine();

  const std::string folder_;
  const Options options_;
  std::string endpoint_;
  int port_ = 0;
  pid_t pid_ = 0;
  int to_server_ = -1;
  int from_server_ = -1;
};

}  // namespace ctlstore::object_store::testing

#endif  // CTLSTORE_COMMON_OBJECT_STORE_TESTING_S3_SERVER_H_
