"""Flags for CUDA cards: what they ask of sources and of the engine, and that they change nothing without a card."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dptstream.cli import run
from dptstream.cli.card import CardFlags
from dptstream.engine import EngineConfig
from dptstream.sources import SourceOptions

CPU, CARD = torch.device("cpu"), torch.device("cuda:1")


def test_a_card_gets_the_decoders_planes_and_decodes_only_when_asked() -> None:
    assert CardFlags().source(SourceOptions(), CARD) == SourceOptions(native=True)
    assert CardFlags(decode="cuda").source(SourceOptions(every=2), CARD) == SourceOptions(every=2, native=True, card=1)
    assert CardFlags(decode="cuda").source(SourceOptions(), torch.device("cuda")).card == 0


def test_the_processor_gets_what_it_always_got() -> None:
    for flags in (CardFlags(), CardFlags(decode="cpu", batch=3, compile="on", no_graphs=True)):
        assert flags.source(SourceOptions(), CPU) == SourceOptions()


def test_pictures_cannot_stay_on_a_card_that_the_network_does_not_run_on() -> None:
    with pytest.raises(ValueError, match="--decode cuda keeps pictures on the card, but the network runs on cpu"):
        CardFlags(decode="cuda").source(SourceOptions(), CPU)


def test_what_changes_the_depth_is_recorded() -> None:
    assert CardFlags(batch=2, compile="on").settings(CPU) == {}
    assert CardFlags().settings(CARD) == {}
    assert CardFlags(decode="cuda", compile="on").settings(CARD) == {"decode": "cuda", "compile": "on"}


def test_the_engine_is_told() -> None:
    config = CardFlags(batch=3, compile="on", no_graphs=True).engine(EngineConfig(size=98))
    assert config == EngineConfig(size=98, batch=3, compile="on", graphs=False)
    with pytest.raises(ValueError, match="--batch must be at least 1; got 0"):
        CardFlags(batch=0).engine(EngineConfig())


def test_convert_takes_the_flags_and_gives_the_same_depth_on_the_processor(tmp_path: Path) -> None:
    depths = []
    for name, flags in (
        ("plain", []),
        ("flagged", ["--batch", "2", "--decode", "cpu", "--compile", "off", "--no-graphs"]),
    ):
        out = tmp_path / name
        arguments = ["convert", "synthetic:width=64,height=48,frames=2", "-o", str(out), "--format", "npy", "--quiet"]
        assert run([*arguments, "--size", "64", "--device", "cpu", *flags]) == 0
        depths.append([np.load(path) for path in sorted(out.glob("*.npy"))])
    for plain, flagged in zip(*depths, strict=True):
        np.testing.assert_array_equal(plain, flagged)


def test_convert_refuses_a_card_for_decoding_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["convert", "synthetic:width=64,height=48,frames=2", "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert run([*arguments, "--decode", "cuda", "--quiet"]) != 0
    assert "--decode cuda keeps pictures on the card, but the network runs on cpu" in capsys.readouterr().err
