"""The command line's frame: names, exit codes, one line of error."""

import subprocess

import pytest

from tests.fork_server import edgebench_command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*edgebench_command(), *arguments], capture_output=True, text=True, check=False, timeout=600)


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_2() -> None:
    result = run()
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: edgebench")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profil"], "did you mean 'profile'?"),
        (["profile", "--device", "pi44"], "did you mean 'pi4'?"),
        (["profile", "--device", "pi4"], "edgebench device add pi4 --host"),
        (["profile", "--format", "onnx-int9"], "did you mean 'onnx-int8'?"),
        (["profile", "--lang", "swa"], "did you mean 'sw'?"),
        (["profile", "--lang", "sw", "--seq-len", "8"], "exclude each other"),
        (["profile", "--threads", "two"], "'two' is not a whole number"),
        (["profile", "--runs", "0"], "runs must be >= 1"),
        (["profile", "--runs", "1000000000"], "runs must be <= 10000"),
        (["profile", "--min-count", "10000001"], "min_count must be <= 10000000"),
        (["profile", "--threads", "4097"], "threads must be <= 4096"),
        (["profile", "--batch", "65537"], "batch must be <= 65536"),
        (["profile", "--batch", "31", "--lang", "sw"], "batch 31 is more than the 30 inputs of 'sw'; try 30"),
        (["profile", "--seq-len", "1048577"], "seq_len must be <= 1048576"),
        (["profile", "--max-duration", "604801"], "durations must be"),
        (["profile", "--max-duration", "inf"], "durations must be"),
        (["profile", "--min-duration", "nan"], "durations must be"),
        (["runs", "resume", "--scores", "no-such-file"], "no-such-file"),
        (["profile", "--texts", "no-such-file"], "can't read no-such-file"),
        (["profile", "--scores", "no-such-file"], "no-such-file"),
        (["profile", "--host", "a:b:c:d"], "a:b:c:d"),
        (["profile", "--host-key", "ssh-ed25519 AAAA"], "--host-key goes with --host"),
        (["profile", "--host", "10.0.0.4", "--host-key", "nonsense"], "host_key"),
        (["profile", "--no-such-option"], "No such option"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_what_is_named_twice_is_measured_once() -> None:
    from edgebench.cli.requested import requested_workloads
    from edgebench.workload import Workload

    workloads = requested_workloads(Workload(), None, "en,sw,en,", None, 1, "1,2,1")
    assert [(each.lang, each.threads) for each in workloads] == [("en", 1), ("en", 2), ("sw", 1), ("sw", 2)]
