"""Who goes through a network together with whom: what feeds ask for at about the same time is one forward pass.

Has no thread of its own: whoever asks while there is room for a pass leads it, for itself and for those who wait.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from ..models.base import DepthModel
from ..models.runtime import runtime_of
from .backend import Backend, Event
from .device import cpu_count

_LATELY_SECONDS = 1.0
"""A feed that asked for nothing for so long counts as idle."""
_AHEAD = 1
"""Passes that may be unfinished on a device that runs by itself when the next one is put together: it never idles, and
what is asked for meanwhile goes into one pass instead of queueing up as many."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """When pictures of several feeds go through the network together."""

    passes: int = 1
    """Forward passes that may run at the same time."""
    largest: int = 8
    """Most pictures in a pass, each of another feed."""
    wait_seconds: float = 0.002
    """Longest wait for feeds that are about to ask; besides, never longer than half a pass."""
    most_pixels: int | None = None
    """Larger pictures of the network's size go through it one by one; None is no limit."""

    threads: int | None = None
    """Threads that share the work of a pass on the CPU; None leaves that to whoever asks. It never changes, as some
    runtimes prepare a network for a number of threads."""

    @classmethod
    def for_feeds(cls, model: DepthModel, feeds: int) -> Self:
        """Return what was measured to be best for so many feeds.

        On a CPU with one thread a picture's share of a batch of two or four costs 0.65 to 0.85 of a pass of its own at
        112x112, but 1.02 to 1.15 of it at 252x448 (tiny and ViT-S): one core is busy with one picture, and larger
        batches fall out of its cache. So there each core takes a picture, and only small ones that would have to wait
        share a pass; nobody waits for company. OpenVINO takes the pictures of a batch one by one, so there are none.
        """
        if model.device.type != "cpu":
            return cls()
        passes = min(cpu_count(), max(1, feeds))
        largest = 1 if runtime_of(model).name == "openvino" else 4
        threads = cpu_count() // passes
        return cls(passes=passes, largest=largest, wait_seconds=0.0, most_pixels=128 * 128, threads=threads)


@dataclass(frozen=True, slots=True)
class BatchStats:
    """What went through a network so far."""

    pictures: int = 0
    """Pictures of all feeds."""
    passes: int = 0
    """Forward passes that they took."""

    @property
    def mean_batch(self) -> float:
        """Pictures in a pass, on average; 0 before the first."""
        return self.pictures / self.passes if self.passes else 0.0


@dataclass(eq=False, slots=True)
class _Request:
    """Depth that a feed asked for, and what became of it."""

    seat: "Seat"
    model: DepthModel
    images_bchw: Tensor
    taken: bool = False
    depth_bhw: Tensor | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.depth_bhw is not None or self.error is not None

    @property
    def kind(self) -> tuple[object, ...]:
        """What requests must have in common to go through together, each getting what it would get alone.

        A video network's model is one feed's own, so its pictures go alone.
        """
        return self.model, self.images_bchw.shape[1:], self.images_bchw.dtype


@dataclass(eq=False, slots=True)
class Seat:
    """One feed's place among those that share the network."""

    waiting: deque[_Request] = field(default_factory=deque)
    served: int = 0
    """When a request was last taken from here, counted in requests; who has the lowest number comes first."""
    in_hand: int = 0
    """Requests that wait or run."""
    asked: float = 0.0
    answered: float | None = None
    pause: float | None = None
    """Seconds from the last answer but one to the next question."""
    kind: tuple[object, ...] = ()
    """That of the last request."""

    def ask(self, request: _Request) -> None:
        """Queue up with ``request``."""
        now = time.monotonic()
        if self.answered is not None:
            self.pause = now - self.answered
        self.asked, self.answered, self.kind = now, None, request.kind
        self.in_hand += 1
        self.waiting.append(request)

    @property
    def due(self) -> float | None:
        """When it will ask again if it goes on as before; None where that is not known or it has asked."""
        return None if self.answered is None or self.pause is None else self.answered + self.pause


