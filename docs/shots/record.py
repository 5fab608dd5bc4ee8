#!/usr/bin/env python3
"""Records the pictures of this folder: real commands on a real terminal, against a server that it starts.

    pip install pyte
    python3 docs/shots/record.py FOLDER_WITH_THE_BINARIES [NAME …]

Every frame is what the terminal showed, at its time. A picture is one SVG without script or font; where animations
do not run, and for people who turned them off, it shows the last frame. Servers listen on loopback, on free ports.
"""

import fcntl
import html
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

import pyte

CELL, LINE, LEFT, TOP = 7.83, 17, 14, 48
HOLD = 4.0  # seconds for which the last frame stays
MOST = 26  # frames of one picture
BACK = "#1b1f27"
COLOURS = {
    "default": "#d8dee9", "red": "#ff7b7b", "green": "#8fdc8f", "brown": "#f0c674", "blue": "#81a2be",
    "magenta": "#c397d8", "cyan": "#70c0ba", "white": "#ffffff", "brightblack": "#8f96a3",
}
HERE = os.path.dirname(os.path.abspath(__file__))


def runs(screen):
    """The screen as lines of (column, (colour, bold), text); gaps of two blanks and more separate texts, because not
    every viewer keeps them."""
    lines = []
    for y in range(screen.lines):
        spans, start, style, text = [], 0, None, ""
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            if (cell.fg, cell.bold) != style:
                spans.append((start, style, text))
                start, style, text = x, (cell.fg, cell.bold), ""
            text += cell.data
        spans.append((start, style, text))
        words = []
        for start, style, text in spans:
            words += [(start + m.start(), style, m.group()) for m in re.finditer(r"\S+(?: \S+)*", text)]
        lines.append(tuple(words))
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


class Terminal:
    """A shell on a terminal of its own, and what it showed when."""

    def __init__(self, columns, lines, env, folder):
        self.columns, self.frames, self.start = columns, [], time.time()
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def watch(self, seconds, until=None):
        """Keeps frames until the time is over, or something is true."""
        end = time.time() + seconds
        while time.time() < end and not (until and until()):
            if not select.select([self.fd], [], [], 0.02)[0]:
                continue
            # pyte knows no faint text: a dark one stands for it
            self.stream.feed(os.read(self.fd, 65536).replace(b"\x1b[2m", b"\x1b[90m"))
            shown = runs(self.screen)
            if not self.frames or self.frames[-1][1] != shown:
                self.frames.append((time.time() - self.start, shown))

    def prompt(self):
        return self.screen.display[self.screen.cursor.y].rstrip() == "$"

    def run(self, command, most=60):
        """Types a command, and waits until it is done."""
        self.watch(3, self.prompt)
        self.watch(0.5)
        os.write(self.fd, command.encode())
        self.watch(0.7)
        os.write(self.fd, b"\r")
        self.watch(0.2)
        self.watch(most, self.prompt)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def thinned(frames):
    """At most MOST frames, the last among them. Frames that nobody could see are left out first."""
    seen = [f for f, after in zip(frames, frames[1:]) if after[0] - f[0] >= 0.03] + frames[-1:]
    if len(seen) > MOST:
        seen = [seen[round(i * (len(seen) - 1) / (MOST - 1))] for i in range(MOST)]
    return seen


def classes(style):
    colour, bold = style
    return " ".join([colour if colour in COLOURS else "default"] + ["b"] * bold)


def timing(at, begin, end, total, last):
    """A frame is seen from begin to end, in percent of the whole."""
    keys = [] if begin == 0 else ["0%{opacity:0}"]
    keys.append(f"{begin:.3f}%{{opacity:1}}")
    keys.append("" if last else f"{end:.3f}%{{opacity:0}}")
    rest = "opacity:1" if last else "opacity:0"
    return f"@keyframes f{at}{{{''.join(keys)}}}#f{at}{{animation:f{at} {total:.2f}s step-end infinite;{rest}}}"


def write(terminal, name, title):
    frames = thinned(terminal.frames)
    lines = max(len(shown) for _, shown in frames)
    width, height = terminal.columns * CELL + 2 * LEFT, TOP + lines * LINE
    used = {style[0] for _, shown in frames for line in shown for _, style, _ in line} & set(COLOURS) | {"default"}
    style = "".join(f".{colour}{{fill:{COLOURS[colour]}}}" for colour in sorted(used)) + ".b{font-weight:700}"
    begin, total = frames[0][0], frames[-1][0] - frames[0][0] + HOLD
    marks = [(t - begin) / total * 100 for t, _ in frames] + [100]
    if len(frames) > 1:
        last = len(frames) - 1
        style += "".join(timing(i, marks[i], marks[i + 1], total, i == last) for i in range(len(frames)))
        style += "@media(prefers-reduced-motion:reduce){g{animation:none!important}}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
        f"role=\"img\" font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"13\">"
        f"<title>{html.escape(title)}</title><style>{style}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{BACK}"/>'
    ]
    for x, colour in ((18, "#ff5f56"), (34, "#ffbd2e"), (50, "#27c93f")):
        out.append(f'<circle cx="{x}" cy="16" r="5" fill="{colour}"/>')
    for i, (_, shown) in enumerate(frames):
        out.append(f'<g id="f{i}">')
        for y, line in enumerate(shown):
            for x, style, text in line:
                place = f'x="{LEFT + x * CELL:.1f}" y="{TOP + y * LINE}" class="{classes(style)}"'
                out.append(f'<text {place} textLength="{len(text) * CELL:.1f}">{html.escape(text)}</text>')
        out.append("</g>")
    out.append("</svg>\n")
    path = os.path.join(HERE, name)
    with open(path, "w") as file:
        file.write("".join(out))
    print(f"{name}: {len(frames)} frames, {os.path.getsize(path)} bytes, {width:.0f} x {height}")


