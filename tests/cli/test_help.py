"""`--help` teaches, is quick, and needs no accelerator stack."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call, command

import ptsys
from ptsys.api.app import ROUTERS

COMMANDS = [
    *(
        [name]
        for name in (
            "quickstart",
            "up",
            "worker",
            "api",
            "train",
            "multitask",
            "augment",
            "predict",
            "evaluate",
            "gradients",
            "select",
            "run",
            "plan",
        )
    ),
    *(["jobs", name] for name in ("list", "show", "watch", "cancel")),
    *(
        ["prompts", name]
        for name in (
            *("list", "show", "search", "edit", "ranking", "map", "generate"),
            *("export", "import", "delete"),
        )
    ),
    *(["meta", name] for name in ("list", "generate", "search", "train")),
    *(["keys", name] for name in ("create", "list", "revoke")),
    ["models", "list"],
    ["models", "import"],
    ["bench", "residents"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example(words: list[str]) -> None:
    ended = call(*words, "--help")
    assert ended.code == 0
    assert ended.err == ""
    after = ended.out.partition("Examples")[2]
    assert f"ptsys {' '.join(words)}" in after


@pytest.mark.parametrize("words", [[], *COMMANDS], ids=" ".join)
def test_types_are_told_in_words_for_users(words: list[str]) -> None:
    """TEXT, PATH, choices; not Python's `<list[str]>`, `<int range>`, `{DATA.jsonl}`, or a type
    where a flag takes no value."""
    told = call(*words, "--help").out.partition("Examples")[0]
    assert not re.search(r"<(list|str|int|float|bool|path|file)\b|\{[A-Za-z.|]+\}|\|[^ ]+>", told)


def test_choices_and_places_are_named() -> None:
    told = call("train", "--help").out
    assert "ptsys train [OPTIONS] DATA.jsonl" in told
    for words in ("--optimizer +adafactor", "--steps +INTEGER", "--lr +NUMBER", "--name +TEXT"):
        assert re.search(words, told), words


def test_nothing_but_what_works_is_offered() -> None:
    ended = call("--help")
    assert ended.code == 0
    assert " search " not in ended.out


def test_a_bare_call_shows_the_help() -> None:
    ended = call()
    assert (ended.code, ended.err) == (0, "")
    assert "quickstart" in ended.out


def test_the_version_is_told() -> None:
    assert call("--version").out.strip() == f"ptsys {ptsys.__version__}"


@pytest.mark.parametrize("statement", ["import ptsys", "import ptsys.cli.main"])
def test_imports_take_less_than_a_second_and_no_jax(statement: str) -> None:
    code = f"{statement}; import sys; print(sorted({{'jax', 'flax', 'celery'}} & set(sys.modules)))"
    printed, seconds = _timed([sys.executable, "-c", code])
    assert printed.strip() == "[]"
    assert seconds < 1


def test_a_list_of_jobs_waits_for_nothing_that_it_does_not_show(tmp_path: Path) -> None:
    """In the folder too, where the command asks the application itself."""
    heavy = {"jax", "flax", "optax", "orbax", "celery", "redis", "scann", "sentencepiece"}
    heavy |= {"numpy", "safetensors", "matplotlib", "plotly", "sklearn", "ptsys.library"}
    heavy |= {f"ptsys.api.routes.{name}" for name in ROUTERS} - {
        "ptsys.api.routes.jobs",
        "ptsys.api.routes.events",
    }
    code = (
        "import sys, ptsys.cli.main as main\n"
        f"assert main.call(['--data', {str(tmp_path)!r}, 'jobs', 'list', '--json']) == 0\n"
        "assert 'ptsys.api.routes.jobs' in sys.modules\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    assert _timed([sys.executable, "-c", code])[0].splitlines() == ["[]", "[]"]


def test_the_first_help_page_takes_less_than_a_second() -> None:
    assert min(_timed(command("--help"))[1] for _ in range(3)) < 1


def _timed(arguments: list[str]) -> tuple[str, float]:
    """What a process prints, and the processor's seconds it takes, however busy the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
