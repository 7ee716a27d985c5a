"""Processes that share work with this one: what takes longer than a moment is handed to as many as there are cores.

Results come in order, an error is raised where its item stands, and each item has a budget of work of its own, wherever
it's worked on. So nothing depends on the number of processes but time.

They are neither forked, which a process with threads mustn't be, nor `multiprocessing`'s, which would run the caller's
script once more in each of them: `serve` answers what it's asked in pickles, until nobody can ask any more.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from queue import SimpleQueue
from typing import Any, Generic, Self, TypeVar

from archcalc.errors import ArchcalcError
from archcalc.work import budget, has_budget, renewed

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 1.0
"""Seconds of work after which it pays to start processes, which takes a third of that, on all cores."""
AHEAD = 8
"""Items for each process that are handed out before their turn, so that none waits while a slow one is worked on."""
_CODE = """
import pickle, sys
try:
    sys.path[:] = pickle.load(sys.stdin.buffer)
except (EOFError, pickle.UnpicklingError):
    sys.exit()  # who started it was killed
from archcalc.workers import serve
serve()
"""
_ALONE: dict[str, Any] = {"process_group": 0}
"""What makes a process a group of its own, which Ctrl-C in a terminal doesn't reach."""
if sys.platform == "win32":
    _ALONE = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


class WorkerLost(ArchcalcError):
    """A process ended before its work was done: something outside has killed it, perhaps for want of memory."""

    def __str__(self) -> str:
        return "a process that shared the work was killed\n    hint: fewer jobs need less memory"


def cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(Generic[S]):
    """Up to `jobs` processes, all of which have `shared`; started when the first moment is over, ended with the block.

    They end at once, and so they do when this process does, whichever way.
    """

    def __init__(self, shared: S, jobs: int = 1) -> None:
        self.shared, self.jobs = shared, jobs
        self._begun = time.monotonic()
        self._all: list[_Process] = []
        self._idle = SimpleQueue[_Process]()
        self._threads = ThreadPoolExecutor(jobs)  # each of which waits for a process; there are none before they work

    def map(self, function: Callable[[S, T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Each item, and what `function`, which a module defines, makes of it and of what is shared; in order.

        Raises: WorkerLost: a process was killed. Whatever `function` raises of an item.
        """
        waiting = deque[tuple[T, Future[R]]]()
        for item in items:
            if not self._pays:
                yield item, _worked(function, self.shared, item)
                continue
            if len(self._all) < self.jobs and self._idle.empty():
                self._all.append(_Process(self.shared))
                self._idle.put(self._all[-1])
            waiting.append((item, self._threads.submit(self._asked, function, item)))
            if len(waiting) == AHEAD * self.jobs:
                yield _awaited(*waiting.popleft())
        while waiting:
            yield _awaited(*waiting.popleft())

    @property
    def _pays(self) -> bool:
        return bool(self._all) or (self.jobs > 1 and time.monotonic() >= self._begun + PATIENCE)

    def _asked(self, function: Callable[[S, T], R], item: T) -> R:
        process = self._idle.get()
        try:
            return process.ask(function, item)
        finally:
            self._idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._all:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._all:
            process.close()


def _worked(function: Callable[[S, T], R], shared: S, item: T) -> R:
    with renewed():
        return function(shared, item)


def _awaited(item: T, answer: Future[R]) -> tuple[T, R]:
    return item, answer.result()


class _Process:
    """A process that works on what it's asked."""

    def __init__(self, shared: object) -> None:
        command = [sys.executable, "-P", "-c", _CODE]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **_ALONE)
        self._tell(sys.path)
        self._tell((shared, has_budget()))

    def ask(self, function: Callable[[Any, T], R], item: T) -> R:
        """What a function makes of an item.

        Raises: WorkerLost: the process was killed. Whatever the function raises.
        """
        try:
            self._tell((function, item))
            assert self._process.stdout is not None
            is_fine, found = pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise WorkerLost from None
        if not is_fine:
            raise found
        return found  # type: ignore[no-any-return]

    def _tell(self, what: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it, whatever it's doing."""
        self._process.kill()

    def close(self) -> None:
        """Leave nothing of it, once it's killed and nobody asks any more."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what couldn't be told any more
                if pipe:
                    pipe.close()


def serve() -> None:
    """Be such a process."""
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # whatever is printed is no answer
    questions = SimpleQueue[Any]()
    threading.Thread(target=_listen, args=[questions], daemon=True).start()
    shared, has_budget = questions.get()
    with budget() if has_budget else nullcontext():
        while True:
            function, item = questions.get()
            try:
                answers.write(_answer(function, shared, item))
                answers.flush()
            except OSError:  # nobody listens
                os._exit(0)


def _listen(questions: SimpleQueue[Any]) -> None:
    """Read questions; end the process, whatever it's doing, as soon as nobody can ask any more."""
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            questions.put(pickle.load(sys.stdin.buffer))
    os._exit(0)


def _answer(function: Callable[[S, T], R], shared: S, item: T) -> bytes:
    """Whether all is well, and what the function makes of an item, or raises."""
    try:
        return pickle.dumps((True, _worked(function, shared, item)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        if not isinstance(error, ArchcalcError):
            error.add_note("".join(traceback.format_exception(error)))
        return pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
