"""Tune a prompt inside a torch graph: the frozen model is an autograd function at the service.

    python examples/torch_loop.py train.jsonl test.jsonl

Needs torch, a service (`ptsys up`) and PTSYS_API_KEY; PTSYS_URL where it is not on this machine.
"""

import sys
from typing import Any

import torch

import ptsys
from ptsys.client import Example, read_rows

LENGTH, BATCH, STEPS, LEARNING_RATE = 16, 16, 150, 0.1


class RemoteLoss(torch.autograd.Function):
    """The loss of a prompt [length, d_model] on rows; its gradient came with the same answer."""

    @staticmethod
    def forward(
        context: Any, prompt: torch.Tensor, client: ptsys.Client, rows: list[Example], model: str
    ) -> torch.Tensor:
        """Ask the service once."""
        found = client.gradients(prompt.detach().cpu().numpy(), rows, model=model)
        context.save_for_backward(torch.from_numpy(found.gradient).to(prompt))
        return prompt.new_tensor(found.loss)

    @staticmethod
    def backward(context: Any, *outer: torch.Tensor) -> Any:
        """The chain rule; all but the prompt have no gradient."""
        (gradient,) = context.saved_tensors
        return outer[0] * gradient, None, None, None


def tune(
    client: ptsys.Client,
    prompt: torch.Tensor,
    rows: list[Example],
    steps: int,
    model: str = "tiny",
) -> tuple[torch.Tensor, list[float]]:
    """AdamW on the prompt; also the loss before each step. Anything torch can differentiate may
    stand between the parameters and the prompt that is sent."""
    draw = torch.Generator().manual_seed(0)
    learned = prompt.clone().requires_grad_()
    optimizer = torch.optim.AdamW([learned], lr=LEARNING_RATE, weight_decay=0.0)
    losses = []
    for step in range(1, steps + 1):
        picked = torch.randint(len(rows), (BATCH,), generator=draw).tolist()
        optimizer.zero_grad()
        loss = RemoteLoss.apply(learned, client, [rows[i] for i in picked], model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 25 == 0:
            print(f"step {step}: loss {sum(losses[-25:]) / 25:.3f}")
    return learned.detach(), losses


def main(train: str, test: str) -> None:
    """Tune on one file and score on another."""
    with ptsys.Client() as client:
        width = client.models.get("tiny").d_model
        start = 0.5 * torch.randn(LENGTH, width, generator=torch.Generator().manual_seed(0))
        prompt, _ = tune(client, start, read_rows(train), STEPS)
        print(client.evaluate(prompt.numpy(), read_rows(test)))


if __name__ == "__main__":
    main(*sys.argv[1:])
