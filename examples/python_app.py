"""A Python application, installed from wheels without a network; pip keeps its cache between builds."""

from tarkit import gateway, llb


def build(client: gateway.Client) -> llb.State:
    """Install the application that the build argument APP names."""
    app = client.build_opts().build_args["APP"]
    python = llb.local("python")
    mounts = [
        llb.bind("/wheels", llb.local("wheels"), readonly=True),
        llb.cache("/root/.cache/pip", "pip", sharing="locked"),
    ]
    install = f"pip=$(echo /wheels/pip-*.whl); exec python3 $pip/pip install --target /app {app}"
    options = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "PIP_ROOT_USER_ACTION": "ignore"}
    step = python.run(["sh", "-c", install], mounts=mounts, env=options, network="none")
    return step.root().env("PYTHONPATH", "/app")
