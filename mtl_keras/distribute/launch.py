"""Start a program as several workers: `python -m mtl_keras.distribute.launch --workers 2 -- python train.py ...`.

With `--workers N` all workers run on this machine, on free ports of the loopback interface; each line that worker 1
prints appears as `[1] ...`. When one fails the others are ended, and the launcher's exit status is that of the worker
that failed first. SIGTERM and Ctrl-C are passed on, so that workers can save their state.

With `--hosts a:2222,b:2222 --index 1` the program takes this process' place, as worker 1 of a cluster of machines.
"""

import argparse
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any

from mtl_keras.distribute.cluster import Cluster, environment


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = parse(arguments)
    if options.hosts is None:
        return run(options.command, options.workers, options.grace)
    return os.execvpe(options.command[0], options.command, environment(Cluster(tuple(options.hosts), options.index)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m mtl_keras.distribute.launch",
        description="Start a program as several workers that train one model together.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--workers", type=int, metavar="N", help="start N workers on this machine")
    where.add_argument("--hosts", type=_addresses, metavar="HOST:PORT,...", help="all workers' addresses, chief first")
    parser.add_argument("--index", type=int, help="which of --hosts this machine is, from 0")
    parser.add_argument(
        "--grace", type=float, default=10.0, metavar="SECONDS", help="time to end after SIGTERM, default 10"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- program and its arguments")
    options = parser.parse_args(arguments)
    options.command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not options.command:
        parser.error("no program: write it after --")
    if shutil.which(options.command[0]) is None:
        parser.error(f"no program {options.command[0]!r} on the path")
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers must be at least 1, not {options.workers}")
    if options.hosts is not None and not 0 <= (-1 if options.index is None else options.index) < len(options.hosts):
        parser.error(f"--index must be from 0 to {len(options.hosts) - 1}, not {options.index}")
    return options


def _addresses(text: str) -> list[str]:
    found = [part.strip() for part in text.split(",") if part.strip()]
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise argparse.ArgumentTypeError(f"addresses are host:port, not {address!r}")
    return found


def free_addresses(count: int) -> tuple[str, ...]:
    """Addresses on the loopback interface, on ports that are free now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)


def run(command: Sequence[str], workers: int, grace: float = 10.0, out: IO[str] | None = None) -> int:
    """Run a program as `workers` processes on this machine until all have ended.

    Args:
        command: The program and its arguments.
        workers: How many.
        grace: Seconds that the others have after SIGTERM when one has failed, before they are killed.
        out: Where lines go, default standard output.

    Returns:
        0 if all succeed, else the status of the first that failed; 128 + n where signal n ended it, as shells say it.
    """
    addresses = free_addresses(workers)
    stream = sys.stdout if out is None else out
    ended: queue.Queue[tuple[int, int]] = queue.Queue()
    lock = threading.Lock()
    processes: list[subprocess.Popen] = []
    readers: list[threading.Thread] = []

    def read(index: int, lines: Any) -> None:
        with lines:
            for line in lines:
                with lock:
                    stream.write(f"[{index}] {line.rstrip()}\n")
                    stream.flush()

    def thread(function: Any, *arguments: Any) -> threading.Thread:
        started = threading.Thread(target=function, args=arguments, daemon=True)
        started.start()
        return started

    def pass_on(number: int, frame: Any) -> None:
        _signal(processes, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for index in range(workers):
            environ = environment(Cluster(addresses, index), {"PYTHONUNBUFFERED": "1", **os.environ})
            process = _start(command, environ)
            processes.append(process)
            readers.append(thread(read, index, process.stdout))
            thread(lambda index, process: ended.put((index, process.wait())), index, process)
        return _wait(processes, ended, grace, stream)
    finally:
        # a worker's own children too: they may outlive it, and hold the pipe open that is read from
        _signal(processes, signal.SIGKILL, ended_too=True)
        for reader in readers:
            reader.join(timeout=1.0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], environ: dict[str, str]) -> subprocess.Popen:
    """A process in a group of its own, so that what it starts ends with it."""
    return subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _wait(processes: list[subprocess.Popen], ended: queue.Queue, grace: float, stream: IO[str]) -> int:
    """Until all have ended; after a failure at most `grace` seconds longer."""
    status = 0
    for _ in processes:
        try:
            index, code = ended.get(timeout=grace if status else None)
        except queue.Empty:
            _signal(processes, signal.SIGKILL)
            index, code = ended.get()
        if code and not status:
            status = code if code > 0 else 128 - code
            how = f"failed with status {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
            stream.write(f"[launch] worker {index} {how}: ending the others\n")
            _signal(processes, signal.SIGTERM)
    return status


def _signal(processes: list[subprocess.Popen], number: int, ended_too: bool = False) -> None:
    """Send a signal to the groups of all processes that still run."""
    for process in processes:
        if ended_too or process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main())
