"""``python measured.py FILE ARGUMENT…`` runs tarkit and writes its peak memory in KiB to FILE.

The kernel's ``ru_maxrss`` would count the memory of the process that started this one as well.
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

from tarkit.__main__ import main

ADDRESS_SPACE = 4 << 30  # protects the machine if tarkit's memory is not bounded

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    peak = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        status = Path("/proc/self/status").read_text()
        peak.write_text(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
