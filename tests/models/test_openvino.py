import dataclasses
import json
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

pytest.importorskip("openvino", reason='OpenVINO is not installed: pip install "dptstream[openvino]"')

from dptstream.errors import DptStreamError
from dptstream.models import dpt_tiny, load_model, openvino_graph, openvino_network
from dptstream.models.network import NetworkModel
from dptstream.models.openvino_cache import Facts, GraphCache
from dptstream.models.openvino_network import OpenVinoNetwork, Plan, weights_fingerprint
from dptstream.models.preprocess import Preprocessing
from dptstream.models.probe import difference, probe_picture
from dptstream.models.runtime import TOLERANCES, prepare, runtime_of
from dptstream.models.tiling import TiledModel, Tiling

from .families import NETWORKS, small_model, small_network, small_size_hw

TINY_HW = small_size_hw("tiny")
PICTURE_FAMILIES = [name for name in NETWORKS if name != "video"]

needs_bfloat16 = pytest.mark.skipif(
    not openvino_graph.runs_bfloat16(), reason="this processor has no bfloat16 (AVX-512 BF16 or AMX)"
)


@pytest.fixture
def cache(tmp_path: Path) -> GraphCache:
    return GraphCache(tmp_path / "openvino")


GRAPHS: dict[tuple[str, tuple[int, int]], object] = {}
"""Graphs that a test has made, by weights and size: a conversion takes a second."""


@pytest.fixture(autouse=True)
def convert_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def converted(network: nn.Module, size_hw: tuple[int, int]) -> object:
        key = (weights_fingerprint(network), size_hw)
        if key not in GRAPHS:
            GRAPHS[key] = openvino_graph.convert(network, size_hw)
        return GRAPHS[key].clone()

    monkeypatch.setattr(openvino_network, "convert", converted)


def wrapped(network: nn.Module, cache: GraphCache, *, choice="openvino", precisions=("float32",)) -> OpenVinoNetwork:
    return OpenVinoNetwork(network, Plan(choice, precisions, weights_fingerprint(network), cache)).eval()


def slow_openvino(*_: object) -> Facts:
    return Facts(error=0.0, torch_ms=10.0, openvino_ms=20.0)


def quick_openvino(*_: object) -> Facts:
    return Facts(error=0.0, torch_ms=20.0, openvino_ms=10.0)


@pytest.mark.parametrize("name", PICTURE_FAMILIES)
def test_every_picture_family_gives_torchs_depth_in_both_precisions(name: str) -> None:
    network, size_hw = small_network(name), small_size_hw(name)
    image_1chw = torch.randn(1, 3, *size_hw, generator=torch.Generator().manual_seed(3))
    expected_1hw = network(image_1chw)
    graph = openvino_graph.convert(network, size_hw)
    for precision in ("float32", "bfloat16") if openvino_graph.runs_bfloat16() else ("float32",):
        program = openvino_graph.Program(network, graph, precision, lanes=1, threads=1)
        found = program(image_1chw)
        assert found.dtype == torch.float32
        assert difference(found, expected_1hw).mean <= TOLERANCES[precision]
        # Rounded to bfloat16, the depth of these networks would have a handful of values.
        assert found.unique().numel() > 0.9 * expected_1hw.unique().numel()


def test_without_torchs_tracing_the_export_gives_the_same_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image_1chw = small_network("tiny"), probe_picture(TINY_HW)

    def depth_1hw() -> torch.Tensor:
        graph = openvino_graph.convert(network, TINY_HW)
        return openvino_graph.Program(network, graph, "float32", lanes=1, threads=1)(image_1chw)

    traced_1hw = depth_1hw()
    monkeypatch.delattr(torch.jit, "trace")
    exported_1hw = depth_1hw()
    assert difference(exported_1hw, network(image_1chw)).mean <= TOLERANCES["float32"]
    assert difference(exported_1hw, traced_1hw).mean <= 1e-5


