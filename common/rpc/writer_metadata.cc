#include "common/rpc/writer_metadata.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/schema/errors.h"

namespace ctlstore::rpc {
namespace {

constexpr char kWriter[] = "ctlstore-writer";
constexpr char kSecret[] = "ctlstore-secret";
constexpr char kBinarySuffix[] = "-bin";

// Whether an entry without the binary suffix keeps the value as it is on every way that it may
// take: blanks at either end can be lost.
bool IsPlain(absl::string_view value) {
  return !value.empty() && value.front() != ' ' && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(),
                     [](unsigned char c) { return absl::ascii_isprint(c); });
}

void Add(const char* name, absl::string_view value, grpc::ClientContext* context) {
  context->AddMetadata(IsPlain(value) ? std::string(name) : absl::StrCat(name, kBinarySuffix),
                       std::string(value));
}

absl::optional<std::string> Find(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                                 const char* name) {
  const std::string binary_name = absl::StrCat(name, kBinarySuffix);
  auto entry = metadata.find(binary_name);
  if (entry == metadata.end()) entry = metadata.find(name);
  if (entry == metadata.end()) return absl::nullopt;
  return std::string(entry->second.data(), entry->second.size());
}

}  // namespace

void AddWriterCredentials(absl::string_view writer, absl::string_view secret,
                          grpc::ClientContext* context) {
  Add(kWriter, writer, context);
  Add(kSecret, secret, context);
}

absl::StatusOr<WriterCredentials> GetWriterCredentials(const grpc::ServerContextBase& context) {
  absl::optional<std::string> writer = Find(context.client_metadata(), kWriter);
  absl::optional<std::string> secret = Find(context.client_metadata(), kSecret);
  if (!writer.has_value() || !secret.has_value()) {
    return ErrorWithReason(
        absl::StatusCode::kUnauthenticated, reason::kBadCredentials,
        absl::StrCat("the call needs the metadata entries ", kWriter, " and ", kSecret, "; ",
                     writer.has_value() || secret.has_value()
                         ? absl::StrCat(writer.has_value() ? kSecret : kWriter, " is missing")
                         : "both are missing"));
  }
  return WriterCredentials{*std::move(writer), *std::move(secret)};
}

}  // namespace ctlstore::rpc
