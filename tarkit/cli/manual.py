"""The manual: the text of each command's help, of the man page and of the command reference."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

import typer
from typer.core import TyperGroup

from tarkit.cli.examples import EXAMPLES
from tarkit.cli.failures import EXIT_CODES, INTERRUPTED
from tarkit.cli.familiar import HIDDEN
from tarkit.values import dataclass

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Images": ("all_platforms", "every", "all_images", "platform", "sparse", "tags", "referrers", "shard"),
    "Names": ("tag", "prefix", "scoped"),
    "Layers": ("compression", "compression_level", "preserve_digests", "fetch_foreign", "docker_format"),
    "Checks": ("verify_existing", "verify_diff_ids", "follow_links"),
    "Files": ("add", "remove", "ca_cert"),
    "Registry": ("creds", "src_creds", "dest_creds", "authfile", "tls_verify", "cert_dir"),
    "Output": ("digest_file", "json_output", "quiet", "verbose", "debug", "version", "help"),
}  # fmt: skip
"""The groups of options in the help; the others are listed first."""

ENVIRONMENT = (
    ("TMPDIR", "Directory for temporary files."),
    ("TARKIT_DEBUG", "If set, errors show a traceback, as with --debug."),
    ("SOURCE_DATE_EPOCH", "Time stamp, in seconds since 1970, for files that have none."),
    ("DOCKER_HOST, DOCKER_CONTEXT", "Docker daemon, as for docker."),
    ("DOCKER_TLS_VERIFY, DOCKER_CERT_PATH", "TLS to the Docker daemon, as for docker."),
    ("REGISTRY_AUTH_FILE", "Credentials file, as with --authfile."),
    ("DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME", "Directories with credentials files."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Trusted certificates, instead of the system's."),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "Proxies for registries."),
    ("SSH_AUTH_SOCK", "SSH agent, for build --ssh."),
)

_CODES = {
    "UsageError": "invalid options or locations",
    "NotFoundError": "not found",
    "VerificationError": "verification failed",
    "AuthenticationError": "credentials are missing or wrong",
    "RefusedError": "refused",
    "TarkitError": "another error",
}
EXITS = (
    ("0", "done"),
    *sorted((str(code), _CODES[kind.__name__]) for kind, code in EXIT_CODES),
    (str(INTERRUPTED), "interrupted"),
)

_METAVARS = {"<path>": "PATH", "<int>": "N", "<int range>": "N", "<str>": "TEXT"}
_TERM_WIDTH = 30  # columns, beyond which the description begins on the next line

Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """The manual of one command. Sections and examples are rows of a term and its description."""

    path: str
    usage: str
    description: tuple[str, ...]
    sections: tuple[tuple[str, tuple[Row, ...]], ...]
    examples: tuple[Row, ...]

    @property
    def summary(self) -> str:
        """The first sentence of the description."""
        return _first_sentence(self.description[0])


def page_of(command: Any, context: Any) -> Page:
    """Return the page of *command*, which runs in *context*."""
    path = context.command_path
    text = (command.help or "").strip().split("\n\n")
    return Page(
        path=path,
        usage=_usage(command, context),
        description=tuple(" ".join(paragraph.split()) for paragraph in text),
        sections=tuple(_sections(command, context)),
        examples=EXAMPLES.get(path.partition(" ")[2], ()),
    )


def pages_of(app: Any) -> list[Page]:
    """Return the pages of *app* and of all its commands, in the order of the help."""
    return list(_pages(app, typer.Context(app, info_name="tarkit", **app.context_settings)))


def _pages(command: Any, context: Any) -> Iterator[Page]:
    yield page_of(command, context)
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _pages(below, typer.Context(below, info_name=name, parent=context))


def _usage(command: Any, context: Any) -> str:
    pieces = ["[OPTIONS]"]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            pieces.append(_metavar(parameter, context))
    if isinstance(command, TyperGroup):
        pieces.append("COMMAND ...")
    return " ".join((context.command_path, *pieces))


def _metavar(argument: Any, context: Any) -> str:
    name: str = argument.make_metavar(context)
    return name.strip("{}")


def _sections(command: Any, context: Any) -> Iterator[tuple[str, tuple[Row, ...]]]:
    if isinstance(command, TyperGroup):
        yield "Commands", tuple(_commands(command, context))
    parameters = command.get_params(context)
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    if arguments:
        rows = ((_metavar(p, context), p.help or "") for p in arguments)
        yield "Arguments", tuple(rows)
    groups: dict[str, list[Row]] = {"Options": [], **{name: [] for name in GROUPS}}
    of = {option: group for group, options in GROUPS.items() for option in options}
    for option in parameters:
        if row := option_row(option, context):
            groups[of.get(option.name, "Options")].append(row)
    yield from ((name, tuple(rows)) for name, rows in groups.items() if rows)


def _commands(group: TyperGroup, context: Any) -> Iterator[Row]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield name, _first_sentence(" ".join((command.help or "").split("\n\n")[0].split()))


def _first_sentence(text: str) -> str:
    first, stop, _ = text.partition(". ")
    return first + "." if stop else text


def option_row(option: Any, context: Any) -> Row | None:
    """Return the names and the description of *option*, or None for an argument or a hidden option."""
    if option.param_type_name != "option" or option.hidden:
        return None
    from copy import copy

    shown = copy(option)
    shown.opts = sorted((name for name in option.opts if name not in HIDDEN), key=len)
    names, text = shown.get_help_record(context)
    for old, new in _METAVARS.items():
        names = names.replace(old, new)
    choices = names.find(" <")
    if choices >= 0 and names.endswith(">"):
        names = f"{names[:choices]} {names[choices + 2 : -1]}"
    return names.replace(" / --no", ", --no"), text.replace("  [", " [")


def write_help(command: Any, context: Any, formatter: Any) -> None:
    """Write the help of *command* to *formatter*, as wide as the terminal."""
    page = page_of(command, context)
    width = max(shutil.get_terminal_size().columns, 40)
    formatter.write("\n".join(help_lines(page, width)) + "\n")


def help_lines(page: Page, width: int) -> Iterator[str]:
    """Yield the lines of the help, of at most *width* columns."""
    yield from wrap(f"Usage: {page.usage}", width, subsequent_indent="  ")
    for paragraph in page.description:
        yield ""
        yield from wrap(paragraph, width)
    for title, rows in page.sections:
        yield from ("", f"{title}:")
        yield from _table(rows, width)
    if page.examples:
        yield from ("", "Examples:")
        for text, line in page.examples:
            yield from wrap(f"# {text}", width, initial_indent="  ", subsequent_indent="  # ")
            yield f"  {line}"
    yield from ("", "Environment:")
    yield from _table(environment_of(page), width)
    codes = "; ".join(f"{code} {meaning}" for code, meaning in EXITS)
    yield ""
    yield from wrap(f"Exit codes: {codes}", width, subsequent_indent="  ")


def environment_of(page: Page) -> Sequence[Row]:
    """Return the environment variables for *page*: all for tarkit, fewer without registries."""
    remote = any(title == "Registry" for title, _ in page.sections)
    return ENVIRONMENT if remote or " " not in page.path else ENVIRONMENT[:2]


def _table(rows: Sequence[Row], width: int) -> Iterator[str]:
    """Yield *rows* in two columns; a long term has a line of its own."""
    longest = max(len(term) for term, _ in rows)
    column = min(longest, _TERM_WIDTH, width // 3) + 4
    for term, text in rows:
        lines = wrap(text, max(width - column, 20)) or [""]
        if len(term) > column - 4:
            yield f"  {term}"
        else:
            yield f"  {term.ljust(column - 4)}  {lines.pop(0)}".rstrip()
        yield from (" " * column + line for line in lines)
