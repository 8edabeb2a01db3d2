#!/usr/bin/env python3
"""What hadal-run prints in a terminal: no line is wider than it, and progress stays on one line.

terminal.py HADAL_RUN WRITE_FAKE_TRAINING
"""

import fcntl, os, pty, re, struct, subprocess, sys, tempfile, termios, unicodedata

run, write = (os.path.abspath(p) for p in sys.argv[1:3])
work = tempfile.mkdtemp()
subprocess.run([write, work], check=True, timeout=60, stdout=subprocess.DEVNULL)
command = [
    run,
    "train",
    f"{work}/t.hadal",
    "--init-seed",
    "1",
    "--input",
    f"{work}/in.safetensors",
    "--steps",
    "2000",
]
failed = []


def shown(columns):
    """All that the command writes to a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    data = b""
    while True:
        try:
            some = os.read(leader, 65536)
        except OSError:
            break
        if not some:
            break
        data += some
    if child.wait(60) != 0:
        failed.append(f"exit status {child.returncode}: {data.decode(errors='replace')[-300:]}")
    return data.decode()


for columns in (30, 80, 200):
    text = shown(columns)
    draws = re.findall(r"\r([^\r\n]*)\x1b\[K", text)
    if not any("step 2000/2000" in d or columns < 40 for d in draws):
        failed.append(f"{columns} columns: the last step is not shown: {text[-200:]!r}")
    widest = max((len(d) for d in draws), default=0)
    if widest >= columns:
        failed.append(f"{columns} columns: a progress line takes {widest}")
    said = re.sub(r"\r[^\r\n]*\x1b\[K", "", text).replace("\r", "").split("\n")
    if columns >= 80 and max(map(len, said)) >= columns:
        failed.append(f"{columns} columns: a line is wider: {max(said, key=len)!r}")
    lines = text.count("\n")
    if lines > (6 if columns >= 80 else 16):
        failed.append(f"{columns} columns: {lines} lines, wanted progress on one: {text[:400]!r}")
    if columns == 200 and not any("━" in d for d in draws):
        failed.append("200 columns: no bar")
piped = subprocess.run(command, capture_output=True, text=True, timeout=60)
if "\r" in piped.stderr or "\x1b" in piped.stderr:
    failed.append(f"control characters in a pipe: {piped.stderr[:200]!r}")
for line in failed:
    print("terminal.py:", line)
sys.exit(bool(failed))
