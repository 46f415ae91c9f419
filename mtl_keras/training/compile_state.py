"""From the arguments of `compile` to a StepPlan: everything matched by task name, every mismatch named."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.graph import Graph, behind
from mtl_keras.tasks import Task
from mtl_keras.training.dense_end import dense_end
from mtl_keras.training.gradient_watch import GradientTracker, GradientWatch
from mtl_keras.training.micro_batches import check_micro_batches
from mtl_keras.training.not_finite import NotFinite
from mtl_keras.training.participation import Participation
from mtl_keras.training.step_plan import HEAD_GRADIENTS, StepPlan
from mtl_keras.training.task_plan import TaskPlan, plan_task
from mtl_keras.training.trackers import LossTracker
from mtl_keras.weightings import Static, TaskInfo, Weighting
from mtl_keras.weightings.base import SCOPES


def plan_tasks(
    tasks: list[Task], outputs: dict[str, Any], loss: Any, metrics: Any, weighted_metrics: Any, class_weight: Any
) -> list[TaskPlan]:
    """Resolve every task that has a loss, in output order."""
    names = [task.name for task in tasks]
    losses = by_task("loss", loss, names, default={t.name: "auto" if t.head else None for t in tasks}, spread=True)
    metrics = by_task("metrics", metrics, names, default=dict.fromkeys(names, "auto"))
    weighted = by_task("weighted_metrics", weighted_metrics, names, default=dict.fromkeys(names))
    classes = by_task("class_weight", class_weight, names, default=dict.fromkeys(names))
    plans = []
    for task in tasks:
        chosen = losses[task.name]
        if chosen is None or (chosen == "auto" and task.loss is None):
            continue
        name = task.name
        plans.append(plan_task(task, outputs[name], chosen, metrics[name], weighted[name], classes[name]))
    if not plans:
        raise ValueError(message("at least one task with a loss", "pass compile(loss={...})", loss=loss))
    _check_metrics(plans)
    return plans


def by_task(what: str, value: Any, names: list[str], default: dict[str, Any], spread: bool = False) -> dict[str, Any]:
    """`{task: value}` for all tasks; Keras matches some of these by position, here only names count.

    Args:
        what: The argument's name, for messages.
        value: A dict by task name, None for the defaults, or (with `spread`) one value for all tasks.
        names: The tasks.
        default: What tasks get that `value` does not name.
        spread: Whether a single value may stand for all tasks.
    """
    if value is None:
        return dict(default)
    if isinstance(value, str) and value == "auto":
        return dict.fromkeys(names, "auto")
    if isinstance(value, Mapping):
        unknown = [key for key in value if key not in names]
        if unknown:
            raise ValueError(message(f"task names among {names} in {what}", "correct the key", **{what: unknown[0]}))
        return {**default, **value}
    if spread and not isinstance(value, (list, tuple)):
        return dict.fromkeys(names, value)
    raise ValueError(message(f"{what} as a dict by task name", f"name the tasks: {names}", **{what: value}))


def resolve_loss_weights(loss_weights: Any, tasks: list[Task], trained: list[str]) -> list[float]:
    """One finite number of at least 0 for each trained task."""
    names = [task.name for task in tasks]
    weights = by_task("loss_weights", loss_weights, names, default={task.name: task.weight for task in tasks})
    for name, weight in weights.items():
        if not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise ValueError(
                message(
                    "finite numbers of at least 0 in loss_weights",
                    "pass a number; weights that change while training are weighting='static' and its assign()",
                    **{name: weight},
                )
            )
    return [float(weights[name]) for name in trained]


def check_method(weighting: Weighting, scope: str, head_gradients: str) -> None:
    """Refuse combinations that the method does not define."""
    if scope not in SCOPES:
        raise ValueError(message(f"a scope among {list(SCOPES)}", "choose one", scope=scope))
    if head_gradients not in HEAD_GRADIENTS:
        raise ValueError(message(f"head_gradients among {list(HEAD_GRADIENTS)}", "choose one", value=head_gradients))
    if weighting.reads != "losses" and scope not in weighting.scopes:
        raise ValueError(
            message(
                f"a scope among {list(weighting.scopes)} for weighting {weighting.name!r}",
                f"pass scope={weighting.scopes[0]!r}",
                scope=scope,
            )
        )


def make_plan(
    model: keras.Model,
    tasks: list[Task],
    plans: list[TaskPlan],
    weighting: Weighting,
    scope: str,
    head_gradients: str,
    loss_weights: Any,
    participation: Participation,
    micro_batches: int = 1,
) -> StepPlan:
    """Bind the weighting, build the forward models and find whose variable is whose.

    Args:
        model: A MultiTaskModel, for its traced `graph` and its `partition`.
        tasks, plans: All tasks, and those of them that have a loss.
        weighting, scope, head_gradients, loss_weights, micro_batches: As given to `compile`.
        participation: The model's.
    """
    names = [plan.name for plan in plans]
    check_method(weighting, scope, head_gradients)
    weights = resolve_loss_weights(loss_weights, tasks, names)
    if isinstance(weighting, Static):
        # Static takes them over, so that they can change while training; they must not count twice
        if weighting.weights_config is None:
            weighting.weights_config = dict(zip(names, weights, strict=True))
        weights = [1.0] * len(names)
    graph = model.graph
    loss_inputs = _loss_inputs(plans, graph)
    plan = StepPlan(
        tasks=plans,
        weighting=weighting,
        scope=scope,
        head_gradients=head_gradients,
        loss_weights=weights,
        whole=keras.Model(model.input, {"output": {n: graph.outputs[n] for n in names}, "loss_input": loss_inputs}),
        tracker=LossTracker(names),
        evaluation=LossTracker(names, "evaluation"),
        not_finite=NotFinite(names),
        owners=_owners(graph, names),
        participation=participation,
        watch=GradientWatch(GradientTracker(names)),
        micro_batches=micro_batches,
    )
    size = None
    if weighting.reads == "losses":
        # only gradient methods need both halves; others then look at single tasks' losses, not at their gradients
        with suppress(ValueError):
            add_halves(model, plan)
    else:
        add_halves(model, plan)
        check_shared(plan, f"weighting {weighting.name!r} to balance")
        size = sum(int(v.value.shape.num_elements()) for v in plan.shared_variables)
    check_micro_batches(plan)
    weighting.bind([TaskInfo(p.name, p.kind) for p in plans], gradient_size=size)
    return plan


def add_halves(model: keras.Model, plan: StepPlan) -> None:
    """Give the plan trunk and heads and say whose variable is whose, so that gradients of single tasks can be taken.

    Raises:
        ValueError: The graph has no clean cut.
    """
    parts = model.partition
    plan.trunk, plan.heads = _halves(model, plan.names, _loss_inputs(plan.tasks, model.graph))
    reads_last = plan.scope == "last_layer" and plan.weighting.reads == "gramian" and not plan.weighting.cross_gramian
    if reads_last and plan.micro_batches == 1:
        plan.dense_end = dense_end(parts.graph.calls, parts.shared_layers, plan.trunk, len(plan.names))
    plan.cut_from_inputs = [any(tensor is i for i in parts.graph.inputs) for tensor in plan.trunk.outputs]
    plan.shared_variables = parts.shared_variables
    plan.last_shared_variables = parts.last_shared_variables
    plan.task_variables = parts.task_variables


def check_shared(plan: StepPlan, purpose: str) -> None:
    """Refuse what needs trained variables that tasks share.

    Raises:
        ValueError: There are none, and several tasks.
    """
    if not plan.shared_variables and len(plan.names) > 1:
        raise ValueError(
            message(
                f"trainable variables that tasks share, for {purpose}",
                "unfreeze the trunk, or choose a weighting that reads losses only",
                trainable_shared_variables=0,
            )
        )


def _loss_inputs(plans: list[TaskPlan], graph: Graph) -> dict[str, Any]:
    """What the losses read that do not read the output itself."""
    maker = graph.maker()
    return {plan.name: maker[id(graph.outputs[plan.name])].inputs[0] for plan in plans if plan.reads_last_input}


def _halves(
    model: keras.Model, names: list[str], loss_inputs: dict[str, Any]
) -> tuple[keras.Model, dict[str, keras.Model]]:
    """The trunk and the trained tasks' heads, which also give the losses what they read."""
    parts = model.partition
    # where one task's output feeds another task, that task's logits lie before the cut and have to cross it
    outputs = parts.graph.outputs
    crossing = [t for task, t in loss_inputs.items() if any(outputs[task] is tensor for tensor in parts.cut)]
    cut = [*parts.cut, *crossing]
    heads = {}
    for name in names:
        ends = {"output": outputs[name]} | ({"loss_input": loss_inputs[name]} if name in loss_inputs else {})
        heads[name] = keras.Model(cut, {end: behind(tensor, cut) for end, tensor in ends.items()})
    return keras.Model(model.input, cut), heads


