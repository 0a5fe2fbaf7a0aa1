"""Libraries that the operating system's packages install, as Bazel targets.

Nothing is downloaded by the build: `./dev` installs Debian's development packages, and this
repository rule turns each entry of `libraries` into one `cc_library` of the repository, so that
no BUILD file knows a linker flag or a path.

An entry maps the target's name to the pkg-config modules behind it. An item that begins with
`-l` is passed to the linker as it is, for the few libraries that ship no .pc file. Header paths
are not handed on: every module used here installs below /usr/include, where the compiler looks
anyway, and sources name the folder (`#include <mariadb/mysql.h>`).
"""

def _linker_flags(ctx, pkg_config, items):
    flags = []
    for item in items:
        if item.startswith("-"):
            flags.append(item)
            continue
        result = ctx.execute([pkg_config, "--libs", item])
        if result.return_code != 0:
            fail("\nThe library '%s' is not installed (pkg-config: %s).\nRun './dev test' or './dev up' once: they install every package that the build needs." %
                 (item, result.stderr.strip()))
        for flag in result.stdout.strip().split(" "):
            if flag and flag not in flags:
                flags.append(flag)
    return flags

def _system_libraries_impl(ctx):
    pkg_config = ctx.which("pkg-config")
    if not pkg_config:
        fail("\npkg-config is not installed. Run './dev test' or './dev up' once: they install it.")
    rules = ["load(\"@rules_cc//cc:defs.bzl\", \"cc_library\")", "package(default_visibility = [\"//visibility:public\"])"]
    for name, items in ctx.attr.libraries.items():
        rules.append("cc_library(name = %r, linkopts = %r)" % (name, _linker_flags(ctx, pkg_config, items)))
    ctx.file("BUILD.bazel", "\n".join(rules) + "\n")

system_libraries = repository_rule(
    implementation = _system_libraries_impl,
    attrs = {"libraries": attr.string_list_dict(mandatory = True)},
    environ = ["PKG_CONFIG_PATH"],
    configure = True,
    local = True,
    doc = "One cc_library for each named group of the system's libraries.",
)
