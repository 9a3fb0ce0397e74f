"""Several feeds at one network: who shares a pass, who comes first, and that nobody holds anybody up."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dptstream.engine import Engine, EngineConfig, batching
from dptstream.engine.backend import HostBackend
from dptstream.engine.batching import BatchPolicy
from dptstream.engine.sharing import SeatedModel, SharedModel
from dptstream.errors import EngineError
from dptstream.models import load_model
from dptstream.models.base import DepthModel
from dptstream.models.tiling import TiledModel, Tiling
from dptstream.sinks import MemorySink
from dptstream.temporal import SceneCutDetector, TemporalConfig
from tests import golden
from tests.models.small_checkpoint import small_state_dict
from tests.waiting import PATIENCE_SECONDS, shortest, wait_until

from .toys import LateBackend, ToyModel, ToySource

TOGETHER = BatchPolicy(passes=1, largest=8, wait_seconds=0.02)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small networks on many threads wait for one another most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(batching, "cpu_count", lambda: 1)
    yield
    torch.set_num_threads(before)


class CountingModel(ToyModel):
    """Notes whose pictures were in each pass; a pass takes ``seconds`` and, until ``open`` is set, waits."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.passes: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self._seconds = seconds

    def __call__(self, images_bchw: Tensor) -> Tensor:
        self.passes.append([int(image[0, 0, 0]) for image in images_bchw])
        assert self.open.wait(PATIENCE_SECONDS)
        time.sleep(self._seconds)
        return super().__call__(images_bchw)


def picture(feed: int, height: int = 4, width: int = 6) -> Tensor:
    return torch.full((1, 3, height, width), float(feed))


@contextmanager
def threads(*work: Callable[[], object]) -> Iterator[None]:
    running = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in running:
        thread.start()
    yield
    for thread in running:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "somebody still waits for depth"


def asking(seat: SeatedModel, feed: int, times: int = 1, **size: int) -> Callable[[], None]:
    def ask() -> None:
        for _ in range(times):
            assert float(seat(picture(feed, **size))[0, 0, 0]) == feed * (1 + 256 + 65536)

    return ask


def queued(shared: SharedModel, count: int) -> Callable[[], bool]:
    return lambda: sum(len(seat.waiting) for seat in shared._batcher._seats) == count


def test_feeds_that_keep_asking_share_passes() -> None:
    def passes() -> float:
        model = CountingModel(seconds=0.01)
        shared = SharedModel(model, TOGETHER)
        with threads(*(asking(shared.new_feed(), feed, 25) for feed in range(4))):
            pass
        assert shared.stats.pictures == 100
        assert all(len(set(feeds)) == len(feeds) for feeds in model.passes)  # one picture of a feed in a pass
        return shared.stats.passes

    assert shortest(passes, 50, tries=20) < 50


def test_feeds_that_always_want_more_get_the_same_to_within_one_picture() -> None:
    over = threading.Event()

    class Busy(CountingModel):
        """A pass ends when every feed stands in the queue again."""

        def __call__(self, images_bchw: Tensor) -> Tensor:
            wait_until(lambda: over.is_set() or all(seat._seat.waiting for seat in seats))
            return super().__call__(images_bchw)

    model = Busy()
    shared = SharedModel(model, replace(TOGETHER, largest=3, wait_seconds=0.0))
    seats = [shared.new_feed() for _ in range(5)]

    def ask(feed: int) -> None:
        asking(seats[feed], feed, 15)()
        over.set()

    with threads(*(lambda feed=feed: ask(feed) for feed in [*range(5)] * 2)):  # two at a time, as a ring of slots does
        wait_until(over.is_set)
        whole = len(model.passes) - 5
    counts = np.zeros(5, int)
    for feeds in model.passes[:whole]:
        assert len(set(feeds)) == len(feeds)
        counts[feeds] += 1
        assert counts.max() - counts.min() <= 1
    assert counts.min() >= 5


def test_the_feed_served_longest_ago_comes_first_when_not_all_fit() -> None:
    model = CountingModel()
    shared = SharedModel(model, replace(TOGETHER, largest=2, wait_seconds=0.0))
    seats = [shared.new_feed() for _ in range(5)]
    model.open.clear()
    with threads(asking(seats[0], 0)):
        wait_until(lambda: model.passes == [[0]])
        with threads(*(asking(seat, feed, 2) for feed, seat in enumerate(seats))):
            wait_until(queued(shared, 5))
            model.open.set()
    assert all(len(feeds) <= 2 for feeds in model.passes)
    assert sorted(model.passes[1] + model.passes[2]) == [1, 2, 3, 4]  # before feed 0 has its second


