#include "common/object_store/s3_answers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/object_store/url_encoding.h"
#include "common/object_store/xml_reader.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

constexpr size_t kMaxMessage = 300;

std::string Printable(absl::string_view text) {
  std::string printable(text.substr(0, kMaxMessage));
  for (char& c : printable) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = ' ';
  }
  return printable;
}

bool ParseSize(absl::string_view text, int64_t* size) {
  return absl::SimpleAtoi(text, size) && *size >= 0;
}

absl::StatusOr<XmlElement> ParseAnswer(absl::string_view xml, absl::string_view root) {
  absl::StatusOr<XmlElement> parsed = ParseXml(xml);
  if (!parsed.ok()) return absl::UnavailableError(parsed.status().message());
  if (parsed->name != root) {
    return absl::UnavailableError(
        absl::StrCat("the answer is not a ", root, " but a ", Printable(parsed->name)));
  }
  return parsed;
}

std::string Decoded(const XmlElement& page, absl::string_view text) {
  return page.text_of("EncodingType") == "url" ? UrlDecodeForm(text) : std::string(text);
}

absl::Time ParseIsoTime(absl::string_view text, absl::Time otherwise) {
  absl::Time time;
  std::string ignored;
  return absl::ParseTime(absl::RFC3339_full, text, &time, &ignored) ? time : otherwise;
}

}  // namespace

bool S3Error::passing() const {
  static const auto* const kCodes =
      new std::set<std::string>{// What S3 asks to be tried again.
                                "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown",
                                "Throttling", "ThrottlingException", "RequestLimitExceeded",
                                "OperationAborted", "ConditionalRequestConflict",
                                // Bytes that were lost or changed under way.
                                "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"};
  if (kCodes->count(code) > 0) return true;
  return http_status == 429 || http_status == 408 ||
         (http_status >= 500 && http_status != 501 && http_status != 507);
}

bool S3Error::credentials_expired() const {
  return code == "ExpiredToken" || code == "ExpiredTokenException" ||
         code == "TokenRefreshRequired" || code == "InvalidToken" || code == "InvalidAccessKeyId";
}

std::string S3Error::ToString() const {
  return absl::StrCat(code, code.empty() || message.empty() ? "" : ": ", message,
                      code.empty() && message.empty() ? "" : " ", "(HTTP status ", http_status,
                      ")");
}

