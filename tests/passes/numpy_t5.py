"""T5 1.1 for one row in NumPy float64: nothing batched, cached, padded or compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from text_passes import Prompts

from ptsys.passes.frozen import Frozen


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def bucket(relative: int, bidirectional: bool, buckets: int, max_distance: int) -> int:
    """The bucket of one relative position (key minus query)."""
    offset, distance = 0, max(-relative, 0)
    if bidirectional:
        buckets //= 2
        offset, distance = (buckets if relative > 0 else 0), abs(relative)
    exact = buckets // 2
    if distance < exact:
        return offset + distance
    ratio = math.log(distance / exact) / math.log(max_distance / exact)
    return offset + min(exact + int(ratio * (buckets - exact)), buckets - 1)


class Reference:
    """Reads the weights of a frozen model."""

    def __init__(self, frozen: Frozen) -> None:
        self.model = frozen.model()
        self.config = frozen.config

    def memory(self, prompt: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """[P + L, D] what the encoder makes of `prompt` [P, D] and `inputs` [L]."""
        model, table = self.model, _weights(self.model.token_embedder.embedding)
        x = np.concatenate([np.asarray(prompt, np.float64), table[inputs]])
        bias = self._bias(model.encoder, len(x), bidirectional=True)
        for i in range(self.config.encoder_layers):
            layer = getattr(model.encoder, f"layers_{i}")
            normed = self._norm(layer.pre_attention_layer_norm, x)
            x = x + self._attend(layer.attention, normed, normed, bias)
            x = x + self._feed_forward(layer.mlp, self._norm(layer.pre_mlp_layer_norm, x))
        return self._norm(model.encoder.encoder_norm, x)

    def logits(self, prompt: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """[T, V] teacher-forced logits of `targets` after `prompt` [P, D] and `inputs` [L]."""
        model, table = self.model, _weights(self.model.token_embedder.embedding)
        memory = self.memory(prompt, inputs)
        y = table[np.concatenate([[0], targets[:-1]])]
        causal = np.where(np.tri(len(y)) > 0, 0, -np.inf)
        bias = self._bias(model.decoder, len(y), bidirectional=False) + causal
        for i in range(self.config.decoder_layers):
            layer = getattr(model.decoder, f"layers_{i}")
            normed = self._norm(layer.pre_self_attention_layer_norm, y)
            y = y + self._attend(layer.self_attention, normed, normed, bias)
            normed = self._norm(layer.pre_cross_attention_layer_norm, y)
            y = y + self._attend(layer.encoder_decoder_attention, normed, memory, 0)
            y = y + self._feed_forward(layer.mlp, self._norm(layer.pre_mlp_layer_norm, y))
        y = self._norm(model.decoder.decoder_norm, y)
        return y @ _weights(model.decoder.logits_dense.kernel)

    def row_logits(
        self, prompts: Prompts, slot: int, inputs: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """The same for a row of a batch: its own prompt, and no padding."""
        values, length = np.asarray(prompts.values[slot]), int(prompts.length[slot])
        return self.logits(values[len(values) - length :], inputs[inputs > 0], targets[targets > 0])

    def next_log_probability(
        self, prompts: Prompts, slot: int, inputs: np.ndarray, so_far: tuple[int, ...]
    ) -> np.ndarray:
        """[V] log-probabilities of the token after `so_far`."""
        targets = np.array([*so_far, 1])
        return log_softmax(self.row_logits(prompts, slot, inputs, targets))[-1]

    def _norm(self, norm: Any, x: np.ndarray) -> np.ndarray:
        scale = np.sqrt((x**2).mean(-1, keepdims=True) + self.config.norm_epsilon)
        return x / scale * _weights(norm.scale)

    def _bias(self, stack: Any, length: int, *, bidirectional: bool) -> np.ndarray:
        table, config = _weights(stack.relpos_bias.rel_embedding), self.config
        index = [
            [
                bucket(k - q, bidirectional, config.relative_buckets, config.relative_max_distance)
                for k in range(length)
            ]
            for q in range(length)
        ]
        return table[:, np.array(index, int).reshape(length, length)]

    def _attend(self, attention: Any, x: np.ndarray, memory: np.ndarray, bias: Any) -> np.ndarray:
        def heads(y: np.ndarray, dense: Any) -> np.ndarray:
            projected = y @ _weights(dense.kernel)
            return projected.reshape(len(y), self.config.num_heads, -1).transpose(1, 0, 2)

        query, key = heads(x, attention.query), heads(memory, attention.key)
        weights = np.exp(log_softmax(query @ key.transpose(0, 2, 1) + bias))
        mixed = (weights @ heads(memory, attention.value)).transpose(1, 0, 2)
        return mixed.reshape(len(x), -1) @ _weights(attention.out.kernel)

    def _feed_forward(self, mlp: Any, x: np.ndarray) -> np.ndarray:
        gate = x @ _weights(mlp.wi_0.kernel)
        gelu = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        return (gelu * (x @ _weights(mlp.wi_1.kernel))) @ _weights(mlp.wo.kernel)


def _weights(parameter: Any) -> np.ndarray:
    return np.asarray(parameter[...], np.float64)
