"""A saved model takes the place of the old one in one step, whenever it is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import interlace
from interlace import DualEncoder, InterlaceError, load
from interlace._util import folders
from interlace._util.folders import replaced_folder
from tests.models import with_tokenizer

SOURCE = str(Path(interlace.__file__).parent.parent)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


#: Stops the process at the number of a call of the operating system that changes names or files.
KILLED = """
import os, signal, sys
from pathlib import Path
from interlace._util import folders
count = 0
def after(call):
    def run(*args, **kwargs):
        global count
        result = call(*args, **kwargs)
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return run
if sys.argv[3] == "no exchange":
    folders._exchanged = lambda one, other: False
folders._exchanged = after(folders._exchanged)
for name in ("rename", "mkdir", "unlink", "rmdir", "fsync"):
    setattr(os, name, after(getattr(os, name)))
    if name in ("rename", "mkdir"):
        setattr(Path, name, after(getattr(Path, name)))
with folders.replaced_folder(Path(sys.argv[1])) as fresh:
    for name in "ab":
        (fresh / name).write_text("new")
print(count)
"""


class TestKills:
    def _killed(self, target: Path, at: int, way: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(target), str(at), way],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": SOURCE},
        )

    @pytest.mark.parametrize("way", ["exchange", "no exchange"])
    def test_at_every_point(self, way: str, tmp_path: Path) -> None:
        target = tmp_path / "model"
        old, new = {"a": "old", "c": "old"}, {"a": "new", "b": "new"}
        for at in range(1, 60):
            target.mkdir(exist_ok=True)
            for path in target.iterdir():
                path.unlink()
            for name, text in old.items():
                (target / name).write_text(text)
            done = self._killed(target, at, way)
            if target.exists() or way == "exchange":
                assert files(target) in (old, new), at
            else:  # between two renames; the next command puts it back
                folders.recovered(target)
                assert files(target) in (old, new), at
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            with replaced_folder(target) as fresh:  # the same command again
                for name, text in new.items():
                    (fresh / name).write_text(text)
            assert files(target) == new
            assert os.listdir(tmp_path) == ["model"]
        assert done.returncode == 0 and at > 5
        assert os.listdir(tmp_path) == ["model"]

    def test_folders_of_living_processes_are_left(self, tmp_path: Path) -> None:
        for name in (f".model.{os.getppid()}.workspace", ".model.4194305.workspace", ".model.x"):
            (tmp_path / name / "new").mkdir(parents=True)
        with replaced_folder(tmp_path / "model"):
            pass
        left = {f".model.{os.getppid()}.workspace", ".model.x", "model"}
        assert set(os.listdir(tmp_path)) == left


class TestFailures:
    @pytest.fixture
    def clip(self) -> DualEncoder:
        return with_tokenizer()

    @pytest.mark.parametrize("format", ["open_clip", "hf"])
    def test_a_full_disk(
        self, format: str, clip: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from safetensors import SafetensorError

        target = clip.save(tmp_path / "model", format=format)
        before = {path.name: path.read_bytes() for path in target.iterdir()}
        errors = [
            SafetensorError("Error while serializing: I/O error: No space left on device (os 28)"),
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ]
        for error in errors:

            def full(*args: object, error: Exception = error, **kwargs: object) -> None:
                raise error

            for name in ("save_file", "write_json"):
                with monkeypatch.context() as patch:
                    patch.setattr(f"interlace.backbone.checkpoints.save.{name}", full)
                    with pytest.raises(InterlaceError, match="no space left.*run the same command"):
                        clip.save(target, format=format, overwrite=True)
        assert {path.name: path.read_bytes() for path in target.iterdir()} == before
        assert os.listdir(tmp_path) == ["model"]

    def test_errors_name_the_place_and_not_the_workspace(
        self, clip: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from interlace._util.files import cannot_write

        def fails(path: Path, value: object) -> None:
            raise cannot_write(path, OSError(errno.EIO, "broken"))

        monkeypatch.setattr("interlace.backbone.checkpoints.save.write_json", fails)
        with pytest.raises(InterlaceError) as caught:
            clip.save(tmp_path / "model")
        assert str(caught.value).startswith(f"cannot write {tmp_path}/model/open_clip_config.json")

    def test_two_at_once(self, clip: DualEncoder, tmp_path: Path) -> None:
        code = (
            "import sys; from interlace._util.files import held\n"
            "with held(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "model")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": SOURCE},
        )
        with other:
            assert other.stdout is not None and other.stdin is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(InterlaceError, match="another interlace command is writing to"):
                clip.save(tmp_path / "model")
            other.stdin.close()
        assert load(clip.save(tmp_path / "model")).fingerprint() == clip.fingerprint()

    def test_a_link_to_a_folder_stays_one(self, clip: DualEncoder, tmp_path: Path) -> None:
        clip.save(tmp_path / "disk" / "model")
        (tmp_path / "link").symlink_to(tmp_path / "disk" / "model")
        clip.save(tmp_path / "link", format="hf", overwrite=True)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "disk" / "model" / "config.json").exists()

    @pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
    def test_names_that_no_folder_can_have(
        self, name: str, clip: DualEncoder, tmp_path: Path
    ) -> None:
        with pytest.raises(InterlaceError):
            clip.save(tmp_path / name)
        assert os.listdir(tmp_path) == []

    def test_hostile_templates_come_back(self, clip: DualEncoder, tmp_path: Path) -> None:
        for i, template in enumerate(("[/red] {}", "\ud800 {}\x1b[2J", "{}\n\0", "$\\frac{{}$")):
            clip.template = template
            for format in ("open_clip", "hf"):
                folder = clip.save(tmp_path / f"{format}-{i}", format=format)
                assert load(folder).template == template
