// How every ctlstore process logs.

#ifndef CTLSTORE_COMMON_BASE_LOGGING_H_
#define CTLSTORE_COMMON_BASE_LOGGING_H_

namespace ctlstore {

// Sends glog's lines to standard error, from the level that --log_level names. Call once, after the
// flags are parsed. A line is one event in the form `event=ldb_opened path=/x/ldb.db sequence=12`.
void InitLogging(const char* program);

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_BASE_LOGGING_H_
