"""Run writing jobs on a few threads, boundedly, and give their results back in order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")


class OrderedWindow(Generic[Result]):
    """A bounded number of jobs in flight on a pool; results come in the order of submission.

    The first job that failed raises its error where its result would have come, and no result comes
    after it. Used from one thread.
    """

    def __init__(self, executor: ThreadPoolExecutor, limit: int) -> None:
        """Allow ``limit`` jobs in flight on ``executor``."""
        self._executor = executor
        self._limit = limit
        self._jobs: deque[Future[Result]] = deque()

    def submit(self, job: Callable[[], Result]) -> Iterator[Result]:
        """Start ``job``, waiting for the oldest one while the window is full; yield what has finished."""
        self._jobs.append(self._executor.submit(job))
        while self._jobs and (len(self._jobs) > self._limit or self._jobs[0].done()):
            yield self._oldest()

    def drain(self) -> Iterator[Result]:
        """Wait for every job and yield the results that are left."""
        while self._jobs:
            yield self._oldest()

    def abandon(self) -> None:
        """Drop the jobs that have not begun and wait for the others, whatever became of them."""
        for job in self._jobs:
            job.cancel()
        while self._jobs:
            job = self._jobs.popleft()
            if not job.cancelled():
                job.exception()

    def _oldest(self) -> Result:
        try:
            return self._jobs.popleft().result()
        except BaseException:
            self.abandon()
            raise
