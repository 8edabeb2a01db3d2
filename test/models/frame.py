"""What the tests of models have in common: the tools they run, what they claim, and their end."""

import subprocess, sys
from pathlib import Path


class Frame:
    """Claims about `name`, a checkpoint's as a rule, and runs of the tools in `bin`."""

    def __init__(self, bin, name):
        self.bin, self.name, self.failures = Path(bin), name, 0

    def claim(self, what, holds, detail=""):
        if not holds:
            self.failures += 1
            print(f"FAIL {self.name}: {what} {detail}")

    def run(self, tool, *words):
        """What the tool prints on standard output; the end of the test where it fails."""
        words = [str(word) for word in words]
        done = subprocess.run(
            [self.bin / tool, *words], capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            sys.exit(
                f"FAIL {self.name}: {tool} {' '.join(words)}: "
                f"exit {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def end(self):
        if not self.failures:
            print(f"{self.name}: all passed")
        sys.exit(bool(self.failures))
