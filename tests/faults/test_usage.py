"""A call that is none: one line on stderr and exit code 2, like every other refusal."""

from __future__ import annotations

import pytest

WRONG = {
    ("fit", "x", "--seed", "²"): "--seed '²': must be a whole number",
    ("fit", "x", "--shots", "x"): "--shots 'x': must be a whole number",
    ("fit", "x", "--shots", "-3"): "--shots '-3': must be at least 1",
    ("fit", "x", "--shots", "2.5"): "--shots '2.5': must be a whole number",
    ("fit", "x", "--seed", "1" * 5000): "must be a whole number",
    ("predict", "run", "x.png", "--top", "1e3"): "--top '1e3': must be a whole number",
    ("--max-pixels", "0", "show"): "--max-pixels '0': must be at least 1",
    ("export", "run", "-o", "x", "--format", "onnx"): "must be one of 'open_clip', 'hf'",
    ("fit", "x", "--classes", "some"): "must be one of 'all', 'base', 'novel'",
    ("fit", "x", "--track", "mlflow"): "must be one of 'tensorboard', 'wandb'",
    ("bench", "few_shot", "--engine", "slurm"): "must be one of 'local', 'ray'",
    ("report", "runs", "--format", "pdf"): "must be one of 'html', 'md', 'csv', 'latex'",
    ("fit", "x", "--seedd", "1"): "no such option --seedd: did you mean --seed or --set?",
    ("show", "--jsn"): "no such option --jsn: did you mean --json?",
    ("fit", "x", "--[/red]"): "no such option: --[/red]; see interlace fit --help",
    ("fit", "x", "--overwrite=3"): "'--overwrite' does not take a value",
    ("fit", "x", "--seed"): "'--seed' requires an argument",
    ("fit",): "missing argument 'data'; see interlace fit --help",
    ("embed", "x", "--model", "picto"): "missing option '--output' / '-o'",
    ("fit", "x", "y\n\x1b[2Jz"): "unexpected extra argument",
    ("fitt", "x"): "no such command 'fitt'. Did you mean 'fit'?",
    ("data", "chck"): "no such command 'chck'. Did you mean 'check'?",
    ("search",): None,
    (): None,
}


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_call_is_one_line(arguments, command):
    code, out, err = command(*arguments)
    assert code == 2
    expected = WRONG[arguments]
    if expected is None:  # called without anything: the help
        assert "Usage" in out + err and "error" not in err
        return
    assert out == "" and err.startswith("error: ") and err.endswith("\n"), err
    assert err.count("\n") == 1 and len(err) < 300 and "\x1b" not in err
    assert expected in err


def test_help_and_version_are_no_refusals(command):
    for arguments in (["--help"], ["fit", "-h"], ["search", "query", "--help"]):
        code, out, err = command(*arguments)
        assert (code, err) == (0, "") and "Usage" in out
    code, out, err = command("--version")
    assert (code, err) == (0, "") and out.startswith("interlace ")


def test_an_interrupt_is_130(command, monkeypatch):
    from interlace.data.datasets import registry as catalog

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "catalog_names", interrupted)
    assert command("show") == (130, "", "")
    monkeypatch.setattr(catalog, "catalog_names", lambda: (_ for _ in ()).throw(EOFError))
    assert command("show")[0] == 1
