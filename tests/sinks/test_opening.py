import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from dptstream.errors import SinkError
from dptstream.geometry import DepthKind, Intrinsics
from dptstream.sinks import DepthFolder, FeedInfo, FolderOptions, read_manifest
from dptstream.sinks.layout import file_stem

from .clips import digests, names, run, toy_feed, toy_frame


def begin(options: FolderOptions, frames: int = 3, feed: FeedInfo | None = None) -> None:
    """Start a run and leave it unfinished."""
    folder = DepthFolder(options)
    folder.open(feed or toy_feed())
    for sequence in range(frames):
        folder.write(toy_frame(sequence))
    folder.close(complete=False)


def test_a_finished_run_leaves_only_what_was_asked_for(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path / "new" / "out", ("exr", "preview")), frames=[toy_frame(0), toy_frame(1)])
    assert names(tmp_path / "new" / "out") == ["manifest.json", "preview.mp4", "toy.1001.exr", "toy.1002.exr"]


@pytest.mark.parametrize(
    ("choices", "first"), [({"numbering": "vfx"}, 1001), ({"numbering": "blender"}, 1), ({"start_frame": 86}, 86)]
)
def test_frames_are_numbered_from_the_presets_first_number(tmp_path: Path, choices: dict, first: int) -> None:  # type: ignore[type-arg]
    run(FolderOptions(tmp_path, ("npy",), **choices), frames=[toy_frame(0), toy_frame(1)])
    assert names(tmp_path) == ["manifest.json", f"toy.{first:04d}.npy", f"toy.{first + 1:04d}.npy"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b:c*?", "a_b_c_"),
        ("  .. ", "clip"),
        ("", "clip"),
        ("NUL", "_NUL"),
        ("com1.take", "_com1.take"),
        ("ä %04d", "ä _04d"),
    ],
)
def test_names_of_sources_become_names_of_files_on_every_system(name: str, stem: str) -> None:
    assert file_stem(name) == stem


def test_a_folder_with_other_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("precious")
    with pytest.raises(SinkError, match=r"is not empty: it holds holiday\.jpg; choose another folder"):
        DepthFolder(FolderOptions(tmp_path)).open(toy_feed())
    assert names(tmp_path) == ["holiday.jpg"]


