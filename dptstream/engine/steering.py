"""Answers the control channel's requests by steering players. Opens no socket; see ``wire/control.py``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import get_args

from ..models.base import DepthModel
from ..temporal.config import TemporalPreset
from .feeds import Player


class Steering:
    """A ``ControlHandler`` for some feeds that share one network.

    A request that names no feed is meant for all of them; where one of several cannot do it, its reason is in the
    answer, and only where none can is the request refused.

    Args:
        players: The feeds.
        load_model: Loads a network by its name, onto the right device; raises a DptStreamError.
        quit: Ends the run; must return at once.
    """

    def __init__(
        self, players: Sequence[Player], load_model: Callable[[str], DepthModel], quit: Callable[[], None]
    ) -> None:
        self._players = {player.name: player for player in players}
        self._load_model = load_model
        self._quit = quit

    def status(self) -> Mapping[str, object]:
        """Return how each feed goes."""
        return {"feeds": [asdict(player.report()) for player in self._players.values()]}

    def feeds(self) -> Mapping[str, object]:
        """Return the feeds' names and what each plays."""
        reports = [player.report() for player in self._players.values()]
        known = ("feed", "location", "state", "width", "height", "live")
        return {"feeds": [{name: asdict(report)[name] for name in known} for report in reports]}

    def pause(self, *, feed: str | None, paused: bool) -> Mapping[str, object]:
        """Pause or go on."""
        return self._each(feed, lambda player: player.pause(paused=paused))

    def seek(self, *, feed: str | None, seconds: float) -> Mapping[str, object]:
        """Jump to ``seconds`` after the clip's first frame."""
        return self._each(feed, lambda player: player.seek(seconds))

    def loop(self, *, feed: str | None, enabled: bool) -> Mapping[str, object]:
        """Begin again at the end, or do not."""
        return self._each(feed, lambda player: player.set_loop(enabled=enabled))

    def model(self, *, name: str) -> Mapping[str, object]:
        """Load another network, then go on with it in new sessions; the old one plays until then."""
        model = self._load_model(name)
        answer = self._each(None, lambda player: player.change(model=model))
        return {**answer, "model": model.info.name, "license": model.info.license}

    def size(self, *, pixels: int | None) -> Mapping[str, object]:
        """Go on at another size of the network, in new sessions."""
        return self._each(None, lambda player: player.change(size=pixels))

    def temporal(self, *, preset: str) -> Mapping[str, object]:
        """Go on with another preset of smoothing, in new sessions."""
        if preset not in get_args(TemporalPreset):
            raise ValueError(f"unknown preset {preset!r}; known: {', '.join(get_args(TemporalPreset))}")
        return self._each(None, lambda player: player.change(temporal=preset))

    def quit(self) -> Mapping[str, object]:
        """End the run."""
        self._quit()
        return {}

    def _each(self, feed: str | None, act: Callable[[Player], None]) -> Mapping[str, object]:
        if feed is not None and feed not in self._players:
            raise ValueError(f"there is no feed {feed!r}; there are: {', '.join(self._players)}")
        chosen = list(self._players.values()) if feed is None else [self._players[feed]]
        refusals: dict[str, str] = {}
        for player in chosen:
            try:
                act(player)
            except ValueError as refusal:
                refusals[player.name] = str(refusal)
        if len(refusals) == len(chosen):
            raise ValueError("; ".join(dict.fromkeys(refusals.values())))
        done = [player.name for player in chosen if player.name not in refusals]
        return {"feeds": done, **({"refused": refusals} if refusals else {})}
