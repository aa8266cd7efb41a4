"""What tests of the commands share."""

from __future__ import annotations

import sys

import pytest

from interlace import cli


@pytest.fixture
def interlace_command(monkeypatch, capsys):
    """Run the command line; returns exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["interlace", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run
