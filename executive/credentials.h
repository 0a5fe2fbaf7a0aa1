// How a writer proves who it is.

#ifndef CTLSTORE_EXECUTIVE_CREDENTIALS_H_
#define CTLSTORE_EXECUTIVE_CREDENTIALS_H_

#include <string>

namespace ctlstore::executive {

struct Credentials {
  std::string writer;
  std::string secret;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_CREDENTIALS_H_