def charts(page, name):
    """The charts of a page of conclave-bench, below each other."""
    with open(page) as file:
        plots = re.findall(r"<svg.*?</svg>", file.read(), re.S)
    bodies = [re.sub(r"^<svg[^>]*>|</svg>$", "", plot) for plot in plots]
    height = 330 * len(bodies) + 10
    style = (
        "text{font:12px system-ui,sans-serif;fill:#1c2126}.title{font-weight:600;font-size:13px}.grid{stroke:#8883}"
        ".middle{text-anchor:middle}.end{text-anchor:end}"
    )
    parts = [f'<g transform="translate(0,{10 + 330 * i})">{body}</g>' for i, body in enumerate(bodies)]
    with open(os.path.join(HERE, name), "w") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" width="900" height="{height}" role="img">'
            f"<title>charts of conclave-bench</title><style>{style}</style>"
            f'<rect width="100%" height="100%" rx="8" fill="#fff"/>{"".join(parts)}</svg>\n'
        )
    print(f"{name}: {len(bodies)} charts")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def server(binaries, folder):
    client, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    flags = {
        "name": "default", "data-dir": folder + "/data", "initial-cluster": "default=" + peer,
        "listen-client-urls": "http://" + client, "advertise-client-urls": "http://" + client,
        "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
    }
    words = [f"--{name}={value}" for name, value in flags.items()]
    log = open(folder + "/log", "w")
    started = subprocess.Popen([binaries + "/conclave", *words], stdout=log, stderr=log)
    for _ in range(100):
        asked = [binaries + "/conclavectl", "--endpoints=" + client, "endpoint", "health"]
        if subprocess.run(asked, capture_output=True).returncode == 0:
            return started, client
        time.sleep(0.1)
    raise SystemExit("the server does not answer: " + folder + "/log")


def record(binaries, folder, endpoint, wanted):
    env = {
        "PATH": binaries + ":/usr/bin:/bin", "TERM": "xterm-256color", "HOME": folder, "LANG": "C.UTF-8",
        "ETCDCTL_ENDPOINTS": endpoint, "EP": endpoint, "PS1": r"\[\e[32m\]$\[\e[0m\] ",
    }

    def quietly(*words):
        subprocess.run(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def shot(name, columns, lines, title, *commands):
        if name in wanted:
            terminal = Terminal(columns, lines, env, folder)
            for command in commands:
                terminal.run(command)
            write(terminal, name + ".svg", title)
            terminal.close()

    if "watch" in wanted:
        terminal = Terminal(84, 16, env, folder)
        terminal.watch(1, terminal.prompt)
        terminal.run("conclavectl watch --prefix pods/", 0.6)
        changes = ("put pods/web-1 Pending", "put pods/web-1 Running", "put pods/web-2 Running", "del pods/web-1")
        for change in changes:
            quietly("conclavectl", *change.split())
            terminal.watch(0.9)
        write(terminal, "watch.svg", "conclavectl watch: events as they come")
        terminal.close()
    if {"status", "snapshot"} & set(wanted):
        load = "--conns=8 --clients=64 --total=40000 --key-size=24 --val-size=8000 --sequential-keys --key-space-size=40000"
        quietly("conclave-bench", "put", "--endpoints=" + endpoint, *load.split())
    shot("status", 84, 40, "conclavectl endpoint status and health as tables",
         "conclavectl endpoint status -w table", "conclavectl endpoint health -w table")
    shot("snapshot", 84, 16, "conclavectl snapshot save with its progress",
         "conclavectl snapshot save backup.db", "conclaveutl snapshot status backup.db -w table")
    shot("bench", 110, 36, "conclave-bench put: live line and report",
         "conclave-bench put --endpoints=$EP --clients=200 --conns=20 --total=1000000 --duration=10s --html=put.html")
    if "bench" in wanted:
        charts(folder + "/put.html", "bench-chart.svg")


def main():
    binaries, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:] or ["watch", "status", "snapshot", "bench"]
    with tempfile.TemporaryDirectory(prefix="shots-") as folder:
        started, endpoint = server(binaries, folder)
        try:
            record(binaries, folder, endpoint, wanted)
        finally:
            started.terminate()
            started.wait()


if __name__ == "__main__":
    main()