def test_networks_are_converted_side_by_side(cache: GraphCache) -> None:
    found: dict[str, object] = {}

    def convert(name: str) -> None:
        found[name] = openvino_graph.convert(small_network(name), small_size_hw(name))

    threads = [threading.Thread(target=convert, args=(name,)) for name in ("tiny", "v2", "beit")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert set(found) == {"tiny", "v2", "beit"}


def test_files_are_run_by_the_program_that_was_measured_and_others_let_it_go(
    cache: GraphCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []

    class Counting(openvino_graph.Program):
        def __init__(self, *arguments, lanes: int, threads: int) -> None:
            compiled.append(threads)
            super().__init__(*arguments, lanes=lanes, threads=threads)

    monkeypatch.setattr(openvino_network, "Program", Counting)
    image_1chw = probe_picture(TINY_HW)
    file_like = wrapped(small_network("tiny"), cache)
    file_like.prepare(TINY_HW)
    with openvino_graph.one_thread():
        file_like(image_1chw)
    assert compiled == [1]
    live_like = wrapped(small_network("tiny"), GraphCache(cache.folder / "another"))
    live_like.prepare(TINY_HW)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    live_like(image_1chw)
    assert compiled == [1, 1, 2]
    assert [key[2] for key in live_like._programs] == [2]
    monkeypatch.setattr(openvino_network, "measure", slow_openvino)
    slower = wrapped(small_network("tiny"), GraphCache(cache.folder / "a third"), choice="auto")
    assert slower.prepare(TINY_HW).name == "torch"
    assert not slower._programs


def test_a_batch_is_run_picture_by_picture(cache: GraphCache) -> None:
    network = wrapped(small_network("tiny"), cache)
    images_bchw = torch.randn(3, 3, *TINY_HW, generator=torch.Generator().manual_seed(1))
    depth_bhw = network(images_bchw)
    assert torch.equal(depth_bhw[1:2], network(images_bchw[1:2]))
    assert depth_bhw.shape == (3, *TINY_HW)


def test_many_threads_share_a_network_and_get_their_own_depth(cache: GraphCache) -> None:
    network = wrapped(small_network("tiny"), cache)
    images_bchw = torch.randn(6, 3, *TINY_HW, generator=torch.Generator().manual_seed(2))
    expected_bhw = network(images_bchw)
    found: dict[int, torch.Tensor] = {}

    def work(index: int) -> None:
        torch.set_num_threads(1)
        for _ in range(5):
            found[index] = network(images_bchw[index : index + 1])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    # However many threads a picture gets, its depth is the same to the last bit: a run can go on anywhere.
    assert all(torch.equal(found[index][0], expected_bhw[index]) for index in range(6))


def test_conversion_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = pytest.importorskip("openvino_telemetry", reason="this OpenVINO came without its telemetry")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the conversion was reported")

    for name in ("__init__", "send_event", "start_session"):
        monkeypatch.setattr(telemetry.Telemetry, name, refuse)
    openvino_graph.convert(small_network("tiny"), TINY_HW)


def test_auto_takes_the_faster_one_and_says_why(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network("tiny")
    monkeypatch.setattr(openvino_network, "measure", slow_openvino)
    slow = wrapped(network, cache, choice="auto").prepare(TINY_HW)
    assert (slow.name, slow.precision) == ("torch", "float32")
    assert "0.5 times as fast" in slow.words
    monkeypatch.setattr(openvino_network, "measure", quick_openvino)
    kept = wrapped(network, cache, choice="auto").prepare(TINY_HW)
    assert kept.name == "torch", "what was measured once is kept with the graph"
    quick = wrapped(network, GraphCache(cache.folder / "another"), choice="auto").prepare(TINY_HW)
    assert quick.name == "openvino"
    assert "2.0 times as fast as PyTorch float32 here" in quick.words


def test_the_choice_made_at_one_size_holds_at_the_next(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    network = wrapped(small_network("tiny"), cache, choice="auto")
    monkeypatch.setattr(openvino_network, "measure", slow_openvino)
    network.prepare(TINY_HW)
    monkeypatch.setattr(openvino_network, "measure", quick_openvino)
    assert network.prepare((32, 48)).name == "torch"


def test_what_torch_runs_is_torchs_depth(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = small_network("tiny")
    network = wrapped(plain, cache, choice="auto")
    monkeypatch.setattr(openvino_network, "measure", slow_openvino)
    image_1chw = probe_picture(TINY_HW)
    assert torch.equal(network(image_1chw), plain(image_1chw))


def test_a_precision_that_is_off_too_far_is_refused_and_the_next_one_tried(
    cache: GraphCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(_network: object, program: openvino_graph.Program, _size_hw: object) -> Facts:
        return Facts(error=0.5 if program.precision == "bfloat16" else 0.0, torch_ms=20.0, openvino_ms=10.0)

    monkeypatch.setattr(openvino_network, "measure", measured)
    network = small_network("tiny")
    both = wrapped(network, cache, precisions=("bfloat16", "float32")).prepare(TINY_HW)
    assert (both.name, both.precision) == ("openvino", "float32")
    assert "bfloat16 is off by 0.5 where 0.04 is allowed" in both.words
    alone = wrapped(network, cache, choice="auto", precisions=("bfloat16",)).prepare(TINY_HW)
    assert alone.name == "torch"
    assert "bfloat16 is off by 0.5" in alone.why
    with pytest.raises(DptStreamError, match=r"gives another depth than PyTorch .* use --runtime torch"):
        wrapped(network, cache, precisions=("bfloat16",)).prepare(TINY_HW)


def test_a_graph_that_gives_nan_is_refused(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_network, "measure", lambda *_: Facts(float("nan"), 20.0, 10.0))
    with pytest.raises(DptStreamError, match="another depth"):
        wrapped(small_network("tiny"), cache).prepare(TINY_HW)


class Inexpressible(nn.Module):
    """A network with an operation that no graph has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, images_bchw: torch.Tensor) -> torch.Tensor:
        depth_bhw = images_bchw.sum(dim=1) * self.weight
        return depth_bhw * torch.special.bessel_j0(depth_bhw)


def test_a_network_that_openvino_cannot_express_stays_with_torch(cache: GraphCache) -> None:
    network = Inexpressible()
    automatic = wrapped(network, cache, choice="auto")
    image_1chw = probe_picture((16, 16))
    assert torch.equal(automatic(image_1chw), network(image_1chw))
    assert "cannot express the network" in automatic.runtime.words
    with pytest.raises(DptStreamError, match="cannot express the network"):
        wrapped(network, cache).prepare((16, 16))


def counted_conversions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    convert = openvino_network.convert

    def count(network: nn.Module, size_hw: tuple[int, int]) -> object:
        made.append(size_hw)
        return convert(network, size_hw)

    monkeypatch.setattr(openvino_network, "convert", count)
    monkeypatch.setattr(openvino_network, "measure", quick_openvino)
    return made


def test_a_graph_is_made_once_and_made_anew_for_other_weights_sizes_and_versions(
    cache: GraphCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = counted_conversions(monkeypatch)
    network = small_network("tiny")
    first = wrapped(network, cache)(probe_picture(TINY_HW))
    assert torch.equal(wrapped(network, cache)(probe_picture(TINY_HW)), first)
    assert made == [TINY_HW]
    wrapped(network, cache).prepare((32, 48))
    assert made[1:] == [(32, 48)]
    other = small_network("tiny")
    other.head.predict.bias.add_(1)
    assert not torch.equal(wrapped(other, cache)(probe_picture(TINY_HW)), first)
    assert len(made) == 3
    monkeypatch.setattr(openvino_network, "openvino_build", lambda: "2031.1")
    wrapped(network, cache).prepare(TINY_HW)
    assert len(made) == 4


def test_a_damaged_graph_is_made_anew(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted_conversions(monkeypatch)
    network = small_network("tiny")
    expected = wrapped(network, cache)(probe_picture(TINY_HW))
    (graph,) = cache.folder.glob("*/graph.xml")
    graph.write_text(graph.read_text(encoding="utf-8")[:2000], encoding="utf-8")
    assert torch.equal(wrapped(network, cache)(probe_picture(TINY_HW)), expected)
    assert len(made) == 2


def test_facts_belong_to_a_processor(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network("tiny")
    monkeypatch.setattr(openvino_network, "measure", slow_openvino)
    wrapped(network, cache, choice="auto").prepare(TINY_HW)
    monkeypatch.setattr(openvino_network, "measure", quick_openvino)
    monkeypatch.setattr(openvino_network, "processor_name", lambda: "a faster one")
    assert wrapped(network, cache, choice="auto").prepare(TINY_HW).name == "openvino"


def test_without_a_place_to_keep_graphs_all_works(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    network = wrapped(small_network("tiny"), GraphCache(tmp_path / "file"))
    assert network(probe_picture(TINY_HW)).shape == (1, *TINY_HW)


def test_the_least_recently_used_graphs_make_room(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dptstream.models.openvino_cache.MOST_BYTES", 25)
    for number in range(4):
        cache.keep(f"graph{number}", lambda path: path.write_bytes(b"0123456789") and None)
    assert cache.graph("graph3") is not None
    assert sum(path.stat().st_size for path in cache.folder.rglob("*") if path.is_file()) <= 25


def test_measuring_finds_a_right_graph_right_and_a_wrong_one_wrong() -> None:
    network, other = small_network("tiny"), small_network("tiny")
    torch.manual_seed(5)
    other.head.predict = nn.Conv2d(other.head.predict.in_channels, 4, 3, padding=1)
    graph = openvino_graph.convert(network, TINY_HW)
    program = openvino_graph.Program(network, graph, "float32", lanes=1, threads=1)
    right = openvino_network.measure(network, program, TINY_HW)
    assert right.error <= TOLERANCES["float32"]
    assert right.torch_ms > 0
    assert right.openvino_ms > 0
    assert openvino_network.measure(other, program, TINY_HW).error > TOLERANCES["bfloat16"]


def test_padding_tiles_and_cameras_work_on_top(cache: GraphCache) -> None:
    plain = small_model("tiny", Preprocessing(fit="pad"))
    fast = NetworkModel(wrapped(plain.network, cache), plain.info, plain.preprocessing)
    image_1chw = probe_picture((45, 71))
    assert difference(fast(image_1chw), plain(image_1chw)).mean <= TOLERANCES["float32"]
    assert prepare(fast, (45, 71)).name == "openvino"
    tiled, plain_tiled = TiledModel(fast, Tiling(detail=1.5)), TiledModel(plain, Tiling(detail=1.5))
    large_1chw = probe_picture((80, 128))
    assert runtime_of(tiled).name == "openvino"
    assert difference(tiled(large_1chw), plain_tiled(large_1chw)).mean <= TOLERANCES["float32"]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPTSTREAM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "random.safetensors"
    torch.manual_seed(0)
    save_file(dict(dpt_tiny.Model(dpt_tiny.Config.tiny()).state_dict()), path)
    return path


def test_a_checkpoint_loads_onto_openvino_and_keeps_what_torch_alone_can_tell(checkpoint: Path) -> None:
    model = load_model(checkpoint, runtime="openvino", dtype=torch.float32)
    plain = load_model(checkpoint)
    image_1chw = probe_picture((32, 48))
    assert difference(model(image_1chw), plain(image_1chw)).mean <= TOLERANCES["float32"]
    assert torch.equal(model.features(image_1chw).depth_bhw, plain.features(image_1chw).depth_bhw)
    assert json.loads(json.dumps(dataclasses.asdict(model.runtime)))["name"] == "openvino"
    assert runtime_of(plain).name == "torch"


@needs_bfloat16
def test_bfloat16_is_the_precision_where_the_processor_has_it(checkpoint: Path) -> None:
    assert load_model(checkpoint, runtime="auto").runtime.precision == "bfloat16"
    assert load_model(checkpoint, runtime="auto", dtype=torch.float32).runtime.precision == "float32"


def test_what_openvino_cannot_run_is_refused_when_asked_for_and_left_to_torch_otherwise(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="on the CPU it runs float32 or bfloat16"):
        load_model(checkpoint, runtime="openvino", dtype=torch.float16)
    assert load_model(checkpoint, runtime="auto", dtype=torch.float16).runtime.precision == "float16"


def test_a_network_on_which_openvinos_compiler_crashes_stays_with_torch(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpt_tiny.Config, "is_hybrid", True, raising=False)
    assert runtime_of(load_model(checkpoint, runtime="auto")).name == "torch"
    with pytest.raises(ValueError, match="compiler crashes on"):
        load_model(checkpoint, runtime="openvino")


def test_a_video_network_stays_with_torch_and_says_so() -> None:
    assert "video networks run in PyTorch" in small_model("video").runtime.words


def test_torch_runs_pictures_until_openvino_is_ready(cache: GraphCache, monkeypatch: pytest.MonkeyPatch) -> None:
    network, ready = small_network("tiny"), threading.Event()
    convert = openvino_network.convert

    def wait_and_convert(module: nn.Module, size_hw: tuple[int, int]) -> object:
        assert ready.wait(300)
        return convert(module, size_hw)

    monkeypatch.setattr(openvino_network, "convert", wait_and_convert)
    monkeypatch.setattr(openvino_network, "measure", quick_openvino)
    plan = Plan("auto", ("float32",), weights_fingerprint(network), cache, meanwhile=True)
    live, image_1chw = OpenVinoNetwork(network, plan).eval(), probe_picture(TINY_HW)
    assert torch.equal(live(image_1chw), network(image_1chw)), "the first picture does not wait"
    ready.set()
    for thread in threading.enumerate():
        if thread.name == "dptstream-openvino":
            thread.join(300)
    assert live.runtime.name == "openvino"
    found = live(image_1chw)
    assert not torch.equal(found, network(image_1chw))
    assert difference(found, network(image_1chw)).mean <= TOLERANCES["float32"]


def test_where_openvino_fails_in_the_background_torch_goes_on(cache: GraphCache) -> None:
    network = Inexpressible()
    plan = Plan("auto", ("float32",), weights_fingerprint(network), cache, meanwhile=True)
    live, image_1chw = OpenVinoNetwork(network, plan).eval(), probe_picture((16, 16))
    live(image_1chw)
    for thread in threading.enumerate():
        if thread.name == "dptstream-openvino":
            thread.join(300)
    assert torch.equal(live(image_1chw), network(image_1chw))
    assert "cannot express" in live.runtime.words


def test_what_gets_openvino_ready_is_waited_for_at_the_end_even_if_a_daemon_began_it(
    cache: GraphCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, ready = small_network("tiny"), threading.Event()
    monkeypatch.setattr(openvino_network, "convert", lambda *_: ready.wait(300) and openvino_graph.convert(*_))
    monkeypatch.setattr(openvino_network, "measure", slow_openvino)
    plan = Plan("auto", ("float32",), weights_fingerprint(network), cache, meanwhile=True)
    live = OpenVinoNetwork(network, plan).eval()
    starter = threading.Thread(target=live, args=(probe_picture(TINY_HW),), daemon=True)
    starter.start()
    starter.join(300)
    (worker,) = [thread for thread in threading.enumerate() if thread.name == "dptstream-openvino"]
    assert not worker.daemon
    ready.set()
    worker.join(300)
    assert live.runtime.name == "torch"
