"""``tarkit completion SHELL``."""

from enum import Enum
from typing import Annotated

import typer

_BASH = r"""
_tarkit() {
    local item
    COMPREPLY=()
    while IFS=$'\t' read -r item _; do
        COMPREPLY+=("$item")
    done < <("$1" __complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/=] ]]; then
        compopt -o nospace
    fi
}
complete -F _tarkit tarkit
"""

_ZSH = r"""
#compdef tarkit
_tarkit() {
    local value text
    local -a complete open
    while IFS=$'\t' read -r value text; do
        value="${value//:/\\:}${text:+:$text}"
        if [[ ${value%%$'\t'*} == *[:/=] ]]; then
            open+=("$value")
        else
            complete+=("$value")
        fi
    done < <("${words[1]}" __complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)
    _describe tarkit complete -- open -S ''
}
if [[ ${funcstack[1]} == _tarkit ]]; then
    _tarkit "$@"
else
    compdef _tarkit tarkit
fi
"""

_FISH = r"""
function __tarkit_complete
    set -l words (commandline -opc)
    $words[1] __complete fish (commandline -cp) 2>/dev/null
end
complete -c tarkit -f -a '(__tarkit_complete)'
"""


class Shell(Enum):
    """The shells that can complete tarkit's command line."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def completion_command(
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell.")],
) -> None:
    """Print a script for a shell that completes commands, options, locations, names and paths.

    It completes transports, the names of images in archives and layouts, and paths inside images.
    """
    print(_SCRIPTS[shell].strip())
