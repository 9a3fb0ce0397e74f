"""A torch network as an OpenVINO graph for pictures of one size: converted, stored, compiled for this processor."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import DptStreamError
from .quiet import quiet

_HEAVY = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul", "Parameter")
_LIMIT = 1e30

_CORE_LOCK = threading.Lock()
_CONVERSION_LOCK = threading.Lock()
"""Held while a network is traced, which torch does for one thread at a time, and while warnings are kept quiet."""

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
"""Precision as torch names it -> as OpenVINO does."""


def openvino_version() -> str:
    """Return OpenVINO's version, short."""
    return str(_openvino().__version__).split("-")[0]


def openvino_build() -> str:
    """Return OpenVINO's version with its build."""
    return str(_openvino().__version__)


@lru_cache(1)
def processor_name() -> str:
    """Return what OpenVINO calls this processor."""
    return str(_core().get_property("CPU", "FULL_DEVICE_NAME"))


@lru_cache(1)
def runs_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 by itself (AVX-512 BF16 or AMX)."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def convert(network: nn.Module, size_hw: tuple[int, int]) -> Any:
    """Turn a float32 network on the CPU into a graph for pictures (1, 3, H, W).

    Raises:
        DptStreamError: OpenVINO cannot express the network.
    """
    openvino = _openvino()
    # Not openvino.convert_model: that reports each conversion to its makers, over the network.
    try:
        with (
            _CONVERSION_LOCK,
            torch.no_grad(),
            quiet("torch.export", "openvino", "root"),
            _PlainAttention() if _has_windows(network) else nullcontext(),
        ):
            from openvino.frontend import FrontEndManager

            frontend = FrontEndManager().load_by_framework("pytorch")
            decoder = _decoder(_Outputs(_twin(network)), torch.zeros(1, 3, *size_hw))  # has to outlive the conversion
            graph = frontend.convert(frontend.load(decoder))
            graph.reshape([1, 3, *size_hw])
            _keep_last_convolution_exact(graph)
    except Exception as error:  # the two libraries raise dozens of kinds
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DptStreamError(f"OpenVINO {openvino.__version__} cannot express the network: {reason}") from error
    return graph


def _decoder(network: nn.Module, images_bchw: Tensor) -> Any:
    """Return what tells OpenVINO's frontend of a network's operations."""
    trace: Any = getattr(torch.jit, "trace", None)
    if trace is not None:  # a sixth of the time that an export takes, for the same graph
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        # Of a function, weights become constants; of a module, each part would be made a script, which takes longer.
        def function(images_bchw: Tensor) -> Any:
            return network(images_bchw)

        with one_thread():  # it runs once: waking others would cost a small network more than they save
            return TorchScriptPythonDecoder(trace(function, images_bchw, check_trace=False), skip_freeze=True)
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    program = torch.export.export(network, (images_bchw,), strict=False)
    return TorchFXPythonDecoder.from_exported_program(program)


def save_graph(graph: Any, path: Path) -> None:
    """Write a graph as ``path`` (.xml) and the weights beside it (.bin), in float32."""
    _openvino().save_model(graph, str(path), compress_to_fp16=False)


def load_graph(path: Path) -> Any:
    """Read a graph that ``save_graph`` has written.

    Raises:
        DptStreamError: It is damaged.
    """
    try:
        return _core().read_model(str(path))
    except RuntimeError as error:
        raise DptStreamError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from error


class Program:
    """A graph compiled for this processor. Any number of threads may run it, ``lanes`` of them at once.

    Attributes:
        precision: That of the work inside.
    """

    def __init__(self, network: nn.Module, graph: Any, precision: str, *, lanes: int, threads: int) -> None:
        """Compile ``graph``, which was made from ``network``; each lane uses ``threads`` threads."""
        options: Mapping[str, object] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "NUM_STREAMS": lanes,
            "INFERENCE_NUM_THREADS": lanes * threads,
        }
        self.precision = precision
        self._network = network
        self._compiled = _core().compile_model(graph, "CPU", options)
        self._requests = threading.local()

    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Run pictures (B, 3, H, W) float32 one by one: (B, H, W) float32."""
        return torch.cat([self._run(image_1chw) for image_1chw in torch.split(images_bchw, 1)])

    def _run(self, image_1chw: Tensor) -> Tensor:
        request = getattr(self._requests, "of_thread", None)
        if request is None:
            request = self._requests.of_thread = self._compiled.create_infer_request()
        outputs = request.infer([image_1chw.contiguous().numpy()], share_inputs=True, share_outputs=True)
        # The request writes its next result to the same memory.
        return finished(self._network, [torch.from_numpy(outputs[index].copy()) for index in range(len(outputs))])


def finished(network: nn.Module, outputs_bhw: list[Tensor]) -> Tensor:
    """Return the depth (B, H, W) that a network makes of the outputs of its graph."""
    if not _has_sky(network):
        return outputs_bhw[0]
    from .depth_anything.head import fill_sky

    return fill_sky(outputs_bhw[0], outputs_bhw[1])


class _Outputs(nn.Module):
    """A network up to what OpenVINO can express: sorting V3's sky away is left to torch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_bchw: Tensor) -> Any:
        if _has_sky(self.network):
            network: Any = self.network
            return network.depth_and_sky(images_bchw)
        return self.network(images_bchw)


def _twin(network: nn.Module) -> nn.Module:
    """Return a network of the same weights: the export puts stand-ins in their places, which other threads would meet."""
    weights = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(weight): weight for weight in weights})


def _keep_last_convolution_exact(graph: Any) -> None:
    """Make the last convolution of each output give float32 in any precision; bfloat16 would show as steps in the depth.

    OpenVINO rounds what a convolution gives unless an operation behind it is computed within it, as this limit is, which
    no depth reaches.
    """
    from openvino import opset13

    for result in graph.get_results():
        output = result.input_value(0)
        while output.get_node().get_type_name() not in _HEAVY:
            output = output.get_node().input_value(0)
        readers = list(output.get_target_inputs())
        if len(readers) == 1 and readers[0].get_node().get_type_name() == "Add":  # the bias
            output = readers[0].get_node().output(0)
            readers = list(output.get_target_inputs())
        limited = opset13.clamp(output, -_LIMIT, _LIMIT)
        for reader in readers:
            reader.replace_source_output(limited.output(0))


class _PlainAttention(TorchFunctionMode):
    """Write attention out as its two products: of attention within windows, OpenVINO 2026.4 refuses the fused form."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = args[:3]
        scale = kwargs.get("scale")
        scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
        bias = kwargs.get("attn_mask")
        return (scores if bias is None else scores + bias).softmax(dim=-1) @ value


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread for what the calling thread does inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _has_sky(network: nn.Module) -> bool:
    return bool(getattr(getattr(network, "config", None), "is_v3", False))


def _has_windows(network: nn.Module) -> bool:
    return hasattr(getattr(network, "config", None), "window")


def _openvino() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino
    return openvino


def _core() -> Any:
    with _CORE_LOCK:
        return _only_core()


@lru_cache(1)
def _only_core() -> Any:
    openvino = _openvino()
    # OpenVINO looks for numpy's C interface when it meets the first array; two threads that do so at once wait for each
    # other for ever (2026.4).
    openvino.Tensor(np.zeros(1, np.float32))
    return openvino.Core()