def test_what_file_managers_leave_is_no_content(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("")
    run(FolderOptions(tmp_path, ("npy",)), frames=[toy_frame(0)])
    assert "toy.1001.npy" in names(tmp_path)


def test_overwrite_writes_beside_foreign_files_and_never_touches_them(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("precious")
    for count in (3, 1):
        run(FolderOptions(tmp_path, ("npy",), overwrite=True), frames=[toy_frame(n) for n in range(count)])
    assert names(tmp_path) == ["holiday.jpg", "manifest.json", "toy.1001.npy"]
    assert (tmp_path / "holiday.jpg").read_text() == "precious"


@pytest.mark.parametrize("name", ["toy.1001.exr", "toy.12345.exr", "preview.mp4", "manifest.json"])
def test_overwrite_refuses_to_replace_a_file_it_did_not_make(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(SinkError, match="was not made by dptstream"):
        DepthFolder(FolderOptions(tmp_path, overwrite=True)).open(toy_feed())
    assert (tmp_path / name).read_text() == "precious"
    assert names(tmp_path) == [name]


def test_overwrite_removes_all_files_of_a_longer_finished_run_with_other_formats(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("exr", "png16", "ffv1")))
    run(FolderOptions(tmp_path, ("npy",), overwrite=True, numbering="blender"), frames=[toy_frame(0)])
    assert names(tmp_path) == ["manifest.json", "toy.0001.npy"]


def test_overwrite_removes_an_unfinished_run_with_files_the_journal_does_not_know_yet(tmp_path: Path) -> None:
    begin(FolderOptions(tmp_path, ("exr",)))
    (tmp_path / "toy.1020.exr").write_text("renamed just before the kill, not yet in the journal")
    run(FolderOptions(tmp_path, ("npy",), overwrite=True), frames=[toy_frame(0)])
    assert names(tmp_path) == ["manifest.json", "toy.1001.npy"]


def test_a_file_far_beyond_what_an_unfinished_run_had_reached_is_not_ours(tmp_path: Path) -> None:
    begin(FolderOptions(tmp_path, ("exr",)))
    (tmp_path / "toy.9999.exr").write_text("precious")
    run(FolderOptions(tmp_path, ("npy",), overwrite=True), frames=[toy_frame(0)])
    assert (tmp_path / "toy.9999.exr").read_text() == "precious"


def test_a_plain_run_over_an_unfinished_one_says_resume_or_overwrite(tmp_path: Path) -> None:
    begin(FolderOptions(tmp_path, ("exr",)))
    before = digests(tmp_path)
    with pytest.raises(SinkError, match=r"unfinished run of toy\.mp4: finish it with --resume or .* --overwrite"):
        DepthFolder(FolderOptions(tmp_path, ("exr",))).open(toy_feed())
    assert digests(tmp_path) == before


def test_a_plain_run_over_a_finished_one_says_overwrite(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("npy",)), frames=[toy_frame(0)])
    with pytest.raises(SinkError, match=r"a finished run of toy\.mp4: overwrite it with --overwrite"):
        DepthFolder(FolderOptions(tmp_path, ("npy",))).open(toy_feed())


@pytest.mark.parametrize(
    ("choices", "changes", "said"),
    [
        ({"half": True}, {}, "outputs.half was false, is now true"),
        ({"formats": ("npy", "preview")}, {}, "outputs.formats was"),
        ({"start_frame": 5}, {}, "outputs.first_number was 1001, is now 5"),
        ({"range": (1.0, 2.0)}, {}, r"outputs.range was \"shot\", is now \[1.0, 2.0\]"),
        ({}, {"location": "other.mp4"}, r'source.location was "toy.mp4", is now "other.mp4"'),
        ({}, {"time_base": Fraction(1, 25)}, r"source.time_base was \[1, 12800\]"),
        ({}, {"model": {"name": "toy", "sha256": "cd"}}, r'model.sha256 was "ab12", is now "cd"'),
        ({}, {"settings": {"size": 28}}, "settings.size was 14, is now 28"),
        ({}, {"kind": DepthKind.METRIC}, r'values.kind was "relative_inverse", is now "metric"'),
        ({}, {"intrinsics": Intrinsics.default(26, 18)}, "intrinsics.fx was"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_resume_refuses_another_run_and_says_what_differs(
    tmp_path: Path,
    choices: dict,
    changes: dict,
    said: str,
    finished: bool,  # type: ignore[type-arg]
) -> None:
    options = FolderOptions(tmp_path, ("exr",))
    run(options, frames=[toy_frame(0)]) if finished else begin(options, 1)
    with pytest.raises(SinkError, match=said):
        DepthFolder(replace(options, resume=True, **choices)).open(toy_feed(**changes))


def test_resume_cares_neither_for_threads_nor_for_the_estimated_length(tmp_path: Path) -> None:
    begin(FolderOptions(tmp_path, ("exr",)), 2)
    folder = DepthFolder(FolderOptions(tmp_path, ("exr",), resume=True, workers=5))
    folder.open(toy_feed(frame_count=None))
    assert folder.next_sequence == 2
    folder.close(complete=False)


def test_resume_accepts_a_finished_run_and_changes_nothing(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("exr", "preview"))
    run(options)
    before = digests(tmp_path)
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.finished
    assert folder.next_sequence is None
    folder.write(toy_frame(0))
    folder.close(complete=True)
    assert digests(tmp_path) == before


def test_resume_of_a_finished_run_that_lacks_a_file_names_it(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("npy",))
    run(options)
    (tmp_path / "toy.1004.npy").unlink()
    with pytest.raises(SinkError, match=r"toy\.1004\.npy of a finished run is missing: .* --overwrite"):
        DepthFolder(replace(options, resume=True)).open(toy_feed())


def test_resume_in_an_empty_folder_begins_a_run(tmp_path: Path) -> None:
    folder = run(FolderOptions(tmp_path, ("npy",), resume=True), frames=[toy_frame(0)])
    assert not folder.finished
    assert "toy.1001.npy" in names(tmp_path)


def test_a_run_killed_before_it_wrote_anything_leaves_a_folder_that_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / ".dptstream").mkdir()
    run(FolderOptions(tmp_path, ("npy",)), frames=[toy_frame(0)])
    assert names(tmp_path) == ["manifest.json", "toy.1001.npy"]


def test_a_run_killed_while_it_tidied_up_is_finished(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("npy",))
    run(options, frames=[toy_frame(0)])
    (tmp_path / ".dptstream").mkdir()
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.finished


def test_an_unfinished_run_without_its_journal_cannot_be_resumed(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("npy",))
    begin(options)
    (tmp_path / ".dptstream" / "journal.jsonl").unlink()
    with pytest.raises(SinkError, match=r"its record .* is gone"):
        DepthFolder(replace(options, resume=True)).open(toy_feed())


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SinkError, match="it is a file, not a folder"):
        DepthFolder(FolderOptions(tmp_path / "out")).open(toy_feed())


def test_a_file_in_place_of_a_parent_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SinkError, match="a file stands where a folder is needed"):
        DepthFolder(FolderOptions(tmp_path / "out" / "clip")).open(toy_feed())


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"formats": ()}, "formats must be some of exr"),
        ({"formats": ("exr", "exr")}, "each once"),
        ({"formats": ("tiff",)}, "formats must be some of exr"),
        ({"overwrite": True, "resume": True}, "exclude each other"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"start_frame": -1}, "start_frame must be at least 0"),
        ({"exr_channel": ""}, "exr_channel must name a channel"),
        ({"range": (2.0, 1.0)}, "the smaller first"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, choices: dict, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=said):
        FolderOptions(tmp_path, **choices)