absl::Status S3Error::ToStatus(absl::string_view what, absl::string_view region_used) const {
  const std::string text = absl::StrCat(what, ToString());
  const bool is_redirect = http_status >= 300 && http_status < 400;
  if (!region.empty() && region != region_used &&
      (is_redirect || http_status == 400 || http_status == 403)) {
    return absl::PermissionDeniedError(absl::StrCat(text, "; the bucket is in the region ", region,
                                                    ", not in ", region_used,
                                                    ": set --s3_region or AWS_REGION"));
  }
  if (is_redirect) {
    return absl::PermissionDeniedError(absl::StrCat(text, "; the bucket is not in the region ",
                                                    region_used, " or not at this endpoint"));
  }
  if (code == "QuotaExceeded" || code == "XMinioStorageFull" || code == "EntityTooLarge") {
    return absl::ResourceExhaustedError(text);
  }
  if (credentials_expired() || code == "AuthorizationHeaderMalformed") {
    return absl::PermissionDeniedError(text);
  }
  switch (http_status) {
    case 401:
    case 403:
      return absl::PermissionDeniedError(text);
    case 404:
      return absl::NotFoundError(text);
    case 412:
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, reason::kObjectChanged, text);
    case 416:
      return absl::OutOfRangeError(text);
    case 501:
      return absl::UnimplementedError(text);
    case 507:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::optional<S3Error> ErrorIn(const HttpResponse& response) {
  const bool is_success = response.status >= 200 && response.status < 300;
  if (is_success && !absl::StrContains(response.body, "<Error>")) return absl::nullopt;
  const absl::StatusOr<XmlElement> xml = ParseXml(response.body);
  if (is_success && (!xml.ok() || xml->name != "Error")) return absl::nullopt;
  S3Error error;
  error.http_status = response.status;
  error.region = Printable(response.header("x-amz-bucket-region"));
  if (xml.ok() && xml->name == "Error") {
    error.code = Printable(xml->text_of("Code"));
    error.message = Printable(xml->text_of("Message"));
    if (error.region.empty()) error.region = Printable(xml->text_of("Region"));
  }
  return error;
}

absl::StatusOr<S3ObjectPage> ParseObjectPage(absl::string_view xml) {
  const absl::StatusOr<XmlElement> root = ParseAnswer(xml, "ListBucketResult");
  if (!root.ok()) return root.status();
  S3ObjectPage page;
  for (const XmlElement& each : root->children) {
    if (each.name != "Contents") continue;
    ObjectInfo object;
    object.key = Decoded(*root, each.text_of("Key"));
    object.version = std::string(each.text_of("ETag"));
    object.modified = ParseIsoTime(each.text_of("LastModified"), absl::InfinitePast());
    if (object.key.empty() || !ParseSize(each.text_of("Size"), &object.size)) {
      return absl::UnavailableError("the list has an object without a key or a size");
    }
    page.objects.push_back(std::move(object));
  }
  page.next = std::string(root->text_of("NextContinuationToken"));
  if (root->text_of("IsTruncated") == "true" && page.next.empty()) {
    return absl::UnavailableError("the list is cut off and does not say where it goes on");
  }
  if (root->text_of("IsTruncated") != "true") page.next.clear();
  return page;
}

absl::StatusOr<S3UploadPage> ParseUploadPage(absl::string_view xml) {
  const absl::StatusOr<XmlElement> root = ParseAnswer(xml, "ListMultipartUploadsResult");
  if (!root.ok()) return root.status();
  S3UploadPage page;
  for (const XmlElement& each : root->children) {
    if (each.name != "Upload") continue;
    S3Upload upload;
    upload.key = Decoded(*root, each.text_of("Key"));
    upload.id = std::string(each.text_of("UploadId"));
    upload.initiated = ParseIsoTime(each.text_of("Initiated"), absl::InfiniteFuture());
    page.uploads.push_back(std::move(upload));
  }
  page.truncated = root->text_of("IsTruncated") == "true";
  page.next_key = Decoded(*root, root->text_of("NextKeyMarker"));
  page.next_id = std::string(root->text_of("NextUploadIdMarker"));
  return page;
}

absl::StatusOr<std::string> ParseUploadId(absl::string_view xml) {
  const absl::StatusOr<XmlElement> root = ParseAnswer(xml, "InitiateMultipartUploadResult");
  if (!root.ok()) return root.status();
  if (root->text_of("UploadId").empty()) {
    return absl::UnavailableError("the upload was begun without an id");
  }
  return std::string(root->text_of("UploadId"));
}

absl::StatusOr<ObjectInfo> ParseObjectHeaders(const HttpResponse& response) {
  ObjectInfo object;
  if (!ParseSize(response.header("content-length"), &object.size)) {
    return absl::UnavailableError("the answer does not tell the object's size");
  }
  object.version = std::string(response.header("etag"));
  std::string ignored;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", response.header("last-modified"),
                       &object.modified, &ignored)) {
    object.modified = absl::InfinitePast();
  }
  constexpr absl::string_view kPrefix = "x-amz-meta-";
  for (const auto& [name, value] : response.headers) {
    if (absl::StartsWith(name, kPrefix)) object.metadata[name.substr(kPrefix.size())] = value;
  }
  return object;
}

absl::optional<ContentRange> ParseContentRange(absl::string_view text) {
  ContentRange range;
  if (!absl::ConsumePrefix(&text, "bytes ")) return absl::nullopt;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('/', 1));
  if (parts.second != "*" && !ParseSize(parts.second, &range.size)) return absl::nullopt;
  if (parts.first == "*") return range;
  const std::pair<absl::string_view, absl::string_view> ends =
      absl::StrSplit(parts.first, absl::MaxSplits('-', 1));
  if (!ParseSize(ends.first, &range.first) || !ParseSize(ends.second, &range.last) ||
      range.last < range.first) {
    return absl::nullopt;
  }
  return range;
}

absl::string_view Md5InEtag(absl::string_view etag) {
  absl::ConsumePrefix(&etag, "\"");
  absl::ConsumeSuffix(&etag, "\"");
  const bool is_md5 =
      etag.size() == 32 && std::all_of(etag.begin(), etag.end(), [](char c) {
        return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
      });
  return is_md5 ? etag : absl::string_view();
}

}  // namespace ctlstore::object_store
