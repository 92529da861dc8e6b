"""The gradient step of google-research/prompt-tuning on T5X and ours, compiled for the same TPU.

Both are compiled by TPU's own compiler, without a TPU, for the same topology, mesh, rows and
lengths; the table has what the compiler says of each (`memory_analysis`, bytes on one chip) and
FLOPs. Theirs is built by their own code from their own gin files: Flaxformer's T5 1.1 with
prompt-tuning's prompt before its encoder, T5X's `EncoderDecoderModel`, its axis rules and the step
that its `Trainer` jits. Nothing of it is part of this project: give folders of checkouts of

    https://github.com/google-research/t5x
    https://github.com/google-research/prompt-tuning    (the folder prompt_tuning is enough)
    https://github.com/google/flaxformer                (the network of prompt-tuning)

    pip install 'ptsys[plan]' clu cached-property chex
    python benchmarks/vs_t5x.py --t5x T5X --prompt-tuning PT --flaxformer FF --model xl --rows 32
    python benchmarks/vs_t5x.py ... --model base --mesh data=2,model=4 --rows 8 --check

Their `--remat full` costs and saves nothing: Flaxformer lets XLA merge what is computed again with
what was computed before (`prevent_cse=False`, right for scanned layers, which prompt-tuning's are
not). `--prevent-cse` shows what it would do.

`--check` compares two ways of counting FLOPs, on programs without loops and kernels. `--json` has
what is held at the fullest moment too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import json
import math
import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.interpreters import partial_eval
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ptsys.models.execution import Execution
from ptsys.models.parameters import parameter_count
from ptsys.models.t5.gin_bindings import config_from_gin
from ptsys.plan.buffers import held_at_peak
from ptsys.plan.case import Case, check
from ptsys.plan.chips import GIB
from ptsys.plan.collectives import collectives
from ptsys.plan.compiling import ENVIRONMENT
from ptsys.plan.hlo import parse
from ptsys.plan.memory import needed_bytes
from ptsys.plan.products import flops
from ptsys.plan.step import lower
from ptsys.sharding.mesh import make_mesh

PROGRAMS = {
    "ptsys": "our gradients step, as `ptsys plan` compiles it, --microbatch rows at a time",
    "ptsys-whole": "the same, all rows of a data shard at once, as theirs are",
    "ptsys-plain": "the same without loops and kernels, whose FLOPs XLA can count",
    "t5x": "the step that T5X's Trainer jits: gradients of all parameters, the prompt's used",
    "t5x-microbatch": "the same with Trainer.num_microbatches, --microbatch rows at a time",
    "t5x-prompt": "their loss and network, differentiated for the prompt alone",
    "t5x-bfloat16": "the same with the frozen weights in bfloat16, as ours are; T5X has float32",
}
SHOWN = [name for name in PROGRAMS if name != "ptsys-plain"]
CHECKED = ["ptsys-plain", "t5x", "t5x-prompt", "t5x-bfloat16"]
LOOPS = ("ptsys", "ptsys-whole", "t5x-microbatch")  # XLA counts a loop's body once, a kernel never
REMATS = {"none": "none", "minimal": "dots", "full": "layer"}  # theirs: ours
STAND_INS = {  # what they import for data, checkpoints and other optimizers, none of it computed
    *("airio", "aqt", "flax.optim", "jestimator", "seqio", "tensorboard", "tensorflow"),
}
COLUMNS = (
    "program", "arguments", "results", "temporaries", "code", "all", "fits",
    "TFLOPs a chip, products", "TFLOPs a chip, XLA", "GiB sent", "compiled in s",
)  # fmt: skip
NOTES = """\
GiB a chip; of a program that does not fit, «all» is what the compiler says it needs.
Products: the matrix products of the step, divided by the chips. Ours from ptsys.plan.products
(rows full, backward and what is computed again included), theirs from the dot_generals of the
traced step after dead code is gone. XLA: cost_analysis of the compiled step on one chip, where
it has no loop and no kernel; elementwise work included: one or two percent more. Where it is far
more, XLA computes again what would not fit. Sent: by a chip, in rings.
"""


def case_of(arguments: argparse.Namespace, program: str) -> Case:
    """Our step."""
    size = Path(__file__).parent.parent / "gin" / "models" / f"{arguments.model}.gin"
    sizes = {name: int(size) for name, size in (x.split("=") for x in arguments.mesh.split(","))}
    at_a_time = arguments.microbatch if program == "ptsys" else arguments.rows // sizes["data"]
    execution = Execution(
        remat=REMATS[arguments.remat],
        attention="blocks" if program == "ptsys-plain" else "kernel",
        vocabulary_block=None if program == "ptsys-plain" else Execution.vocabulary_block,
        chunk_positions=at_a_time * (arguments.prompt + arguments.input),
    )
    return check(
        Case(
            config=config_from_gin([size]),
            topology=arguments.topology,
            step="gradients",
            rows=arguments.rows,
            users=arguments.users or arguments.rows,
            data=sizes["data"],
            model=sizes["model"],
            inputs=arguments.input,
            prompt=arguments.prompt,
            targets=arguments.target,
            execution=execution,
        )
    )


def mesh_of(case: Case) -> Mesh:
    described = topologies.get_topology_desc(
        platform="tpu", topology_name=case.topology, **case.place.options()
    )
    return make_mesh(list(described.devices), data=case.data, model=case.model)


def compiled(
    lowered: jax.stages.Lowered, arguments: int, chips: int, trips: tuple[int, ...] = ()
) -> dict[str, Any]:
    """What the compiler tells of a step that is given so many bytes on a chip; `trips` is how
    often loops of unknown length go round."""
    started = time.monotonic()
    try:
        executable = lowered.compile()
    except Exception as error:  # jaxlib's own kind, which is not public
        needed = needed_bytes(str(error), arguments)
        if needed is None:
            raise
        return {"fits": False, "arguments": arguments, "all": needed, "seconds": since(started)}
    sizes: Any = executable.memory_analysis()
    found = {
        "arguments": sizes.argument_size_in_bytes,
        "results": sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
        "temporaries": sizes.temp_size_in_bytes,
        "code": sizes.generated_code_size_in_bytes,
    }
    cost: Any = executable.cost_analysis()
    program = parse(executable.as_text() or "")
    return {
        "fits": True,
        **found,
        "all": sum(found.values()),
        "xla_flops": cost["flops"],
        "sent": sum(x.sent_bytes for x in collectives(program, chips, trips)),
        "held": [dataclasses.asdict(x) for x in held_at_peak(program)[1][:12]],
        "seconds": since(started),
    }


def since(started: float) -> float:
    return round(time.monotonic() - started, 1)


def ours(case: Case) -> dict[str, Any]:
    step = lower(case, mesh_of(case))
    products = sum(flops(case).values()) * case.rows / case.place.chips
    found = compiled(step.lowered, step.arguments.total, case.place.chips, step.trips)
    return {"products": products, **found}


class StandIn(type):
    """A class whose attributes are classes like it: enough for what is imported, named in
    signatures and derived from, and never used."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(cls, name, stand_in(name, cls.__module__))
        return getattr(cls, name)


