#include "common/ctldb/mariadb_errors.h"

#include <mariadb/errmsg.h>
#include <mariadb/mysqld_error.h>

#include "absl/strings/str_cat.h"
#include "common/ctldb/connection_errors.h"

namespace ctlstore::ctldb {
namespace {

// Numbers that only MySQL has.
constexpr unsigned int kMysqlSessionWasKilled = 3169;
constexpr unsigned int kMysqlLockNowait = 3572;
constexpr unsigned int kMysqlClientInteractionTimeout = 4031;

bool IsClientError(unsigned int code) {
  return (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) ||
         (code >= CR_EVENT_CREATE_FAILED && code <= CR_MARIADB_LAST_ERROR);
}

MariadbError ClassifyClientError(unsigned int code, absl::string_view message,
                                 absl::string_view where) {
  MariadbError error;
  // Whatever the client library complains about, what is in flight on the connection is not known.
  error.connection_broken = true;
  error.transaction_lost = true;
  error.outcome_unknown = true;
  const std::string text =
      absl::StrCat("the connection to ", where, " failed: ", message, " (error ", code, ")");
  switch (code) {
    case CR_OUT_OF_MEMORY:
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_CANT_READ_CHARSET:
    case CR_NO_PREPARE_STMT:
    case CR_PARAMS_NOT_BOUND:
    case CR_INVALID_PARAMETER_NO:
    case CR_INVALID_BUFFER_USE:
    case CR_UNSUPPORTED_PARAM_TYPE:
    case CR_NO_DATA:
    case CR_NO_STMT_METADATA:
    case CR_NOT_IMPLEMENTED:
      error.status = absl::InternalError(text);
      break;
    case CR_NET_PACKET_TOO_LARGE:
      error.status = absl::InvalidArgumentError(text);
      break;
    default:
      error.status = DatabaseUnavailable(text);
  }
  return error;
}

}  // namespace

MariadbError ClassifyMariadbError(unsigned int code, absl::string_view message,
                                  absl::string_view where) {
  if (IsClientError(code)) return ClassifyClientError(code, message, where);

  MariadbError error;
  const auto text = [&](absl::string_view what) {
    return absl::StrCat(where, ": ", what, " (error ", code, ")");
  };
  switch (code) {
    // The server or the connection goes away.
    case ER_SERVER_SHUTDOWN:
    case ER_CONNECTION_KILLED:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_ERROR_ON_WRITE:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_NET_PACKETS_OUT_OF_ORDER:
    case ER_UNKNOWN_STMT_HANDLER:
    case kMysqlSessionWasKilled:
    case kMysqlClientInteractionTimeout:
      error.connection_broken = true;
      error.transaction_lost = true;
      error.outcome_unknown = true;
      error.status = DatabaseUnavailable(text("the server ended the connection"));
      return error;
    case ER_QUERY_INTERRUPTED:
    case ER_STATEMENT_TIMEOUT:
      error.transaction_lost = true;
      error.outcome_unknown = true;
      error.status = DatabaseUnavailable(text("the statement was interrupted by the server"));
      return error;
    case ER_ERROR_DURING_COMMIT:
      error.transaction_lost = true;
      error.outcome_unknown = true;
      error.status = absl::InternalError(text("the commit failed"));
      return error;
    case ER_CON_COUNT_ERROR:
    case ER_TOO_MANY_USER_CONNECTIONS:
    case ER_USER_LIMIT_REACHED:
      error.connection_broken = true;
      error.status = DatabaseUnavailable(text("the server has too many connections"));
      return error;
    case ER_HOST_IS_BLOCKED:
      error.connection_broken = true;
      error.status = DatabaseUnavailable(
          text("the server blocks this host after too many failed connections"));
      return error;
    // A primary that became a replica: another connection may find the new primary.
    case ER_OPTION_PREVENTS_STATEMENT:
    case ER_READ_ONLY_MODE:
      error.connection_broken = true;
      error.transaction_lost = true;
      error.status = DatabaseUnavailable(text("the server is read-only"));
      return error;
    // What a Galera node says while it is not part of its cluster: another connection may find one
    // that is. It refuses a COMMIT, too, but its part in the cluster may have been lost on the way.
    case ER_UNKNOWN_COM_ERROR:
      error.connection_broken = true;
      error.transaction_lost = true;
      error.outcome_unknown = true;
      error.status = DatabaseUnavailable(text("the server is not ready for statements"));
      return error;
    case ER_BAD_DB_ERROR:
      error.connection_broken = true;
      error.status = DatabaseUnavailable(text("there is no such database on the server"));
      return error;

    // Other transactions are in the way. ER_LOCK_DEADLOCK is also how Galera says, at any statement
    // or at the commit, that the cluster has preferred another node's transaction; nothing of this
    // one was committed.
    case ER_LOCK_WAIT_TIMEOUT:
    case ER_LOCK_DEADLOCK:
    case ER_LOCK_ABORTED:
    case ER_CHECKREAD:
    case ER_TABLE_DEF_CHANGED:
    case ER_NEED_REPREPARE:
    case ER_MAX_PREPARED_STMT_COUNT_REACHED:
    case kMysqlLockNowait:
      error.transaction_lost = true;
      error.status = DatabaseBusy(text(code == ER_LOCK_WAIT_TIMEOUT
                                           ? "another transaction held a lock for too long"
                                           : "another transaction is in the way"));
      return error;

    case ER_NO_SUCH_TABLE:
    case ER_BAD_TABLE_ERROR:
    case ER_NO_SUCH_TABLE_IN_ENGINE:
      error.status = TableMissing(text("there is no such table"));
      return error;

    case ER_DUP_ENTRY:
      error.status = absl::AlreadyExistsError(text("there is a row with this key already"));
      return error;
    case ER_TABLE_EXISTS_ERROR:
      error.status = absl::AlreadyExistsError(text("there is such a table already"));
      return error;
    case ER_DUP_FIELDNAME:
      error.status = absl::AlreadyExistsError(text("there is such a column already"));
      return error;

    case ER_DATA_TOO_LONG:
      error.status = absl::InvalidArgumentError(text("a value is too long for its column"));
      return error;
    case ER_WARN_DATA_OUT_OF_RANGE:
    case ER_DATA_OUT_OF_RANGE:
      error.status = absl::InvalidArgumentError(text("a number is out of its column's range"));
      return error;
    case ER_TRUNCATED_WRONG_VALUE_FOR_FIELD:
    case ER_TRUNCATED_WRONG_VALUE:
    case WARN_DATA_TRUNCATED:
    case ER_INVALID_CHARACTER_STRING:
      error.status = absl::InvalidArgumentError(text("a value does not fit its column's type"));
      return error;
    case ER_BAD_NULL_ERROR:
    case ER_NO_DEFAULT_FOR_FIELD:
      error.status = absl::InvalidArgumentError(text("a column that needs a value has none"));
      return error;
    case ER_NET_PACKET_TOO_LARGE:
    case ER_WARN_ALLOWED_PACKET_OVERFLOWED:
      error.connection_broken = true;
      error.transaction_lost = true;
      error.status = absl::InvalidArgumentError(
          text("a statement is larger than the server's max_allowed_packet"));
      return error;
    case ER_TOO_BIG_ROWSIZE:
      error.status = absl::InvalidArgumentError(
          text("a row of all these columns would be larger than the server can hold"));
      return error;
    case ER_TOO_LONG_KEY:
    case ER_TOO_MANY_KEY_PARTS:
      error.status =
          absl::InvalidArgumentError(text("the key would be larger than the server can hold"));
      return error;
    case ER_TOO_MANY_FIELDS:
    case ER_TOO_BIG_FIELDLENGTH:
      error.status = absl::InvalidArgumentError(
          text("the columns are more or larger than the server can hold"));
      return error;

    case ER_ACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
    case ER_HOST_NOT_PRIVILEGED:
      error.status = absl::PermissionDeniedError(text("the server denies access"));
      return error;

    case ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION:
      error.status = absl::FailedPreconditionError(text("the connection is for reading only"));
      return error;
    case ER_DISK_FULL:
    case ER_RECORD_FILE_FULL:
      error.status = absl::InternalError(text("the server has no space left"));
      return error;
    default:
      error.status = absl::InternalError(text("the statement failed"));
      return error;
  }
}

}  // namespace ctlstore::ctldb
