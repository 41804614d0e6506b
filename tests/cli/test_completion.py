"""`segs-detailer completion`."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from segs_detailer.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_gets_commands_and_options(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("verify", "guide-size", "doctor"):
        assert word in script
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n", "/dev/stdin"], input=script, text=True, check=True)


def test_bash_completes(capsys):
    pytest.importorskip("shtab")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    main(["completion", "bash"])
    script = capsys.readouterr().out
    words = "COMP_WORDS=(segs-detailer run --guide-s); COMP_CWORD=2; _shtab_segs_detailer; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{words}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--guide-size", "--guide-size-for"]


def test_another_shell_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["completion", "fish"])
    assert stop.value.code == 2
    assert "bash, zsh" in capsys.readouterr().err.replace("'", "")


def test_without_shtab_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'segs-detailer[video]'" in capsys.readouterr().err