def _owners(graph: Graph, names: list[str]) -> dict[str, list[int]]:
    owners: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        for index in graph.needed_for(name):
            layer = graph.calls[index].operation
            for variable in layer.variables if isinstance(layer, keras.layers.Layer) else []:
                known = owners.setdefault(variable.path, [])
                if k not in known:
                    known.append(k)
    return owners


def _check_metrics(plans: list[TaskPlan]) -> None:
    keys: dict[str, str] = {"loss": "the total loss"}
    seen: dict[int, str] = {}
    for plan in plans:
        own = [f"{plan.name}_loss", f"{plan.name}_weight", *[f"{plan.name}_{m.name}" for m in plan.metrics]]
        for key in own:
            if key in keys:
                raise ValueError(
                    message(
                        f"log keys that differ (task {plan.name!r} and {keys[key]} both log this one)",
                        "rename the task or the metric",
                        key=key,
                    )
                )
            keys[key] = f"task {plan.name!r}"
        for metric in [*plan.metrics, *plan.weighted_metrics]:
            if id(metric) in seen:
                raise ValueError(
                    message(
                        f"a metric object of its own for each task (tasks {seen[id(metric)]!r} and {plan.name!r})",
                        "make one for each",
                        metric=metric.name,
                    )
                )
            seen[id(metric)] = plan.name