class CountingCondition(threading.Condition):
    """Notes how often anybody had to wait."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return super().wait(timeout)


def test_a_feed_alone_is_never_made_to_wait() -> None:
    shared = SharedModel(CountingModel(seconds=0.002), replace(TOGETHER, wait_seconds=5.0))
    shared._batcher._changed = doors = CountingCondition()
    asking(shared.new_feed(), 1, 30)()
    assert doors.waits == 0
    assert shared.stats.mean_batch == 1


def test_a_feed_that_stalled_or_ended_holds_nobody_up() -> None:
    shared = SharedModel(CountingModel(seconds=0.02), replace(TOGETHER, wait_seconds=0.5))
    one, other = shared.new_feed(), shared.new_feed()

    def passes() -> float:
        before = shared.stats.passes
        with threads(asking(one, 1, 5), asking(other, 2, 5)):
            pass
        return shared.stats.passes - before

    assert shortest(passes, 10, tries=20) < 10  # they were in step, so the first is expected anew
    assert one._seat.answered is not None
    assert one._seat.pause is not None
    one._seat.answered -= 1.0 + one._seat.pause  # it should have asked a second ago
    shared._batcher._changed = doors = CountingCondition()
    asking(other, 2, 5)()
    assert doors.waits == 0


def test_pictures_of_other_sizes_go_in_passes_of_their_own_and_none_is_left_behind() -> None:
    model = CountingModel()
    shared = SharedModel(model, TOGETHER)
    seats = [shared.new_feed() for _ in range(4)]
    model.open.clear()
    with threads(asking(seats[0], 0)):
        wait_until(lambda: model.passes == [[0]])
        large = {"height": 8, "width": 6}
        with threads(asking(seats[1], 1), asking(seats[2], 2, **large), asking(seats[3], 3, **large)):
            wait_until(queued(shared, 3))
            model.open.set()
    assert sorted(map(sorted, model.passes[1:])) == [[1], [2, 3]]


def test_a_pass_that_fails_reaches_its_feeds_and_no_others() -> None:
    class Failing(CountingModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            depth_bhw = super().__call__(images_bchw)
            if images_bchw.shape[2] == 8:
                raise ValueError("no such depth")
            return depth_bhw

    model = Failing()
    shared = SharedModel(model, TOGETHER)
    seats = [shared.new_feed() for _ in range(4)]
    failed: list[int] = []

    def fail(feed: int) -> None:
        with pytest.raises(ValueError, match="no such depth"):
            seats[feed](picture(feed, height=8))
        failed.append(feed)

    model.open.clear()
    with threads(asking(seats[0], 0)):
        wait_until(lambda: bool(model.passes))
        with threads(asking(seats[1], 1), lambda: fail(2), lambda: fail(3)):
            wait_until(queued(shared, 3))
            model.open.set()
    assert sorted(failed) == [2, 3]
    for feed, seat in enumerate(seats):
        asking(seat, feed)()  # and life goes on, for all of them


def test_too_many_pictures_for_the_memory_go_in_smaller_passes_from_then_on() -> None:
    class Small(CountingModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            depth_bhw = super().__call__(images_bchw)
            if len(images_bchw) > 2:
                raise torch.OutOfMemoryError("too many")
            return depth_bhw

    model = Small()
    shared = SharedModel(model, TOGETHER)
    seats = [shared.new_feed() for _ in range(5)]
    model.open.clear()
    with threads(asking(seats[0], 0)):
        wait_until(lambda: bool(model.passes))
        with threads(*(asking(seats[feed], feed, 3) for feed in range(1, 5))):
            wait_until(queued(shared, 4))
            model.open.set()
    assert [len(feeds) for feeds in model.passes].count(4) == 1
    assert all(len(feeds) <= 2 for feeds in model.passes[2:])
    assert shared.stats.pictures == 13


def test_a_single_picture_too_large_for_the_memory_is_an_error() -> None:
    class Full(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("not even one")

    with pytest.raises(torch.OutOfMemoryError, match="not even one"):
        SharedModel(Full(), TOGETHER)(picture(0))


def test_on_the_cpu_each_core_takes_a_picture_and_only_small_ones_share_a_pass() -> None:
    policy = replace(BatchPolicy.for_feeds(ToyModel(), 6), passes=2)
    for size, together in ((64, True), (256, False)):
        model = CountingModel()
        shared = SharedModel(model, policy)
        model.open.clear()
        seats = [shared.new_feed() for _ in range(6)]
        with threads(*(asking(seat, feed, height=size, width=size) for feed, seat in enumerate(seats))):
            wait_until(lambda model=model: len(model.passes) == 2)
            wait_until(queued(shared, 4))
            model.open.set()
        assert [len(feeds) for feeds in model.passes[:2]] == [1, 1]
        assert (max(len(feeds) for feeds in model.passes) > 1) is together


def test_no_more_than_two_passes_are_under_way_on_a_device_that_runs_by_itself() -> None:
    class Event:
        def __init__(self) -> None:
            self.done = False

        def synchronize(self) -> None:
            self.done = True

    class Recording:
        """A stream whose work is finished when somebody waits for it."""

        def __init__(self) -> None:
            self.unfinished: list[Event] = []
            self.most = 0

        def run(self, work: Callable[[], object]) -> None:
            work()

        def wait(self, event: object) -> None:
            raise AssertionError("one stream has nothing to wait for")

        def record(self, event: Event) -> None:
            self.unfinished = [*(earlier for earlier in self.unfinished if not earlier.done), event]
            self.most = max(self.most, len(self.unfinished))

    backend = HostBackend(CPU)
    backend.compute = stream = Recording()  # type: ignore[assignment]
    backend.event = Event  # type: ignore[assignment, method-assign]
    seat = SharedModel(ToyModel(), TOGETHER, backend=backend).new_feed()
    asking(seat, 1, 10)()
    assert stream.most == 2


def test_all_feeds_of_a_network_compute_on_one_stream_but_copy_on_their_own() -> None:
    shared = SharedModel(ToyModel(), TOGETHER)
    one, other = shared.new_backend(), shared.new_backend()
    assert one.compute is other.compute
    assert one.upload is not other.upload
    assert one.download is not other.download


def smoothed(model: DepthModel, source: ToySource, late: int | None = None) -> list[np.ndarray]:
    sink = MemorySink()
    config = EngineConfig(temporal=TemporalConfig.preset("default"), poison=True)
    backend = None if late is None else LateBackend(late)
    Engine(source, model, [sink], config=config, cut_detector=SceneCutDetector(), backend=backend).run()
    return [frame.depth for frame in sink.frames]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_each_feed_is_smoothed_as_if_it_were_alone(late: bool) -> None:
    lengths = (24, 17, 20)

    def play(model: DepthModel, feed: int) -> list[np.ndarray]:
        source = ToySource(lengths[feed], sizes=((12, 16 + 2 * (feed == 2)),))
        return smoothed(model, source, feed if late else None)

    alone = [play(ToyModel(), feed) for feed in range(3)]

    def passes() -> float:
        shared = SharedModel(CountingModel(seconds=0.002), replace(TOGETHER, wait_seconds=0.005))
        results: dict[int, list[np.ndarray]] = {}

        def remember(feed: int) -> None:
            results[feed] = play(shared.new_feed(), feed)

        with threads(*(lambda feed=feed: remember(feed) for feed in range(3))):
            pass
        assert shared.stats.pictures == sum(lengths)
        for feed in range(3):
            np.testing.assert_array_equal(results[feed], alone[feed])
        return shared.stats.passes

    assert shortest(passes, sum(lengths), tries=20) < sum(lengths)  # some did share one


def test_a_feed_whose_network_fails_ends_alone() -> None:
    class Failing(CountingModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            if images_bchw.shape[2] == 14:
                raise ValueError("no such depth")
            return super().__call__(images_bchw)

    shared = SharedModel(Failing(), TOGETHER)
    ended: dict[str, object] = {}

    def play(name: str, height: int) -> None:
        sink = MemorySink()
        try:
            Engine(ToySource(20, sizes=((height, 16),)), shared.new_feed(), [sink]).run()
            ended[name] = len(sink.frames)
        except EngineError as error:
            ended[name] = str(error)

    with threads(lambda: play("good", 12), lambda: play("bad", 14)):
        pass
    assert ended["good"] == 20
    assert "no such depth" in str(ended["bad"])


def together(shared: SharedModel, seats: Sequence[SeatedModel], images: Sequence[Tensor]) -> list[Tensor]:
    """Ask for all pictures within one pass where that may be; return their depths."""
    depths: dict[int, Tensor] = {}

    def ask(index: int) -> None:
        depths[index] = seats[index](images[index])

    batcher = shared._batcher
    batcher._running += 1  # as if a pass were under way
    with threads(*(lambda index=index: ask(index) for index in range(len(seats)))):
        wait_until(queued(shared, len(seats)))
        with batcher._changed:
            batcher._running -= 1
            batcher._changed.notify_all()
    return [depths[index] for index in range(len(seats))]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> DepthModel:
    path = tmp_path_factory.mktemp("network") / "depth_anything_v2_vits.safetensors"
    save_file(small_state_dict(), path)
    return load_model(path)


@pytest.mark.parametrize("tiled", [False, True], ids=["whole", "tiled"])
def test_a_batch_gives_what_single_calls_give_to_within_rounding(network: DepthModel, tiled: bool) -> None:
    model: DepthModel = TiledModel(network, Tiling(detail=2)) if tiled else network
    shared = SharedModel(model, replace(TOGETHER, wait_seconds=0.0))
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 3, 28, 56, generator=generator) for _ in range(3)]
    depths = together(shared, [shared.new_feed() for _ in images], images)
    assert shared.stats.mean_batch > 1
    for depth_bhw, image in zip(depths, images, strict=True):
        expected = model(image)
        torch.testing.assert_close(depth_bhw, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_video_network_remembers_each_feeds_own_frames(tmp_path: Path) -> None:
    save_file(golden.seeded_state_dict("vda_vits"), tmp_path / "video_depth_anything_vits.safetensors")
    model = load_model(tmp_path / "video_depth_anything_vits.safetensors", variant="video")
    shared = SharedModel(model, TOGETHER)
    generator = torch.Generator().manual_seed(0)
    clips = [[torch.randn(1, 3, 14, 28, generator=generator) for _ in range(2)] for _ in range(2)]
    depths: dict[int, list[Tensor]] = {0: [], 1: []}

    def play(feed: int) -> None:
        seat = shared.new_feed()
        depths[feed] = [seat(image) for image in clips[feed]]

    with threads(lambda: play(0), lambda: play(1)):
        pass
    assert shared.stats.mean_batch == 1
    for feed, clip in enumerate(clips):
        alone = model.new_feed()
        for depth_bhw, image in zip(depths[feed], clip, strict=True):
            torch.testing.assert_close(depth_bhw, alone(image), rtol=1e-4, atol=1e-4)


def test_cameras_alike_share_passes_and_others_keep_their_own_metres() -> None:
    class Metric(CountingModel):
        """Depth depends on the field of view, as metres do."""

        def __init__(self, factor: float = 1.0) -> None:
            super().__init__()
            self._factor = factor

        def with_field_of_view(self, fov_x_rad: float) -> "Metric":
            variant = Metric(fov_x_rad)
            variant.passes = self.passes
            return variant

        def __call__(self, images_bchw: Tensor) -> Tensor:
            return super().__call__(images_bchw) * self._factor

    model = Metric()
    shared = SharedModel(model, replace(TOGETHER, wait_seconds=0.0))
    fields = (1.0, 1.0, 2.0)
    seats = [shared.new_feed().with_field_of_view(field).new_feed() for field in fields]
    depths = together(shared, seats, [picture(feed) for feed in range(3)])
    for feed, (depth_bhw, field) in enumerate(zip(depths, fields, strict=True)):
        assert float(depth_bhw[0, 0, 0]) == feed * (1 + 256 + 65536) * field
    assert sorted(map(sorted, model.passes))[-1] == [2]
    assert shared.stats.passes in (2, 3)


def test_another_precision_is_made_once_for_all_feeds_and_shared_as_well(network: DepthModel) -> None:
    shared = SharedModel(network, TOGETHER)
    one, other = (shared.new_feed().with_dtype(torch.float64) for _ in range(2))
    assert one.dtype == other.dtype == torch.float64
    assert shared.dtype == torch.float32
    images = [torch.zeros(1, 3, 28, 42, dtype=torch.float64), torch.ones(1, 3, 28, 42, dtype=torch.float64)]
    depths = together(shared, [one, other], images)
    assert shared.stats.mean_batch == 2
    for depth_bhw, image in zip(depths, images, strict=True):
        torch.testing.assert_close(depth_bhw, network(image.float()), rtol=1e-4, atol=1e-4)
    toy = SharedModel(ToyModel(), TOGETHER).new_feed()
    assert toy.with_dtype(torch.float64) is toy  # it cannot be had otherwise


@pytest.mark.parametrize(("feeds", "passes", "threads"), [(1, 1, 8), (2, 2, 4), (3, 3, 2), (20, 8, 1)])
def test_feeds_get_equal_parts_of_the_processor(
    feeds: int, passes: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "cpu_count", lambda: 8)
    policy = BatchPolicy.for_feeds(ToyModel(), feeds)
    assert (policy.passes, policy.threads) == (passes, threads)
