"""Packages from npm's registry that tests run, as one file.

The lock file names each package's version and digest, so that everybody has the same ones. They
become `node_modules.tar`, and the `node` that is installed is beside it. Where there is no npm, or
no registry to be reached, the build goes on with an empty group, and only tests that need it fail.
"""

def _warn(ctx, reason):
    # What a rule prints comes up wherever the repository is fetched.
    # buildifier: disable=print
    print("\nThe npm packages of @%s are not there: %s. Tests that run them will fail.\nOnce npm is installed and the registry can be reached: bazel sync --only=%s" %
          (ctx.name, reason, ctx.name))

def _npm_packages_impl(ctx):
    ctx.file("BUILD.bazel", """filegroup(
    name = "files",
    srcs = glob(["node", "node_modules.tar"]),
    visibility = ["//visibility:public"],
)
""")
    npm = ctx.which("npm")
    node = ctx.which("node")
    if not npm or not node:
        _warn(ctx, "npm and node are not installed (Debian's packages npm and nodejs)")
        return
    for file in [ctx.attr.package, ctx.attr.lock]:
        ctx.file("packages/" + file.name, ctx.read(file))
    result = ctx.execute(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        timeout = 300,
        working_directory = "packages",
    )
    if result.return_code != 0:
        _warn(ctx, "npm ci failed: " + result.stderr.strip()[-1000:])
        return

    # The same bytes wherever it is made.
    result = ctx.execute(
        ["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cf", "../node_modules.tar", "node_modules"],
        working_directory = "packages",
    )
    ctx.delete("packages")
    if result.return_code != 0:
        fail("tar failed: " + result.stderr)
    ctx.symlink(node, "node")

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    attrs = {
        "package": attr.label(mandatory = True, allow_single_file = True),
        "lock": attr.label(mandatory = True, allow_single_file = True),
    },
    doc = "The packages that a package-lock.json names.",
)