def test_the_manifest_tells_source_model_settings_camera_values_and_frames(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("exr", "npy")), frames=[toy_frame(n) for n in range(3)])
    manifest = read_manifest(tmp_path)
    assert manifest["schema"] == "dptstream/manifest/1"
    assert manifest["complete"] is True
    assert manifest["source"] == {
        "name": "toy",
        "location": "toy.mp4",
        "width": 26,
        "height": 18,
        "time_base": [1, 12800],
        "average_rate": [25, 1],
        "has_audio": False,
    }
    assert manifest["model"] == {"name": "toy", "license": "Apache-2.0", "sha256": "ab12"}
    assert manifest["settings"] == {"size": 14}
    assert manifest["counts"] == {"frames": 3, "scene_cuts": 1, "invalid_values": 0}
    values, intrinsics, frames = manifest["values"], manifest["intrinsics"], manifest["frames"]
    assert isinstance(values, dict)
    assert isinstance(intrinsics, dict)
    assert isinstance(frames, list)
    assert (values["kind"], values["unit"], values["polarity"]) == ("relative_inverse", None, "larger is nearer")
    assert values["exr_channels"] == ["inverse_depth", "Y"]
    assert (intrinsics["width"], intrinsics["origin"]) == (26, "user")
    depth = toy_frame(2).at_picture_size()
    assert frames[2] == {
        "sequence": 2,
        "number": 1003,
        "files": {"exr": "toy.1003.exr", "npy": "toy.1003.npy"},
        "pts": 1100,
        "pts_seconds": 1100 / 12800,
        "width": 26,
        "height": 18,
        "range": [float(depth.min()), float(depth.max())],
        "invalid": 0,
        "scene_cut": False,
    }


def test_metric_values_say_metres(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("exr",)), toy_feed(DepthKind.METRIC), [toy_frame(0, DepthKind.METRIC)])
    values = read_manifest(tmp_path / "manifest.json")["values"]
    assert isinstance(values, dict)
    assert (values["name"], values["unit"], values["exr_channels"]) == ("depth", "m", ["Z", "Y"])


def test_a_run_that_is_given_up_says_so_in_its_manifest_and_keeps_its_frames(tmp_path: Path) -> None:
    begin(FolderOptions(tmp_path, ("exr", "preview")))
    manifest = read_manifest(tmp_path)
    assert manifest["complete"] is False
    assert manifest["counts"] == {"frames": 3, "scene_cuts": 1, "invalid_values": 0}
    assert len(list(tmp_path.glob("*.exr"))) == 3


def test_warnings_of_others_are_kept_once(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("npy",)))
    folder.open(toy_feed())
    folder.write(toy_frame(0))
    folder.warn("3 packets were corrupt")
    folder.warn("3 packets were corrupt")
    folder.close(complete=True)
    assert read_manifest(tmp_path)["warnings"] == ["3 packets were corrupt"]


def test_facts_about_the_run_are_kept(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("npy",)))
    folder.open(toy_feed())
    folder.note("smoothing", {"name": "default", "strength": 0.9})
    folder.close(complete=True)
    assert read_manifest(tmp_path)["notes"] == {"smoothing": {"name": "default", "strength": 0.9}}


def test_an_assumed_camera_is_stated_aloud(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("npy",)), toy_feed(intrinsics=Intrinsics.default(26, 18)), [toy_frame(0)])
    assert read_manifest(tmp_path)["warnings"] == [
        "nothing is known about the camera: a field of view of 60 degrees was assumed"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "is no manifest"), ("[]", "schema is None"), ('{"schema": "dptstream/manifest/9"}', "dptstream/manifest/9")],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(SinkError, match=said):
        read_manifest(tmp_path)


def test_a_missing_manifest_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot read .*manifest\.json: No such file"):
        read_manifest(tmp_path)


def test_a_clip_without_a_frame_has_a_manifest_and_no_video(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("exr", "preview")), frames=[])
    assert names(tmp_path) == ["manifest.json"]
    assert read_manifest(tmp_path)["frames"] == []


def test_the_manifest_is_one_json_document_with_a_line_for_each_frame(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("npy",)))
    text = (tmp_path / "manifest.json").read_text()
    assert json.loads(text)["frames"][3]["sequence"] == 3
    assert sum('"pts_seconds"' in line for line in text.splitlines()) == 12


def test_frames_must_come_without_gaps(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("npy",)))
    folder.open(toy_feed())
    folder.write(toy_frame(0))
    with pytest.raises(SinkError, match="frame 2 came where frame 1 was due"):
        folder.write(toy_frame(2))
    folder.close(complete=False)


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    folder = run(FolderOptions(tmp_path, ("npy",)), frames=[toy_frame(0)])
    before = digests(tmp_path)
    folder.close(complete=False)
    assert digests(tmp_path) == before


def test_writing_to_a_folder_that_is_not_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open folder"):
        DepthFolder(FolderOptions(tmp_path)).write(toy_frame(0))