class StandInModule(types.ModuleType):
    """A module of such classes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, stand_in(name, self.__name__))
        return getattr(self, name)


def stand_in(name: str, module: str) -> StandIn:
    members = {"__init__": lambda self, *_, **__: None, "__module__": module}
    return StandIn(name, (), members)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of STAND_INS."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """One of ours, if the module is among them."""
        if STAND_INS.isdisjoint((name, name.partition(".")[0])):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        """A module of stand-ins."""
        return StandInModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


@dataclasses.dataclass(frozen=True)
class Theirs:
    """Their model on a mesh; a train state and its places as shapes and PartitionSpecs."""

    model: Any
    partitioner: Any
    state: Any
    places: Any
    batch: dict[str, jax.ShapeDtypeStruct]

    def bytes(self, tree: Mapping[str, Any], places: Mapping[str, Any]) -> int:
        """On one chip; the trees are flat."""
        total = 0
        for name, leaf in tree.items():
            if leaf is not None:
                place = NamedSharding(self.partitioner.mesh, places[name] or PartitionSpec())
                shape = place.shard_shape(leaf.shape)
                total += math.prod(shape) * jnp.dtype(leaf.dtype).itemsize
        return total

    @property
    def batch_bytes(self) -> int:
        """The batch on one chip."""
        rows = self.partitioner.data_partition_spec
        return self.bytes(self.batch, dict.fromkeys(self.batch, rows))


def their_model(arguments: argparse.Namespace) -> Any:
    """The model of their gin file of this size, with these lengths."""
    import gin

    holder = types.SimpleNamespace()
    gin.external_configurable(lambda model: vars(holder).update(model=model), "ask_for_model")
    remat = arguments.remat
    gin.add_config_file_search_path(str(arguments.prompt_tuning))
    gin.parse_config_file(f"prompt_tuning/configs/models/t5_1_1_{arguments.model}_prompt.gin")
    gin.parse_config(
        f"""
