// Fields as they are written on a command line.

#ifndef CTLSTORE_CLI_FIELD_LIST_H_
#define CTLSTORE_CLI_FIELD_LIST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {

// "code:string". A usage error says which types there are.
absl::StatusOr<Field> ParseField(absl::string_view text);

// "code:string,name:text"; empty parts are passed over.
absl::StatusOr<std::vector<Field>> ParseFieldList(absl::string_view text);

// "a,b"; empty parts are passed over.
std::vector<std::string> ParseNameList(absl::string_view text);

}  // namespace ctlstore::cli

#endif  // CTLSTORE_CLI_FIELD_LIST_H_
