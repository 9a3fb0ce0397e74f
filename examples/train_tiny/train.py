"""Train a dpt_tiny network on a pool of rendered scenes; may be stopped at any time and goes on."""

import argparse
import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dptstream.models import dpt_tiny

from .augment import Batch, crop, photograph
from .losses import LossWeights, total_loss
from .optimizers import optimizers_of
from .pool import batch_names, read_batch

LOGGER = logging.getLogger("train_tiny.train")
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Options:
    """One run of training; a run goes on from its folder's state if there is one."""

    pool: Path
    """Folder of rendered batches."""
    run: Path
    """Folder for the state, the log and exports."""
    height: int = 128
    """Of the pictures trained on; a multiple of 16."""
    width: int = 192
    """Of the pictures trained on; a multiple of 16."""
    jitter: int = 0
    """By how many times 16 pixels the height, and twice that the width, may differ from step to step, either way."""
    batch: int = 32
    """Pictures a step; even."""
    zoom_least: float = 0.55
    """Least share of a rendered picture's width that a crop covers."""
    zoom_most: float = 1.0
    """Greatest share."""
    steps: int = 100_000
    """The learning rate reaches zero here ..."""
    minutes: float = 1e9
    """... or after this many minutes of training, whichever comes first."""
    rate: float = 1.5e-3
    """Peak learning rate."""
    warmup: int = 300
    """Steps over which the rate rises."""
    decay: float = 0.05
    """Weight decay."""
    average: float = 0.999
    """Weight of the past in the running average of the weights."""
    gradient: float = 0.5
    """Weight of gradient matching; raise it late for crisp edges."""
    paired: float = 0.25
    """Share of steps on pairs of views, with the temporal term."""
    fresh: float = 0.5
    """Share of pictures drawn from the newest third of the pool."""
    save_every: int = 200
    """Steps between states."""
    log_every: int = 50
    """Steps between lines of the log."""
    start: Path | None = None
    """State or exported checkpoint to take the averaged weights from when the run is new."""
    seed: int = 1
    """Decides samples and augmentation."""
    device: str = "cpu"
    """Where to train."""
    ranks: int = 1
    """How many processes train together, each with its own flag --rank and batches; the first one saves and logs."""
    rank: int = 0
    """Which of them this is."""


class Trainer:
    """The network, its average, the optimiser and where they stand."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.device = torch.device(options.device)
        self.network = dpt_tiny.Model(dpt_tiny.Config.tiny()).to(self.device, memory_format=torch.channels_last)
        self.average = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.optimizers = optimizers_of(self.network, options.rate, options.decay)
        self.step = 0
        self.seconds = 0.0
        if self.state_path.exists():
            self._load(self.state_path)
        elif options.start is not None:
            self._warm_start(options.start)

    @property
    def state_path(self) -> Path:
        """Return where the state is kept."""
        return self.options.run / "state.pt"

    @property
    def progress(self) -> float:
        """Return the share of the run that is done, by steps or by time."""
        return max(self.step / self.options.steps, self.seconds / (60.0 * self.options.minutes))

    def rate(self) -> float:
        """Return the learning rate of the coming step."""
        rise = min(1.0, (self.step + 1) / self.options.warmup)
        fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.progress)))
        return self.options.rate * rise * max(fall, 0.01)

    def train_step(self) -> dict[str, float]:
        """Draw a batch, learn from it, and return the parts of the loss."""
        began = time.monotonic()
        batch = draw(self.options, self.step)
        rate = self.rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        rgb = normalise(batch.rgb.to(self.device)).contiguous(memory_format=torch.channels_last)
        prediction = self._predict(rgb)
        weights = LossWeights(gradient=self.options.gradient)
        flow = None if batch.flow is None else batch.flow.to(self.device)
        loss, parts = total_loss(prediction.float(), batch.inverse.to(self.device), flow, weights)
        self.network.zero_grad(set_to_none=True)
        with self._attention():
            loss.backward()
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self._update_average()
        self.step += 1
        self._agree_on_time(time.monotonic() - began)
        return {"loss": float(loss.detach()), **parts}

    def save(self) -> None:
        """Write the state so that a crash leaves the old one or the new one."""
        self.options.run.mkdir(parents=True, exist_ok=True)
        unfinished = self.state_path.with_suffix(".part")
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, unfinished)
        os.replace(unfinished, self.state_path)

    def _share_gradients(self) -> None:
        """Replace the gradients by their mean over all processes."""
        if self.options.ranks == 1:
            return
        gradients = [value.grad for value in self.network.parameters() if value.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.options.ranks
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _agree_on_time(self, seconds: float) -> None:
        """Count the slowest process's seconds, so that all end at the same step."""
        slowest = torch.tensor(seconds, device=self.device)
        if self.options.ranks > 1:
            distributed.all_reduce(slowest, distributed.ReduceOp.MAX)
        self.seconds += float(slowest)

    def _predict(self, rgb: Tensor) -> Tensor:
        with self._attention(), torch.autocast(self.device.type, torch.bfloat16):
            prediction: Tensor = self.network(rgb)
        return prediction

    def _attention(self) -> AbstractContextManager[None]:
        # On a CPU the fused kernel's backward pass is slower than plain matrix products on so few tokens.
        return sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()

    def _load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def _warm_start(self, path: Path) -> None:
        if path.suffix == ".safetensors":
            weights = load_file(path, device=str(self.device))
        else:
            weights = torch.load(path, map_location=self.device, weights_only=True)["average"]
        self.network.load_state_dict(weights)
        self.average = {key: value.clone() for key, value in self.network.state_dict().items()}

    def _update_average(self) -> None:
        past = min(self.options.average, (self.step + 1) / (self.step + 10))
        for key, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1.0 - past)
            else:
                self.average[key].copy_(value)


