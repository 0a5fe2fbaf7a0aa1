// What a process calls itself towards others.

#ifndef CTLSTORE_COMMON_RPC_INSTANCE_NAME_H_
#define CTLSTORE_COMMON_RPC_INSTANCE_NAME_H_

#include <string>

namespace ctlstore::rpc {

// "host/pid", for people who look at logs and states.
std::string InstanceName();

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_INSTANCE_NAME_H_