from __gin__ import dynamic_registration
from flaxformer.architectures.t5 import t5_architecture
from prompt_tuning.train import layers
layers.PromptEncoder.layer_remat = '{remat}'
t5_architecture.Decoder.layer_remat = '{remat}'
PROMPT_LENGTH = {arguments.prompt}
DROPOUT_RATE = {arguments.dropout}
"""
    )
    gin.parse_config("ask_for_model.model = %MODEL")
    gin.get_configurable("ask_for_model")()
    return holder.model


def theirs(arguments: argparse.Namespace, case: Case) -> Theirs:
    """Their model for our case, nothing of it computed."""
    sys.meta_path.insert(0, Finder())
    sys.path[:0] = [str(x) for x in (arguments.t5x, arguments.prompt_tuning, arguments.flaxformer)]
    if arguments.prevent_cse:
        transforms = importlib.import_module("flaxformer.components.transforms")
        remat = transforms.factory_remat
        transforms.factory_remat = lambda *a, **k: remat(*a, **k | {"prevent_cse": True})
    model = their_model(arguments)
    partitioning = importlib.import_module("t5x.partitioning")
    prompt_rules = importlib.import_module("prompt_tuning.train.partitioning")
    on = mesh_of(case)

    class Partitioner(partitioning.PjitPartitioner):
        """Theirs, on the mesh that ours is compiled for; they only know chips up to v4."""

        mesh = on

    rules = partitioning.standard_logical_axis_rules(
        additional_rules=prompt_rules.standard_logical_axis_rules()
    )
    partitioner = Partitioner(num_partitions=case.model, logical_axis_rules=rules)
    tokens = {"encoder_input_tokens": case.inputs} | dict.fromkeys(
        ("decoder_input_tokens", "decoder_target_tokens", "decoder_loss_weights"), case.targets
    )
    batch = {
        name: jax.ShapeDtypeStruct((case.rows, length), jnp.int32)
        for name, length in tokens.items()
    }
    made = importlib.import_module("t5x.utils").TrainStateInitializer(
        model.optimizer_def,
        model.get_initial_variables,
        {name: x.shape for name, x in batch.items()},
        partitioner,
        {name: x.dtype for name, x in batch.items()},
    )
    state, places = made.global_train_state_shape, made.train_state_axes
    numbers = sum(math.prod(x.shape) for x in jax.tree.leaves(state.params))
    assert numbers == parameter_count(case.config) + case.prompt * case.config.d_model, numbers
    return Theirs(model, partitioner, state, places, batch)


def trainer_step(own: Theirs, microbatches: int | None) -> tuple[Any, tuple[Any, ...], int]:
    """The function that their Trainer jits, its arguments, and their bytes on a chip."""
    rate = importlib.import_module("t5x.utils").create_learning_rate_scheduler(
        factors="constant", base_learning_rate=0.3, warmup_steps=1000
    )
    trainer = importlib.import_module("t5x.trainer").Trainer(
        own.model, own.state, own.partitioner, [], None, own.places, jax.random.PRNGKey(0),
        learning_rate_fn=rate, num_microbatches=microbatches,
    )  # fmt: skip
    size = own.bytes(flat(own.state.state_dict()), flat(own.places.state_dict()))
    step = trainer._partitioned_train_step
    trainer.close()
    return step, (own.state, own.batch), size + own.batch_bytes


def prompt_step(own: Theirs, dtype: str) -> tuple[Any, tuple[Any, ...], int]:
    """Their loss differentiated for the prompt alone; frozen weights of `dtype`."""
    from flax.traverse_util import unflatten_dict

    params, places = flat(own.state.params), flat(own.places.params)
    [prompt] = [name for name in params if "prompt" in name]
    rest = {name: jax.ShapeDtypeStruct(x.shape, dtype) for name, x in params.items()}
    del rest[prompt]

    def loss(value: Any, frozen: Any, batch: Any) -> Any:
        tree = unflatten_dict({**frozen, prompt: value}, sep="/")
        return own.model.loss_fn(tree, batch, jax.random.PRNGKey(0))

    where = {name: places[name] or PartitionSpec() for name in rest}
    step = own.partitioner.partition(
        jax.value_and_grad(loss, has_aux=True),
        in_axis_resources=(PartitionSpec(), where, own.partitioner.data_partition_spec),
        out_axis_resources=None,
    )
    size = own.bytes({prompt: params[prompt]} | rest, places)
    return step, (params[prompt], rest, own.batch), size + own.batch_bytes


def flat(tree: Any) -> dict[str, Any]:
    from flax.core import unfreeze
    from flax.traverse_util import flatten_dict

    return flatten_dict(unfreeze(tree), sep="/")


def their_program(arguments: argparse.Namespace, case: Case, program: str) -> dict[str, Any]:
    own = theirs(arguments, case)
    trips = ()
    if program == "t5x":
        step, given, size = trainer_step(own, None)
    elif program == "t5x-microbatch":
        trips = (math.ceil(case.shard_rows / arguments.microbatch),)
        step, given, size = trainer_step(own, trips[0])
    else:
        dtype = "bfloat16" if program == "t5x-bfloat16" else "float32"
        step, given, size = prompt_step(own, dtype)
    with as_on_tpu(own.partitioner.mesh):
        traced = jax.make_jaxpr(step)(*given)
        lowered = step.lower(*given)
    alive, _ = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    chips = case.place.chips
    return {"products": product_flops(alive) / chips, **compiled(lowered, size, chips, trips)}


@contextlib.contextmanager
def as_on_tpu(mesh: Mesh) -> Iterator[None]:
    """They constrain no sharding where the first device is a CPU, as ours is that compiles."""
    with mock.patch.object(jax, "devices", return_value=list(mesh.devices.flat)):
        yield


def product_flops(jaxpr: Any) -> int:
    """FLOPs of all matrix products, those in loops of a known length as often as they are done."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
            total += 2 * math.prod(out) * math.prod(left[i] for i in contracted)
        inner = [part for value in equation.params.values() for part in jaxprs(value)]
        total += equation.params.get("length", 1) * sum(map(product_flops, inner))
    return total