def draw(options: Options, step: int) -> Batch:
    """Return the augmented batch of one step; the pool, the options and the step decide it."""
    rng = torch.Generator().manual_seed(options.seed * 1_000_003 + options.rank * 500_000_003 + step)
    paired = float(torch.rand((), generator=rng)) < options.paired
    names = batch_names_cached(options.pool, step)
    rgb, inverse, flow = [], [], []
    for name in _choose(names, options, rng, options.batch // 2 if paired else options.batch):
        stored = read_batch(options.pool, name)
        scene = int(torch.randint(0, stored.flow.shape[0], (), generator=rng))
        if paired:
            views = [2 * scene, 2 * scene + 1]
            flow.append(stored.flow[scene])
        else:
            views = [2 * scene + int(torch.randint(0, 2, (), generator=rng))]
        rgb += [stored.rgb[view] for view in views]
        inverse += [stored.inverse[view] for view in views]
    batch = Batch(
        torch.from_numpy(np.stack(rgb)).permute(0, 3, 1, 2).float() / 255.0,
        torch.from_numpy(np.stack(inverse)).float(),
        torch.from_numpy(np.stack(flow)).float() if paired else None,
    )
    zoom = (options.zoom_least, options.zoom_most)
    return photograph(crop(batch, _size_hw(options, step), zoom, rng), rng)


def _size_hw(options: Options, step: int) -> tuple[int, int]:
    """Return the size of one step's pictures, the same for all processes, so that none waits for a larger batch."""
    rng = torch.Generator().manual_seed(options.seed * 7_000_003 + step)
    tall = int(torch.randint(-options.jitter, options.jitter + 1, (), generator=rng))
    wide = int(torch.randint(-2 * options.jitter, 2 * options.jitter + 1, (), generator=rng))
    return options.height + 16 * tall, options.width + 16 * wide


def normalise(rgb: Tensor) -> Tensor:
    """Return pictures (B, 3, H, W) in 0..1 with the checkpoint's mean and deviation taken out."""
    mean = torch.tensor(MEAN, device=rgb.device)[:, None, None]
    std = torch.tensor(STD, device=rgb.device)[:, None, None]
    return (rgb - mean) / std


_LISTED: dict[Path, tuple[int, list[str]]] = {}


def batch_names_cached(pool: Path, step: int) -> list[str]:
    """Return the pool's batches, looked up anew every fifty steps."""
    period = step // 50
    if pool not in _LISTED or _LISTED[pool][0] != period:
        names = batch_names(pool)
        if not names:
            raise FileNotFoundError(
                f"no rendered scenes in {pool}; fill it with python -m examples.train_tiny.pool {pool}"
            )
        _LISTED[pool] = (period, names)
    return _LISTED[pool][1]


def _choose(names: list[str], options: Options, rng: torch.Generator, count: int) -> Iterator[str]:
    """Yield rendered batches, the newer ones more often; one scene from each, as a batch's scenes are of one kind."""
    newest = max(1, len(names) // 3)
    for _ in range(count):
        if float(torch.rand((), generator=rng)) < options.fresh:
            yield names[len(names) - 1 - int(torch.randint(0, newest, (), generator=rng))]
        else:
            yield names[int(torch.randint(0, len(names), (), generator=rng))]


def meet(options: Options) -> None:
    """Wait until all processes of the run are there."""
    if options.ranks > 1:
        options.run.mkdir(parents=True, exist_ok=True)
        meeting = f"file://{(options.run / 'meeting').resolve()}"
        backend = "nccl" if options.device.startswith("cuda") else "gloo"
        distributed.init_process_group(backend, init_method=meeting, rank=options.rank, world_size=options.ranks)


def run(options: Options) -> Trainer:
    """Train until the run is done; log to the folder's log.jsonl."""
    trainer = Trainer(options)
    options.run.mkdir(parents=True, exist_ok=True)
    first = options.rank == 0
    sums: dict[str, float] = {}
    count, since = 0, time.monotonic()
    while trainer.progress < 1.0:
        for name, value in trainer.train_step().items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        if first and trainer.step % options.log_every == 0:
            pictures = count * options.batch * options.ranks
            _log(trainer, {name: value / count for name, value in sums.items()}, pictures / (time.monotonic() - since))
            sums, count, since = {}, 0, time.monotonic()
        if first and trainer.step % options.save_every == 0:
            trainer.save()
    if first:
        trainer.save()
    return trainer


def _log(trainer: Trainer, means: dict[str, float], pictures_per_s: float) -> None:
    rounded = {name: round(value, 4) for name, value in means.items()}
    line = {
        "step": trainer.step,
        "progress": round(trainer.progress, 4),
        **rounded,
        "pictures_per_s": round(pictures_per_s, 1),
    }
    with (trainer.options.run / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    LOGGER.info("%s", line)


def parse(arguments: list[str] | None = None) -> Options:
    """Return the options of the command line: one flag for each field."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in dataclasses.fields(Options):
        flag = "--" + option.name.replace("_", "-")
        if option.name in ("pool", "run"):
            parser.add_argument(flag, type=Path, required=True)
        elif option.name == "start":
            parser.add_argument(flag, type=Path)
        else:
            parser.add_argument(flag, type=type(option.default), default=option.default)
    return Options(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    chosen = parse()
    meet(chosen)
    run(chosen)
