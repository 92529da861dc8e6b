"""Users of the drill: each a thread that asks over HTTP, and writes down what it was told."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import httpx
import numpy as np
import tiny_model

from benchmarks.drill.history import History, Submission, Upload
from benchmarks.drill.stage import Stage
from benchmarks.drill.variants import DATASETS, LABELS, QUESTION, VARIANTS, WEIGHTS
from ptsys.prompts.safetensors_format import encode

_FINAL = ("succeeded", "failed", "cancelled")
_GIVE_UP_SECONDS = 25.0
_COMPILE_SECONDS = 600.0
_SAFETENSORS = "application/x-safetensors"
_JSONL = "application/x-ndjson"


class User:
    """One of them. What it does is drawn from its seed; when it is answered is not."""

    def __init__(
        self, name: str, number: int, seed: int, stage: Stage, history: History, answers: list[str]
    ) -> None:
        self._name, self._stage, self._history = name, stage, history
        self._draw = random.Random(f"{seed}/{name}/{number}")
        self._label = f"{name}{number}"
        self._answers = answers  # the right ones to QUESTION
        self._count = 0
        self._mine: list[Submission] = []
        self._uploads: list[Upload] = []
        self._stop = threading.Event()
        self._client = httpx.Client(
            base_url=stage.url,
            headers={"Authorization": f"Bearer {stage.keys[name]}"},
            timeout=10.0,
        )
        self.thread = threading.Thread(target=self._run, name=self._label, daemon=True)

    def stop(self) -> None:
        """No more requests after the one under way."""
        self._stop.set()

    def prepare(self) -> None:
        """Upload the rows that all jobs read; insists."""
        for name, rows in DATASETS.items():
            body = "".join(row.to_json() + "\n" for row in rows).encode()
            answer = self._insist(
                "POST", "/v1/datasets", params={"name": name}, content=body, kind=_JSONL
            )
            if answer is None or answer.status_code not in (201, 409):
                raise RuntimeError(f"no rows for {self._name}: {answer and answer.text}")

    def _run(self) -> None:
        acts = [
            (self._submit, 10),
            (self._cancel, 2),
            (self._look, 5),
            (self._send_rows, 2),
            (self._send_prompt, 2),
            (self._delete, 2),
            (self._predict, 2),
        ]
        while not self._stop.is_set():
            act = self._draw.choices([a for a, _ in acts], [weight for _, weight in acts])[0]
            try:
                act()
            except Exception as error:  # a fault of the drill itself must be seen
                self._history.strangely(f"{self._label}: {type(error).__name__}: {error}")
            self._stop.wait(self._draw.uniform(0.1, 1.0))

    # ---- what they do ---------------------------------------------------------------------

    def _submit(self) -> None:
        variant = self._draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        name = self._new_name("job")
        made = self._history.submission(
            user=self._name, key=f"key-{name}", name=name, variant=variant
        )
        spec = {**VARIANTS[variant], "name": name}
        answer = self._insist("POST", "/v1/jobs", json=spec, headers={"Idempotency-Key": made.key})
        if answer is None:
            return
        if answer.status_code == 201:
            made.id = answer.json()["id"]
            self._mine.append(made)
            self._note(made, answer.json())
        else:
            made.refused = True
            if answer.status_code != 429:  # the quota
                self._strange("submit", answer)

    def _cancel(self) -> None:
        open_jobs = [job for job in self._mine if not job.finals and not job.cancel_told]
        if not open_jobs:
            return
        job = self._draw.choice(open_jobs)
        answer = self._insist("POST", f"/v1/jobs/{job.id}/cancel")
        if answer is None:
            return
        if answer.status_code == 200:
            job.cancel_told = True
            self._note(job, answer.json())
        elif answer.status_code != 409:  # it ended before
            self._strange("cancel", answer)

    def _look(self) -> None:
        if not self._mine:
            return
        job = self._draw.choice(self._mine[-12:])
        answer = self._once("GET", f"/v1/jobs/{job.id}")
        if answer is None:
            return
        if answer.status_code == 200:
            self._note(job, answer.json())
        elif answer.status_code == 404:
            self._history.strangely(f"job {job.id} was acknowledged and is not found")
        else:
            self._strange("look", answer)

    def _send_rows(self) -> None:
        rows = tiny_model.rows(self._draw.randint(1, 60), seed=self._draw.randint(0, 10**6))
        name = self._new_name("rows")
        made = self._history.upload(user=self._name, kind="dataset", name=name, content=rows)
        body = "".join(row.to_json() + "\n" for row in rows).encode()
        self._sent(made, "/v1/datasets", {"name": name}, body, _JSONL)

    def _send_prompt(self) -> None:
        generator = np.random.default_rng(self._draw.randint(0, 10**6))
        array = generator.normal(size=(6, tiny_model.D_MODEL)).astype(np.float32)
        name = self._new_name("prompt")
        made = self._history.upload(user=self._name, kind="prompt", name=name, content=array)
        params = {"name": name, "model": tiny_model.NAME}
        self._sent(made, "/v1/prompts", params, encode(array), _SAFETENSORS)

    def _sent(
        self, made: Upload, path: str, params: dict[str, str], body: bytes, kind: str
    ) -> None:
        """Uploads have no idempotency key: one that was cut off is sent once more, and a 409 then
        says that the first had arrived."""
        answer = self._insist("POST", path, params=params, content=body, kind=kind)
        if answer is None:
            return
        if answer.status_code == 201:
            made.id = answer.json()["id"]
            self._uploads.append(made)
        elif answer.status_code != 409:
            made.refused = True
            self._strange(made.kind, answer)

    def _delete(self) -> None:
        there = [upload for upload in self._uploads if upload.deleted is None]
        if not there:
            return
        upload = self._draw.choice(there)
        upload.deleted = False
        answer = self._insist("DELETE", f"/v1/{upload.kind}s/{upload.id}")
        if answer is not None and answer.status_code in (200, 204, 404):
            upload.deleted = True  # 404: an earlier try had arrived
        elif answer is not None:
            self._strange("delete", answer)

    def _predict(self) -> None:
        body = {"model": tiny_model.NAME, "inputs": QUESTION, "decoding": {"labels": LABELS}}
        answer = self._once("POST", "/v1/predict", json=body, timeout=25.0)
        if answer is None:
            return
        if answer.status_code == 200:
            given = [row["prediction"] for row in answer.json()["predictions"]]
            self._history.answered(given == self._answers, str(given))
        else:
            self._strange("predict", answer)

    # ---- how they ask ---------------------------------------------------------------------

    def _insist(self, method: str, path: str, **given: Any) -> httpx.Response | None:
        """The answer once there is one that says yes or no; None if it takes too long."""
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        pause = 0.1
        while True:
            answer = self._once(method, path, **given)
            if answer is not None and answer.status_code < 500 and answer.status_code != 408:
                return answer
            if time.monotonic() > deadline or self._stop.is_set():
                return None
            time.sleep(pause)
            pause = min(2 * pause, 1.5)

    def _once(
        self, method: str, path: str, *, kind: str | None = None, **given: Any
    ) -> httpx.Response | None:
        headers = dict(given.pop("headers", {}))
        if kind is not None:
            headers["Content-Type"] = kind
        try:
            answer = self._client.request(method, path, headers=headers, **given)
        except httpx.HTTPError as error:
            self._history.failed(type(error).__name__)
            return None
        if answer.status_code >= 500:
            self._history.failed(str(answer.status_code))
            if answer.status_code == 500:
                self._history.strangely(f"500 to {method} {path}: {answer.text[:300]}")
            if "Traceback" in answer.text or str(self._stage.root) in answer.text:
                self._history.leaks(f"{method} {path}: {answer.text[:300]}")
        return answer

    def _note(self, job: Submission, told: dict[str, Any]) -> None:
        if told["state"] in _FINAL:
            job.finals.add(told["state"])
            if len(job.finals) > 1:
                self._history.strangely(f"job {job.id} was told as {sorted(job.finals)}")
        elif job.finals:
            self._history.strangely(
                f"job {job.id} was told as {sorted(job.finals)}, then as {told['state']}"
            )

    def _strange(self, what: str, answer: httpx.Response) -> None:
        """Refusals that no request of the drill deserves; 429, 408 and 5xx are weather."""
        if answer.status_code not in (408, 429) and answer.status_code < 500:
            self._history.strangely(f"{what}: {answer.status_code} {answer.text[:300]}")

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._label}-{self._count}"


def answers_without_prompt(stage: Stage) -> list[str]:
    """What the undisturbed service answers to QUESTION."""
    body = {"model": tiny_model.NAME, "inputs": QUESTION, "decoding": {"labels": LABELS}}
    headers = {"Authorization": f"Bearer {stage.keys['ann']}"}
    deadline = time.monotonic() + _COMPILE_SECONDS
    while True:
        answer = httpx.post(f"{stage.url}/v1/predict", json=body, headers=headers, timeout=60)
        if answer.status_code == 200:
            break
        if time.monotonic() > deadline:
            raise RuntimeError(answer.text)
    return [row["prediction"] for row in answer.json()["predictions"]]
