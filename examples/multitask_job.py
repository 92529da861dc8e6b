"""Let the service tune one general and several task-specific prompts together.

    python examples/multitask_job.py first/train.jsonl second/train.jsonl third/train.jsonl

A task is called as its file's folder. Needs a service (`ptsys up`) and PTSYS_API_KEY; PTSYS_URL
where it is not on this machine. `multitask_loop.py` does the same with an optimizer of its own.
"""

import sys
from pathlib import Path

import ptsys
from ptsys.client import Example, read_rows


def tune(
    client: ptsys.Client, name: str, tasks: dict[str, list[Example]], **settings: object
) -> dict[str, dict[str, float]]:
    """Every task's scores on its first rows, under its own prompt."""
    job = client.train_multitask(name, tasks, **settings)
    job.wait()
    return {
        task: client.evaluate(client.prompts.get(f"{name}.{task}"), rows[:200])
        for task, rows in tasks.items()
    }


def main(*files: str) -> None:
    """Tune on all files at once."""
    tasks = {Path(file).resolve().parent.name: read_rows(file) for file in files}
    with ptsys.Client() as client:
        for task, scores in tune(client, "together", tasks, combination="concat").items():
            print(task, scores)


if __name__ == "__main__":
    main(*sys.argv[1:])
