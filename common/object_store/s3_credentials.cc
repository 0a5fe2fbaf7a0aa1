#include "common/object_store/s3_credentials.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/object_store/url_encoding.h"
#include "common/object_store/xml_reader.h"
#include "common/rpc/json_reader.h"

namespace ctlstore::object_store {
namespace {

// Keys are fetched again when they are good for no longer than this.
constexpr absl::Duration kRefreshBefore = absl::Minutes(5);
// How long an instance's session with its metadata service may last; one request needs it.
constexpr absl::string_view kMetadataSeconds = "300";
constexpr absl::string_view kContainerHost = "http://169.254.170.2";

HttpClientOptions ClientOptions(const std::string& ca_file) {
  HttpClientOptions options;
  options.ca_file = ca_file;
  // Services of the machine answer at once or are not there.
  options.connect_timeout = absl::Seconds(2);
  options.min_bytes_per_second = 0;
  options.stall_timeout = absl::Seconds(10);
  return options;
}

absl::Time ParseExpiry(absl::string_view text) {
  absl::Time time;
  std::string ignored;
  return absl::ParseTime(absl::RFC3339_full, text, &time, &ignored) ? time : absl::InfiniteFuture();
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  std::string token(absl::StripAsciiWhitespace(text.str()));
  if (!file || token.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the file with the AWS token, ", path, ", cannot be read or is empty"));
  }
  return token;
}

// What containers and instances answer: JSON with AccessKeyId, SecretAccessKey, Token, Expiration.
absl::StatusOr<AwsCredentials> FromJson(absl::string_view service, const std::string& text) {
  AwsCredentials credentials;
  const absl::StatusOr<rpc::JsonNode> json = rpc::ParseJson(text);
  if (json.ok() && json->kind == rpc::JsonNode::Kind::kObject) {
    for (const rpc::JsonNode& member : json->children) {
      if (member.kind != rpc::JsonNode::Kind::kString) continue;
      if (member.name == "AccessKeyId") credentials.access_key_id = member.text;
      if (member.name == "SecretAccessKey") credentials.secret_access_key = member.text;
      if (member.name == "Token") credentials.session_token = member.text;
      if (member.name == "Expiration") credentials.expires = ParseExpiry(member.text);
    }
  }
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return absl::UnavailableError(absl::StrCat(service, " answers without an access key"));
  }
  return credentials;
}

// Secrets go over http only to the machine itself.
bool MaySendTokenTo(absl::string_view url) {
  if (absl::StartsWith(url, "https://")) return true;
  if (!absl::StartsWith(url, "http://")) return false;
  absl::string_view host = url.substr(7);
  host = host.substr(0, host.find_first_of("/?#"));
  const bool is_v6 = absl::StartsWith(host, "[");
  host = host.substr(0, is_v6 ? host.find(']') + 1 : host.find(':'));
  static constexpr std::array<absl::string_view, 6> kOwn = {
      "localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
  return std::find(kOwn.begin(), kOwn.end(), host) != kOwn.end();
}

}  // namespace

S3Credentials::S3Credentials(AwsEnvironment environment, const std::string& region,
                             const std::string& ca_file, Clock* clock)
    : environment_(std::move(environment)),
      region_(region),
      clock_(clock),
      http_(NewHttpClient(ClientOptions(ca_file))) {}

absl::StatusOr<AwsCredentials> S3Credentials::Get() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_->Now();
  if (cached_.has_value() && cached_->expires - now > kRefreshBefore) return *cached_;
  absl::StatusOr<AwsCredentials> loaded = Load();
  if (!loaded.ok()) {
    // Those that expire soon are still good.
    if (cached_.has_value() && cached_->expires > now &&
        loaded.status().code() != absl::StatusCode::kCancelled) {
      return *cached_;
    }
    return loaded;
  }
  cached_.reset();
  if (loaded->expires != absl::InfiniteFuture()) cached_ = *loaded;
  return loaded;
}

void S3Credentials::Invalidate(const AwsCredentials& refused) {
  absl::MutexLock lock(&mutex_);
  if (cached_.has_value() && cached_->access_key_id == refused.access_key_id &&
      cached_->session_token == refused.session_token) {
    cached_.reset();
  }
}

void S3Credentials::Cancel() { http_->Cancel(); }

