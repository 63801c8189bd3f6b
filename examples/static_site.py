"""A web server image from a directory of pages, with compressed copies of the pages."""

import json

from tarkit import gateway, llb

CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "Entrypoint": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/srv"],
        "ExposedPorts": {"8080/tcp": {}},
        "User": "65534",
    },
    "rootfs": {"type": "layers", "diff_ids": []},
}


def build(client: gateway.Client) -> gateway.Result:
    """Compress the pages in a step of its own, so that a new page does not rebuild the server."""
    server = llb.scratch().file(
        llb.mkdir("/bin").copy(llb.local("tools"), "/busybox", "/bin/busybox", mode=0o755)
    )
    compress = "for page in $(/bin/busybox find /srv -type f); do /bin/busybox gzip -k $page; done"
    pages = llb.bind("/srv", llb.local("site"))
    step = server.run(["/bin/busybox", "sh", "-c", compress], mounts=[pages], network="none")
    site = llb.scratch().file(llb.copy(step.mount("/srv"), "/", "/srv/", contents_only=True))
    result = client.solve(llb.merge([server, site]))
    platform = client.platforms[0]
    config = CONFIG | {"architecture": platform.architecture}
    result.add_meta("containerimage.config", json.dumps(config).encode())
    return result
