"""Two stages that build at the same time, and an image that is the merge of both."""

from tarkit import llb


def build() -> llb.State:
    """Return the merge: layers of the stages are used as they are, and nothing is copied."""
    tools = llb.scratch().file(
        llb.mkdir("/bin").copy(llb.local("tools"), "/busybox", "/bin/busybox", mode=0o755)
    )
    links = tools.run(
        ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin"], network="none"
    )
    manual = tools.run(
        [
            "/bin/busybox",
            "sh",
            "-c",
            "/bin/busybox mkdir /doc; /bin/busybox --list > /doc/commands",
        ],
        network="none",
    )
    # only the change of the second stage: both have the tools
    return llb.merge([links.root(), llb.diff(tools, manual.root())])