absl::StatusOr<AwsCredentials> S3Credentials::Load() {
  AwsCredentials credentials;
  credentials.access_key_id = environment_("AWS_ACCESS_KEY_ID");
  credentials.secret_access_key = environment_("AWS_SECRET_ACCESS_KEY");
  credentials.session_token = environment_("AWS_SESSION_TOKEN");
  if (!credentials.access_key_id.empty() && !credentials.secret_access_key.empty()) {
    return credentials;
  }
  if (!credentials.access_key_id.empty() || !credentials.secret_access_key.empty()) {
    return absl::PermissionDeniedError(
        "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set");
  }

  const std::string token_file = environment_("AWS_WEB_IDENTITY_TOKEN_FILE");
  const std::string role = environment_("AWS_ROLE_ARN");
  if (!token_file.empty() && !role.empty()) {
    return FromWebIdentity(token_file, role, environment_("AWS_ROLE_SESSION_NAME"));
  }

  absl::StatusOr<AwsProfile> profile = ReadAwsProfile(environment_);
  if (!profile.ok()) return profile.status();
  credentials.access_key_id = (*profile)["aws_access_key_id"];
  credentials.secret_access_key = (*profile)["aws_secret_access_key"];
  credentials.session_token = (*profile)["aws_session_token"];
  if (!credentials.access_key_id.empty() && !credentials.secret_access_key.empty()) {
    return credentials;
  }
  if (!(*profile)["web_identity_token_file"].empty() && !(*profile)["role_arn"].empty()) {
    return FromWebIdentity((*profile)["web_identity_token_file"], (*profile)["role_arn"],
                           (*profile)["role_session_name"]);
  }
  for (const char* setting : {"credential_process", "sso_session", "sso_start_url",
                              "source_profile", "credential_source"}) {
    if (!(*profile)[setting].empty()) {
      return absl::PermissionDeniedError(
          absl::StrCat("the AWS profile gets its keys by ", setting,
                       ", which is not supported: put keys into the environment or the file"));
    }
  }

  const std::string relative = environment_("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  if (!relative.empty()) return FromContainer(absl::StrCat(kContainerHost, relative));
  const std::string full = environment_("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!full.empty()) return FromContainer(full);

  return FromInstance();
}

absl::StatusOr<std::string> S3Credentials::Ask(absl::string_view service,
                                               const HttpRequest& request) {
  absl::StatusOr<HttpResponse> response = http_->Send(request);
  if (!response.ok()) {
    if (response.status().code() == absl::StatusCode::kCancelled) return response.status();
    return absl::UnavailableError(absl::StrCat(service, ": ", response.status().message()));
  }
  if (response->status == 200) return std::move(response->body);
  const std::string message =
      absl::StrCat(service, " answers with the HTTP status ", response->status);
  if (response->status >= 500 || response->status == 429) return absl::UnavailableError(message);
  return absl::PermissionDeniedError(message);
}

absl::StatusOr<AwsCredentials> S3Credentials::FromWebIdentity(const std::string& token_file,
                                                              const std::string& role,
                                                              const std::string& session) {
  constexpr absl::string_view kService = "AWS's security token service";
  const absl::StatusOr<std::string> token = ReadToken(token_file);
  if (!token.ok()) return token.status();
  std::string endpoint = environment_("AWS_ENDPOINT_URL_STS");
  if (endpoint.empty()) {
    endpoint = absl::StrCat("https://sts.", region_, ".amazonaws.com",
                            absl::StartsWith(region_, "cn-") ? ".cn" : "");
  }
  const std::string body =
      absl::StrCat("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=", UrlEncode(role),
                   "&RoleSessionName=", UrlEncode(session.empty() ? "ctlstore" : session),
                   "&WebIdentityToken=", UrlEncode(*token));
  HttpRequest request;
  request.method = "POST";
  request.url = absl::StrCat(endpoint, absl::EndsWith(endpoint, "/") ? "" : "/");
  request.headers = {{"content-type", "application/x-www-form-urlencoded"}};
  request.body = body;
  const absl::StatusOr<std::string> answer = Ask(kService, request);
  if (!answer.ok()) return answer.status();
  const absl::StatusOr<XmlElement> xml = ParseXml(*answer);
  const XmlElement* found = nullptr;
  if (xml.ok()) found = xml->child("AssumeRoleWithWebIdentityResult");
  if (found != nullptr) found = found->child("Credentials");
  if (found == nullptr || found->text_of("AccessKeyId").empty() ||
      found->text_of("SecretAccessKey").empty()) {
    return absl::UnavailableError(absl::StrCat(kService, " answers without an access key"));
  }
  AwsCredentials credentials;
  credentials.access_key_id = std::string(found->text_of("AccessKeyId"));
  credentials.secret_access_key = std::string(found->text_of("SecretAccessKey"));
  credentials.session_token = std::string(found->text_of("SessionToken"));
  credentials.expires = ParseExpiry(found->text_of("Expiration"));
  return credentials;
}

absl::StatusOr<AwsCredentials> S3Credentials::FromContainer(const std::string& url) {
  constexpr absl::string_view kService = "the container's credentials service";
  if (!MaySendTokenTo(url)) {
    return absl::PermissionDeniedError(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine");
  }
  HttpRequest request;
  request.url = url;
  request.direct = true;
  std::string token = environment_("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  const std::string token_file = environment_("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  if (!token_file.empty()) {
    absl::StatusOr<std::string> read = ReadToken(token_file);
    if (!read.ok()) return read.status();
    token = *std::move(read);
  }
  if (!token.empty()) request.headers.emplace_back("authorization", token);
  const absl::StatusOr<std::string> answer = Ask(kService, request);
  if (!answer.ok()) return answer.status();
  return FromJson(kService, *answer);
}

absl::StatusOr<AwsCredentials> S3Credentials::FromInstance() {
  constexpr absl::string_view kService = "the instance's metadata service";
  constexpr absl::string_view kNowhere =
      "there are no AWS credentials: none in the environment, none in the configuration files, no "
      "container's, and ";
  if (absl::EqualsIgnoreCase(environment_("AWS_EC2_METADATA_DISABLED"), "true")) {
    return absl::PermissionDeniedError(
        absl::StrCat(kNowhere, "AWS_EC2_METADATA_DISABLED forbids to look for an instance's"));
  }
  std::string endpoint = environment_("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (endpoint.empty()) {
    endpoint =
        absl::EqualsIgnoreCase(environment_("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6")
            ? "http://[fd00:ec2::254]"
            : "http://169.254.169.254";
  }
  while (absl::EndsWith(endpoint, "/")) endpoint.pop_back();
  const auto request = [&endpoint](absl::string_view method, absl::string_view path) {
    HttpRequest made;
    made.method = std::string(method);
    made.url = absl::StrCat(endpoint, "/latest/", path);
    made.direct = true;
    return made;
  };

  HttpRequest session = request("PUT", "api/token");
  session.headers = {{"x-aws-ec2-metadata-token-ttl-seconds", std::string(kMetadataSeconds)}};
  const absl::StatusOr<HttpResponse> token = http_->Send(session);
  if (!token.ok()) {
    if (token.status().code() == absl::StatusCode::kCancelled) return token.status();
    return absl::PermissionDeniedError(
        absl::StrCat(kNowhere, kService, " does not answer: ", token.status().message()));
  }
  if (token->status != 200 || token->body.empty()) {
    const std::string message =
        absl::StrCat(kService, " answers with the HTTP status ", token->status);
    if (token->status >= 500 || token->status == 429) return absl::UnavailableError(message);
    return absl::PermissionDeniedError(absl::StrCat(kNowhere, message));
  }
  constexpr absl::string_view kRoles = "meta-data/iam/security-credentials/";
  const std::pair<std::string, std::string> header = {"x-aws-ec2-metadata-token", token->body};
  HttpRequest roles = request("GET", kRoles);
  roles.headers = {header};
  const absl::StatusOr<std::string> names = Ask(kService, roles);
  if (!names.ok()) {
    if (names.status().code() != absl::StatusCode::kPermissionDenied) return names.status();
    return absl::PermissionDeniedError(
        absl::StrCat(kNowhere, "the instance has no role (", names.status().message(), ")"));
  }
  const std::string role(
      absl::StripAsciiWhitespace(absl::string_view(*names).substr(0, names->find('\n'))));
  if (role.empty()) {
    return absl::PermissionDeniedError(absl::StrCat(kNowhere, "the instance has no role"));
  }
  HttpRequest keys = request("GET", absl::StrCat(kRoles, UrlEncode(role)));
  keys.headers = {header};
  const absl::StatusOr<std::string> answer = Ask(kService, keys);
  if (!answer.ok()) return answer.status();
  return FromJson(kService, *answer);
}

}  // namespace ctlstore::object_store
