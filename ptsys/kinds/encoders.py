"""The parameters of a T5 encoder, by its sizes: what a meta-prompt's own generator is made of.

Known without the model, so that whoever takes a meta-prompt in can tell whether it fits.
"""

from __future__ import annotations

from typing import Any

Shapes = dict[str, tuple[int, ...]]

LAYERS = "layers."
"""What the paths of parameters begin with that every layer has one of."""


def encoder_shapes(model: Any) -> Shapes:
    """The shape of every parameter, by its path below the encoder, those of all layers one: the
    kernels [layers, in, out] of a kind. `model` has the sizes that its configuration names."""
    width, inner, hidden = model.d_model, model.inner_dim, model.d_ff
    gates = ("wi_0", "wi_1") if model.gated else ("wi",)
    layer: Shapes = {
        **{f"attention.{name}.kernel": (width, inner) for name in ("key", "query", "value")},
        "attention.out.kernel": (inner, width),
        **{f"mlp.{name}.kernel": (width, hidden) for name in gates},
        "mlp.wo.kernel": (hidden, width),
        "pre_attention_layer_norm.scale": (width,),
        "pre_mlp_layer_norm.scale": (width,),
    }
    return {
        "encoder_norm.scale": (width,),
        "relpos_bias.rel_embedding": (model.num_heads, model.relative_buckets),
        **{LAYERS + name: (model.encoder_layers, *shape) for name, shape in layer.items()},
    }