def jaxprs(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [part for x in value for part in jaxprs(x)]
    value = getattr(value, "jaxpr", value)
    return [value] if hasattr(value, "eqns") else []


def measured(arguments: argparse.Namespace, program: str) -> dict[str, Any]:
    """What a process of its own says of a program."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", program]
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def cells(program: str, found: dict[str, Any]) -> list[str]:
    sizes = (found.get(name) for name in COLUMNS[1:6])
    xla = None if program in LOOPS else found.get("xla_flops")
    return [
        program,
        *("" if size is None else f"{size / GIB:.3f}" for size in sizes),
        "yes" if found["fits"] else "no",
        *("" if x is None else f"{x / 1e12:.4g}" for x in (found["products"], xla)),
        "" if "sent" not in found else f"{found['sent'] / GIB:.3f}",
        f"{found['seconds']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("t5x", "prompt-tuning", "flaxformer"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--model", choices=("base", "large", "xl", "xxl"), default="base")
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--mesh", default="data=1,model=8")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--users", type=int, help="of our step; one a row. Theirs has one prompt.")
    parser.add_argument("--microbatch", type=int, default=8, help="rows at a time on a data shard")
    parser.add_argument("--input", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=100)
    parser.add_argument("--target", type=int, default=16)
    parser.add_argument("--remat", choices=REMATS, default="none")
    parser.add_argument(
        "--prevent-cse", action="store_true", help="keep XLA from undoing their remat, as it does"
    )
    parser.add_argument("--dropout", type=float, default=0.0, help="theirs; ours has none")
    parser.add_argument("--check", action="store_true", help="compare counts of FLOPs")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, help="these programs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=PROGRAMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        case = case_of(arguments, arguments.measure)
        own = arguments.measure.startswith("ptsys")
        found = ours(case) if own else their_program(arguments, case, arguments.measure)
        print(json.dumps(found))
        return
    show(arguments)


def show(arguments: argparse.Namespace) -> None:
    """Every program in turn."""
    print(
        f"T5 1.1 {arguments.model} on {arguments.topology}, mesh {arguments.mesh}: "
        f"{arguments.rows} rows of {arguments.prompt} + {arguments.input} tokens, "
        f"{arguments.target} target tokens, remat {arguments.remat}\n\n{NOTES}"
    )
    names = arguments.only or (CHECKED if arguments.check else SHOWN)
    for name in names:
        print(f"{name}: {PROGRAMS[name]}")
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    found = {}
    for name in names:
        found[name] = measured(arguments, name)
        print(f"| {' | '.join(cells(name, found[name]))} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
