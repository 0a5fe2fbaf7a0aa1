"""Generated code for the contracts, by the system's protoc and its gRPC plugins.

Bazel's own proto rules would build protoc from source, which is not there to be downloaded.
"""

load("@rules_cc//cc:defs.bzl", "cc_library")

def _outputs(protos, endings):
    return [proto[:-len(".proto")] + ending for proto in protos for ending in endings]

def cc_proto_contract(name, protos, services = []):
    """`NAME_proto` has the messages, and, where there are services, `NAME_grpc` has their stubs.

    Sources include them by the proto's own path: `#include "ctlstore/v1/value.pb.h"`.
    """
    native.genrule(
        name = name + "_proto_gen",
        srcs = protos,
        outs = _outputs(protos, [".pb.h", ".pb.cc"]),
        cmd = "protoc -I proto --cpp_out=$(RULEDIR) $(SRCS)",
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name + "_proto",
        srcs = _outputs(protos, [".pb.cc"]),
        hdrs = _outputs(protos, [".pb.h"]),
        # Generated code is not ours to keep free of warnings.
        copts = ["-w"],
        includes = ["."],
        deps = ["@system//:protobuf"],
    )
    if not services:
        return
    native.genrule(
        name = name + "_grpc_gen",
        srcs = protos,
        outs = _outputs(services, [".grpc.pb.h", ".grpc.pb.cc"]),
        cmd = "protoc -I proto --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(RULEDIR) " +
              " ".join(["$(location %s)" % service for service in services]),
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name + "_grpc",
        srcs = _outputs(services, [".grpc.pb.cc"]),
        hdrs = _outputs(services, [".grpc.pb.h"]),
        copts = ["-w"],
        includes = ["."],
        deps = [
            ":" + name + "_proto",
            "@system//:grpc",
        ],
    )

def py_proto_contract(name, protos, services):
    """The modules as files, e.g. `ctlstore/v1/value_pb2.py`; put `proto` on PYTHONPATH."""
    native.genrule(
        name = name,
        srcs = protos,
        outs = _outputs(protos, ["_pb2.py"]) + _outputs(services, ["_pb2_grpc.py"]),
        cmd = "protoc -I proto --python_out=$(RULEDIR) $(SRCS) && " +
              "protoc -I proto --plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin --grpc_out=$(RULEDIR) " +
              " ".join(["$(location %s)" % service for service in services]),
    )