class Batcher:
    """Puts requests of several feeds together into passes. Safe to use from many threads.

    The feed that was served longest ago comes first, and those that fit it join, one request each: so feeds that keep
    asking get the same number of pictures to within one, and one that asks seldom is never behind the others.
    """

    def __init__(self, policy: BatchPolicy, backend: Backend) -> None:
        self._policy, self._backend = policy, backend
        self._changed = threading.Condition()
        self._seats: list[Seat] = []
        self._running = 0
        self._turn = 0
        self._largest = policy.largest
        self._pass_seconds = 0.0
        self._unfinished: deque[Event] = deque()
        self._stats = BatchStats()

    @property
    def stats(self) -> BatchStats:
        """What went through so far."""
        with self._changed:
            return self._stats

    def ask(self, seat: Seat, model: DepthModel, images_bchw: Tensor) -> Tensor:
        """Return the depth of ``images_bchw``, (B, 3, h, w) -> (B, h, w); raises what the pass raised."""
        request = _Request(seat, model, images_bchw)
        with self._changed:
            seat.ask(request)
            if seat not in self._seats:
                self._seats.append(seat)
            self._changed.notify_all()
        while not self._settled(request):
            self._lead()
        if request.error is not None:
            raise request.error
        assert request.depth_bhw is not None
        return request.depth_bhw

    def _settled(self, request: _Request) -> bool:
        """Wait until the request is done (True), or a pass is to be led because it still waits (False)."""
        with self._changed:
            self._changed.wait_for(lambda: request.done or self._may_lead(request))
            if not request.done:
                self._running += 1
            return request.done

    def _may_lead(self, request: _Request) -> bool:
        return not request.taken and self._running < self._policy.passes

    def _lead(self) -> None:
        """Run one pass for those who wait."""
        batch: list[_Request] = []
        try:
            with self._changed:
                self._wait_for_company()
                batch = self._take()
            if batch:
                self._run(batch)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _wait_for_company(self) -> None:
        """Give feeds that are about to ask a moment to do so. Needs the lock."""
        begin = time.monotonic()
        until = begin + min(self._policy.wait_seconds, self._pass_seconds / 2)
        while (left := until - time.monotonic()) > 0:
            candidates = self._candidates()
            if len(candidates) in (0, self._largest) or not self._more_due(candidates[0], begin, until):
                return
            self._changed.wait(left)

    def _more_due(self, first: _Request, begin: float, until: float) -> bool:
        """Whether a feed that has not asked yet will, to all appearances, and will fit."""
        earliest = begin - self._policy.wait_seconds  # who is later than that has stalled
        return any(
            seat.due is not None and earliest <= seat.due <= until and seat.kind == first.kind
            for seat in self._seats
            if not seat.waiting
        )

    def _candidates(self) -> list[_Request]:
        """Return what the next pass would take, the feed served longest ago first."""
        seats = sorted((seat for seat in self._seats if seat.waiting), key=lambda seat: (seat.served, seat.asked))
        heads = [seat.waiting[0] for seat in seats]
        if not heads:
            return []
        first = heads[0]
        height, width = first.images_bchw.shape[-2:]
        alone = self._policy.most_pixels is not None and height * width > self._policy.most_pixels
        return [first] if alone else [first, *(head for head in heads[1:] if head.kind == first.kind)][: self._largest]

    def _take(self) -> list[_Request]:
        """Take the next pass's requests off the queues. Needs the lock."""
        batch = self._candidates()
        for request in batch:
            request.seat.waiting.popleft()
            request.seat.served = self._turn = self._turn + 1
            request.taken = True
        recent = time.monotonic() - _LATELY_SECONDS
        self._seats = [seat for seat in self._seats if seat.in_hand or seat.asked > recent]
        return batch

    def _run(self, batch: list[_Request]) -> None:
        if self._policy.threads is not None:
            torch.set_num_threads(self._policy.threads)
        begin = time.monotonic()
        try:
            images_bchw = batch[0].images_bchw
            if len(batch) > 1:
                images_bchw = torch.cat([request.images_bchw for request in batch])
            depths = torch.split(batch[0].model(images_bchw), [len(request.images_bchw) for request in batch])
            self._answer(batch, depths, time.monotonic() - begin)
        except torch.OutOfMemoryError as error:
            self._refuse(batch, error) if len(batch) == 1 else self._take_smaller(batch)
        except BaseException as error:  # raised again in the thread of each feed that asked
            self._refuse(batch, error)
            if not isinstance(error, Exception):
                raise
        self._keep_pace()

    def _keep_pace(self) -> None:
        """Wait until the device has no more than ``_AHEAD`` passes to finish; nothing to do on the CPU."""
        finished = self._backend.event()
        self._backend.compute.record(finished)
        with self._changed:
            self._unfinished.append(finished)
            before = [self._unfinished.popleft() for _ in range(len(self._unfinished) - _AHEAD)]
        for event in before:
            event.synchronize()

    def _answer(self, batch: list[_Request], depths: Sequence[Tensor], seconds: float) -> None:
        with self._changed:
            for request, depth_bhw in zip(batch, depths, strict=True):
                request.depth_bhw = depth_bhw
            self._pass_seconds = seconds
            pictures = sum(map(len, depths))
            self._stats = BatchStats(self._stats.pictures + pictures, self._stats.passes + 1)
            self._let_go(batch)

    def _refuse(self, batch: list[_Request], error: BaseException) -> None:
        with self._changed:
            for request in batch:
                request.error = error
            self._let_go(batch)

    def _let_go(self, batch: list[_Request]) -> None:
        now = time.monotonic()
        for request in batch:
            request.seat.in_hand -= 1
            request.seat.answered = now
        self._changed.notify_all()

    def _take_smaller(self, batch: list[_Request]) -> None:
        """Put requests back that were too many for the device's memory, and take fewer from now on."""
        with self._changed:
            self._largest = len(batch) // 2
            for request in batch:
                request.taken = False
                request.seat.waiting.appendleft(request)
        _LOG.warning(
            "out of memory on %s with %d pictures in a pass; %d at most from now on",
            self._backend.device,
            len(batch),
            self._largest,
        )
