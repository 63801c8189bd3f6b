"""``tarkit`` and ``python -m tarkit``."""

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = _answer_version() if sys.argv[1:] == ["--version"] else _run()
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  from an import, too
        from tarkit.cli.failures import report, wants_debugging

        code = report(error, debug=wants_debugging(sys.argv))
    gc.freeze()  # the interpreter's last searches for cycles took a fifth of a short command
    sys.exit(code)


def _answer_version() -> int:
    """Print the version without importing the command line: 15 ms instead of 60."""
    from tarkit import __version__

    print(f"tarkit {__version__}", flush=True)
    return 0


def _run() -> int:
    from tarkit.cli.signals import Signals

    signals = Signals()
    signals.install()
    # looking for cycles, of which there are few, took a tenth of a short command and 90 ms of 2 s
    gc.set_threshold(500_000)
    # threads that read, inflate and hash ask for the interpreter after every chunk, and get it from one
    # that parses only after this: with the usual 5 ms an ext4 image took 7 % longer
    sys.setswitchinterval(0.0003)
    from tarkit.cli.app import run
    from tarkit.cli.failures import report_threads, wants_debugging

    report_threads(debug=wants_debugging(sys.argv))
    signals.working()
    code = run()
    signals.finished(code)
    return code


if __name__ == "__main__":
    main()
