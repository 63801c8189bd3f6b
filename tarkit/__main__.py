"""``tarkit`` and ``python -m tarkit``."""

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:  # answered without the command line: 15 ms instead of 60
        from tarkit import __version__

        try:
            print(f"tarkit {__version__}", flush=True)
        except OSError as error:
            sys.exit(f"tarkit: {error.strerror}")
        return
    # looking for cycles, of which there are few, took a tenth of a short command and 90 ms of 2 s
    gc.set_threshold(500_000)
    # threads that read, inflate and hash ask for the interpreter after every chunk, and get it from one
    # that parses only after this: with the usual 5 ms an ext4 image took 7 % longer
    sys.setswitchinterval(0.0003)
    code = _run()
    gc.freeze()  # the interpreter's last searches for cycles took a fifth of a short command
    sys.exit(code)


def _run() -> int:
    """Run the command line, which even while it is being imported ends with one line at most."""
    try:
        from tarkit.cli.signals import Signals

        signals = Signals()
        signals.install()
        from tarkit.cli.app import run
        from tarkit.cli.failures import report_threads, wants_debugging

        signals.working()
        report_threads(debug=wants_debugging(sys.argv))
        code = run()
        signals.finished(code)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  from an import, too
        from tarkit.cli.failures import report, wants_debugging

        code = report(error, debug=wants_debugging(sys.argv))
    return code


if __name__ == "__main__":
    main()
