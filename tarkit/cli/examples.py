"""Examples for each command: a description, and the command line. The tests parse them."""

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("What is in this file?", "tarkit list app.tar"),
        ("Convert it.", "tarkit copy docker-archive:app.tar oci:layout:app"),
        ("Explain a command.", "tarkit help copy"),
    ),
    "copy": (
        ("Convert the output of docker save.", "tarkit copy docker-archive:app.tar oci:layout:app"),
        (
            "Pull all platforms of an image, with zstd layers.",
            "tarkit copy --all --compression zstd docker://alpine:3 oci-archive:alpine.tar:3",
        ),
        (
            "Put several images in one archive.",
            "tarkit copy docker://alpine:3 docker://busybox:1 docker-archive:images.tar",
        ),
    ),
    "sync": (
        (
            "Mirror the images of a list.",
            "tarkit sync list.yaml docker://registry.example/mirror/",
        ),
        (
            "How much would be transferred?",
            "tarkit sync --dry-run list.yaml docker://registry.example/mirror/",
        ),
        (
            "Fetch some tags of a repository.",
            "tarkit sync --tags '3.*' docker://alpine oci:layout",
        ),
    ),
    "list": (
        ("List the images in a file.", "tarkit list app.tar"),
        ("List the tags of a repository.", "tarkit list docker://alpine"),
    ),
    "inspect": (
        ("Show an image.", "tarkit inspect docker-archive:app.tar:app:1"),
        ("Print single fields.", "tarkit inspect --format '{{.Digest}}' docker://alpine:3"),
        ("Print the config as it is stored.", "tarkit inspect --config oci:layout:app"),
    ),
    "digest": (
        ("Which image does a tag mean now?", "tarkit digest docker://alpine:3"),
        ("Print the digest for each platform.", "tarkit digest --all docker://alpine:3"),
    ),
    "tag": (
        ("Give an image in a layout another name.", "tarkit tag oci:layout:app app-1.0"),
        ("Tag an image in a registry.", "tarkit tag docker://registry.example/app:1 latest"),
    ),
    "delete": (
        ("Delete an image and its blobs.", "tarkit delete oci:layout:app"),
        ("Delete a digest in a registry.", "tarkit delete docker://registry.example/app:1"),
    ),
    "index": (
        (
            "Combine images for two platforms.",
            "tarkit index create oci:layout:app docker-archive:amd64.tar docker-archive:arm64.tar",
        ),
        ("Remove a platform.", "tarkit index remove oci:layout:app linux/386"),
    ),
    "index create": (
        (
            "Combine images for two platforms.",
            "tarkit index create oci:layout:app docker-archive:amd64.tar docker-archive:arm64.tar",
        ),
        (
            "Publish such an image.",
            "tarkit index create docker://registry.example/app:1 oci:amd64:app oci:arm64:app",
        ),
    ),
    "index add": (
        ("Add or replace a platform.", "tarkit index add oci:layout:app docker-archive:arm64.tar"),
        ("Add an image from a registry.", "tarkit index add oci:layout:app docker://alpine:3"),
    ),
    "index remove": (
        ("Remove a platform.", "tarkit index remove oci:layout:app linux/386"),
        ("Remove two.", "tarkit index remove oci:layout:app linux/386 linux/arm/v6"),
    ),
    "annotate": (
        ("Set an annotation.", "tarkit annotate oci:layout:app org.example.owner=ops"),
        ("Remove one.", "tarkit annotate --remove org.example.owner oci:layout:app"),
    ),
    "prune": (
        ("Which blobs does no image use?", "tarkit prune --dry-run oci:layout"),
        ("Remove them.", "tarkit prune oci:layout"),
    ),
    "referrers": (
        ("List signatures and attestations.", "tarkit referrers docker://registry.example/app:1"),
        (
            "List SBOMs only.",
            "tarkit referrers --artifact-type application/spdx+json oci:layout:app",
        ),
    ),
    "manifest": (
        ("Print a manifest.", "tarkit manifest get docker://alpine:3"),
        ("Store one.", "tarkit manifest put oci:layout:app manifest.json"),
    ),
    "manifest get": (
        ("Print a manifest or index.", "tarkit manifest get docker://alpine:3"),
        (
            "Save the manifest for a platform.",
            "tarkit manifest get --platform linux/arm64 -o manifest.json docker://alpine:3",
        ),
    ),
    "manifest put": (
        ("Store a manifest in a layout.", "tarkit manifest put oci:layout:app manifest.json"),
        ("Read it from a pipe.", "tarkit manifest put docker://registry.example/app:1 -"),
    ),
    "blob": (
        (
            "Save a blob.",
            "tarkit blob get oci:layout sha256:"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 -o blob",
        ),
        ("Store one.", "tarkit blob put oci:layout layer.tar.gz"),
    ),
    "blob get": (
        (
            "Save a blob.",
            "tarkit blob get oci:layout sha256:"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 -o blob",
        ),
        (
            "Save a blob of a registry.",
            "tarkit blob get docker://alpine sha256:"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 -o blob",
        ),
    ),
    "blob put": (
        ("Store a file in a layout.", "tarkit blob put oci:layout layer.tar.gz"),
        ("Upload one.", "tarkit blob put docker://registry.example/app layer.tar.gz"),
    ),
    "catalog": (
        ("List the repositories of a registry.", "tarkit catalog registry.example"),
        ("Use a registry without TLS.", "tarkit catalog --no-tls-verify 127.0.0.1:5000"),
    ),
    "verify": (
        ("Check an archive.", "tarkit verify app.tar"),
        ("Check an image in a registry.", "tarkit verify docker://alpine:3"),
        ("Print the findings as JSON.", "tarkit verify --json oci:layout"),
    ),
    "ls": (
        ("List all files.", "tarkit ls docker-archive:app.tar"),
        ("List a directory.", "tarkit ls docker-archive:app.tar /etc"),
        ("Which layers hold the data?", "tarkit ls --layers docker-archive:app.tar"),
    ),
    "cat": (
        ("Print a file.", "tarkit cat docker-archive:app.tar /etc/os-release"),
        (
            "Print a file of another platform.",
            "tarkit cat --platform linux/arm64 docker://alpine:3 /etc/issue",
        ),
    ),
    "diff": (
        ("Compare two builds.", "tarkit diff docker-archive:old.tar docker-archive:new.tar"),
        ("Compare a file with a registry.", "tarkit diff app.tar docker://registry.example/app:1"),
    ),
    "rootfs": (
        ("Unpack an image.", "tarkit rootfs docker-archive:app.tar app/"),
        ("Write a tar.", "tarkit rootfs oci:layout:app app.tar.zst"),
        (
            "Add a file.",
            "tarkit rootfs --add motd:/etc/motd docker-archive:app.tar app.tar",
        ),
    ),
    "ext4": (
        ("Write a disk image.", "tarkit ext4 docker-archive:app.tar app.ext4"),
        (
            "As small as possible, read-only.",
            "tarkit ext4 --size min --profile ro docker-archive:app.tar app.ext4",
        ),
    ),
    "squashfs": (
        ("Write a squashfs image.", "tarkit squashfs docker-archive:app.tar app.squashfs"),
        (
            "Trust another authority.",
            "tarkit squashfs --ca-cert ca.pem docker-archive:app.tar app.squashfs",
        ),
    ),
    "erofs": (
        ("Write an erofs image.", "tarkit erofs docker-archive:app.tar app.erofs"),
        ("Leave out a directory.", "tarkit erofs --remove /usr/share/doc app.tar app.erofs"),
    ),
    "build": (
        (
            "Build an image from a Python function.",
            "tarkit build image.py --local context=. --output type=oci,dest=image.tar",
        ),
        ("Load the result into Docker.", "tarkit build image.py --output type=docker,dest=app.tar"),
        ("Show the steps of a build.", "tarkit build --print json image.py"),
    ),
    "serve": (
        ("Serve a layout for docker pull.", "tarkit serve --port 5000 oci:layout"),
        ("Accept pushes.", "tarkit serve --port 5000 --writable oci:layout"),
    ),
    "store": (
        ("List the images in the store.", "tarkit store list"),
        ("Check a store.", "tarkit store verify"),
    ),
    "store list": (
        ("List the images in the store.", "tarkit store list"),
        ("List the images in another store.", "tarkit store list --store /srv/store --json"),
    ),
    "store du": (
        ("How much does each ref take?", "tarkit store du -v"),
        ("Only the sources of builds.", "tarkit store du --filter type==source.local"),
    ),
    "store prune": (
        ("What would be removed, and why?", "tarkit store prune --dry-run --explain"),
        ("Keep 10 GB of the rest.", "tarkit store prune --keep-bytes 10GB"),
        ("Remove all unused refs.", "tarkit store prune --all"),
    ),
    "store verify": (
        ("Check names, sizes and documents.", "tarkit store verify"),
        ("Read and verify all content.", "tarkit store verify --deep"),
    ),
    "store remove": (
        ("Remove an image by its name.", "tarkit store remove alpine"),
        ("Remove the first image.", "tarkit store remove @0"),
    ),
    "store repair": (
        ("Rebuild a damaged database.", "tarkit store repair"),
        ("Print the result as JSON.", "tarkit store repair --json"),
    ),
    "store migrate": (
        ("Convert a store of an older version.", "tarkit store migrate old --store new"),
        ("Begin with the images of a layout.", "tarkit store migrate layout --store new"),
    ),
    "mount": (
        ("Mount an image.", "tarkit mount docker-archive:app.tar /mnt"),
        ("Until Ctrl-C.", "tarkit mount --foreground oci:layout:app /mnt"),
    ),
    "login": (
        ("Log in; prompts for the password.", "tarkit login -u user registry.example"),
        (
            "Log in without a prompt.",
            "tarkit login -u user --password-stdin registry.example <password.txt",
        ),
    ),
    "logout": (
        ("Log out.", "tarkit logout registry.example"),
        (
            "Remove credentials from a certain file.",
            "tarkit logout --authfile auth.json registry.example",
        ),
    ),
    "completion": (
        ("In bash.", "source <(tarkit completion bash)"),
        (
            "In fish, for all sessions.",
            "tarkit completion fish >~/.config/fish/completions/tarkit.fish",
        ),
        ("In zsh, after compinit.", "source <(tarkit completion zsh)"),
    ),
    "help": (
        ("Explain a command.", "tarkit help copy"),
        ("Explain a command of a command.", "tarkit help index create"),
    ),
}
