"""A definition as an Argo Workflow: each step a pod that runs `saga step do`, dependencies as a DAG.

The pods share the bus (`NATS_URL`), so the saga is the one that participants would have made: its facts are in the
stream, the core decides, the log and `saga audit` know it. Argo gives each step a place to run, in order, and tries
again what has not ended for good: with another exit code than 8 (failed), 9 (undone), 2 or 3 (cannot work).

    condition      a pod of its own tells if the step is due (`when`)
    children       the step begins them, a pod per step of each runs them (`withParam`), the step ends
    undoing        `onExit`: the steps in reverse order, if there is something to undo
    delays         Argo's backoff waits at most as long as the policy says; the step itself waits for what is left

What Argo cannot express is told as a warning.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hera.workflows import models

from contracts.checks import contract_of
from contracts.children import child_refs
from contracts.definition import SagaDefinition, Step
from contracts.failure import InvalidContract
from contracts.retries import ExponentialRetry, NoRetry, RetryPolicy
from saga.export.argo_names import Names
from saga.export.options import Options
from saga.from_steps import environment_of

MAX_DEFINITIONS: Final = 100_000
"""Bytes: they travel in an environment variable"""
_OUT = "/tmp/saga-out"  # noqa: S108 - in a pod of its own
_CRASHES = 5
_FINAL_CODES = (2, 3, 8, 9)
_GRACE_S = 60
_SAGA = "{{workflow.uid}}"


@dataclass(slots=True)
class Export:
    """The manifest as JSON data, and what it does otherwise than participants would."""

    manifest: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def export(
    definition: SagaDefinition, children: Mapping[str, SagaDefinition], options: Options | None = None
) -> Export:
    """The manifest of a definition; `children`: the definitions its steps begin, by name@version.

    Raises InvalidContract if a child is missing, or all of it is too large.
    """
    writing = _Writing(options or Options(), children)
    writing.saga(definition)
    known = json.dumps([one.model_dump(mode="json") for one in writing.used])
    if len(known) > MAX_DEFINITIONS:
        raise InvalidContract(
            f"{definition.ref} has {len(known)} bytes with its children: expected {MAX_DEFINITIONS}"
        )
    spec = models.WorkflowSpec(
        entrypoint="saga",
        on_exit="undo",
        active_deadline_seconds=math.ceil(definition.deadline_s) if definition.deadline_s else None,
        arguments=models.Arguments(
            parameters=[
                models.Parameter(name="input", value="{}", description="the saga's input, a JSON object"),
                models.Parameter(name="definitions", value=_unbraced(known)),
            ]
        ),
        templates=writing.templates,
    )
    names = Names()
    workflow = models.Workflow(
        api_version="argoproj.io/v1alpha1",
        kind="Workflow",
        metadata=models.ObjectMeta(
            generate_name=f"{names.of(definition.name)}-",
            labels={"app.kubernetes.io/part-of": "choreographed-sagas"},
            annotations={"choreographed-sagas/definition": definition.ref},
        ),
        spec=spec,
    )
    manifest = json.loads(workflow.model_dump_json(by_alias=True, exclude_none=True))
    return Export(manifest, list(dict.fromkeys(writing.warnings)))


@dataclass(slots=True)
class _Writing:
    options: Options
    children: Mapping[str, SagaDefinition]
    templates: list[models.Template] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    used: list[SagaDefinition] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def saga(self, definition: SagaDefinition) -> None:
        self.used.append(definition)
        start = self._task("start", "start", ())
        tasks = [start, *self._steps(definition, _SAGA, child=False, first="start")]
        self.templates.append(models.Template(name="saga", dag=models.DAGTemplate(tasks=tasks)))
        self._undo(definition)
        told = ["--saga", _SAGA]
        env = [
            models.EnvVar(name="SAGA_STEP_INPUT", value="{{workflow.parameters.input}}"),
            models.EnvVar(name="SAGA_STEP_DEFINITIONS", value="{{workflow.parameters.definitions}}"),
        ]
        self._pod("start", ["start", definition.ref, *told], env=env, retry=NoRetry())
        self.warnings.append(
            "pods share nothing but the bus and the databases: set SAGA_DATABASE_URL in the secret "
            f"{self.options.secret}, or an undo does not find what its step has done"
        )

    def _steps(
        self, definition: SagaDefinition, saga: str, *, child: bool, first: str = ""
    ) -> Iterable[models.DAGTask]:
        for name in definition.graph.order:
            step = definition.step(name)
            self._warn(definition, step)
            task = self._task_name(step.name)
            before = [self._task_name(other) for other in definition.graph.predecessors[name]]
            before = before or [first] * bool(first)
            template = self._step_pod(definition, step, child=child)
            when = None
            if step.when is not None:
                due = f"{task}-due"
                yield self._task(due, self._due_pod(definition, step), before, saga=saga)
                before, when = [due], f"{{{{tasks.{due}.outputs.parameters.due}}}} == true"
            if begun := self._children(step):
                yield self._task(f"{task}-begin", self._begin_pod(definition, step), before, saga, when)
                yield self._each(step, task, begun)
                before, when = [f"{task}-begin", f"{task}-each"], None
            yield self._task(task, template, before, saga, when)

    def _children(self, step: Step) -> list[SagaDefinition]:
        """The definitions of the children a step begins, each once."""
        refs = child_refs(step)
        if missing := [ref for ref in refs if ref not in self.children]:
            raise InvalidContract(f"step {step.name} begins {missing[0]}, which is not known")
        return [self.children[ref] for ref in refs]

    def _each(self, step: Step, task: str, begun: list[SagaDefinition]) -> models.DAGTask:
        """A task that runs all children of a step, so many at once as the step wants."""
        template = self.names.of(f"each-{step.name}", of=(step.name, step.action, *(c.ref for c in begun)))
        if not any(one.name == template for one in self.templates):
            tasks = [
                models.DAGTask(
                    name=self.names.of(child.name),
                    template=self._child(child),
                    arguments=_arguments(saga="{{item.saga}}"),
                    with_param="{{inputs.parameters.children}}",
                    when=f"{{{{item.definition}}}} == {child.ref}",
                )
                for child in begun
            ]
            limit = step.input.get("limit", 10)
            self.templates.append(
                models.Template(
                    name=template,
                    inputs=_inputs("children"),
                    dag=models.DAGTemplate(tasks=tasks),
                    parallelism=limit if isinstance(limit, int) else None,
                )
            )
        children = f"{{{{tasks.{task}-begin.outputs.parameters.children}}}}"
        return models.DAGTask(
            name=f"{task}-each",
            template=template,
            dependencies=[f"{task}-begin"],
            arguments=_arguments(children=children),
        )

    def _child(self, child: SagaDefinition) -> str:
        """The template of a child saga: its steps, then their undoing if it has failed."""
        name = self.names.of(f"child-{child.name}-{child.version}")
        if child not in self.used:
            self.used.append(child)
            saga = "{{inputs.parameters.saga}}"
            tasks = list(self._steps(child, saga, child=True))
            last = [task.name for task in tasks]
            settle = self.names.of(f"settle-{child.name}-{child.version}")
            self._pod(settle, ["settle", child.ref, "--saga", saga], inputs=_inputs("saga"), retry=NoRetry())
            tasks.append(self._task("settle", settle, last, saga))
            self.templates.append(
                models.Template(name=name, inputs=_inputs("saga"), dag=models.DAGTemplate(tasks=tasks))
            )
        return name

    def _undo(self, definition: SagaDefinition) -> None:
        """The exit handler: what was done is undone, the last step first."""
        undo = "{{tasks.turn-round.outputs.parameters.undo}} == true"
        turn = models.DAGTask(name="turn-round", template="turn-round")
        tasks = [turn]
        for name in reversed(definition.graph.order):
            step = definition.step(name)
            template = self._step_name("undo", definition, step)
            arguments = ["undo", definition.ref, step.name, "--saga", _SAGA]
            env = [
                models.EnvVar(name=name, value=value) for name, value in environment_of(definition, step.name)
            ]
            self._pod(template, arguments, retry=step.compensation_retry, env=env)
            after = [f"undo-{self._task_name(later)}" for later in definition.graph.successors[name]]
            tasks.append(
                models.DAGTask(
                    name=f"undo-{self._task_name(name)}",
                    template=template,
                    dependencies=["turn-round", *after],
                    when=undo,
                )
            )
        first = [f"undo-{self._task_name(name)}" for name in definition.graph.roots]
        tasks.append(models.DAGTask(name="end", template="end", dependencies=first))
        self.templates.append(models.Template(name="undo", dag=models.DAGTemplate(tasks=tasks)))
        status = ["--workflow-status", "{{workflow.status}}"]
        self._pod(
            "turn-round", ["turn-round", "--saga", _SAGA, *status, "--out", _OUT], out="undo", retry=NoRetry()
        )
        self._pod("end", ["end", "--saga", _SAGA], retry=NoRetry())

    # Pods

    def _step_pod(self, definition: SagaDefinition, step: Step, *, child: bool) -> str:
        name = self._step_name("do", definition, step)
        arguments = ["do", definition.ref, step.name, "--saga", "{{inputs.parameters.saga}}"]
        # What a child's failure means is for the step that began it to say.
        arguments += ["--child"] * child
        waits = step.action == "integrations.wait" or bool(child_refs(step))
        longest_s = None if waits else self._longest_s(step)
        env = [models.EnvVar(name=name, value=value) for name, value in environment_of(definition, step.name)]
        return self._pod(
            name, arguments, inputs=_inputs("saga"), retry=step.retry, deadline_s=longest_s, env=env
        )

    def _begin_pod(self, definition: SagaDefinition, step: Step) -> str:
        name = self._step_name("begin", definition, step)
        arguments = [
            "begin",
            definition.ref,
            step.name,
            "--saga",
            "{{inputs.parameters.saga}}",
            "--out",
            _OUT,
        ]
        return self._pod(name, arguments, inputs=_inputs("saga"), out="children", retry=step.retry)

    def _due_pod(self, definition: SagaDefinition, step: Step) -> str:
        name = self._step_name("due", definition, step)
        arguments = ["due", definition.ref, step.name, "--saga", "{{inputs.parameters.saga}}", "--out", _OUT]
        return self._pod(name, arguments, inputs=_inputs("saga"), out="due", retry=NoRetry())

    def _pod(
        self,
        name: str,
        arguments: list[str],
        *,
        retry: RetryPolicy,
        inputs: models.Inputs | None = None,
        out: str = "",
        env: list[models.EnvVar] | None = None,
        deadline_s: int | None = None,
    ) -> str:
        options = self.options
        outputs = None
        if out:
            path = models.ValueFrom(path=_OUT)
            outputs = models.Outputs(parameters=[models.Parameter(name=out, value_from=path)])
        self.templates.append(
            models.Template(
                name=name,
                inputs=inputs,
                outputs=outputs,
                retry_strategy=_retry_strategy(retry),
                active_deadline_seconds=models.IntOrString(root=deadline_s) if deadline_s else None,
                container=models.Container(
                    image=options.image,
                    command=["saga", "step"],
                    args=arguments,
                    env=[
                        models.EnvVar(name="NATS_URL", value=options.nats_url),
                        models.EnvVar(name="SAGA_BUS_NAMESPACE", value=options.bus_namespace),
                        models.EnvVar(name="SAGA_STEP_WAIT_S", value=str(options.wait_s)),
                        *(env or ()),
                    ],
                    env_from=[
                        models.EnvFromSource(
                            secret_ref=models.SecretEnvSource(name=options.secret, optional=True)
                        )
                    ],
                ),
            )
        )
        return name

    # Names and tasks

    def _task(
        self, name: str, template: str, before: Iterable[str], saga: str = "", when: str | None = None
    ) -> models.DAGTask:
        return models.DAGTask(
            name=name,
            template=template,
            dependencies=list(before) or None,
            arguments=_arguments(saga=saga) if saga else None,
            when=when,
        )

    def _task_name(self, step: str) -> str:
        return self.names.of(f"step-{step}", of=("task", step))

    def _step_name(self, what: str, definition: SagaDefinition, step: Step) -> str:
        whose = "" if definition is self.used[0] else f"{definition.name}-{definition.version}-"
        return self.names.of(f"{what}-{whose}{step.name}", of=(what, definition.ref, step.name))

    def _longest_s(self, step: Step) -> int:
        """How long a pod may take that waits for its next attempt and makes it."""
        policy = step.retry
        delay_s = 0.0 if isinstance(policy, NoRetry) else policy.delay_after(policy.max_attempts)
        return math.ceil(step.timeout_s + delay_s + _GRACE_S)

    def _warn(self, definition: SagaDefinition, step: Step) -> None:
        place = f"{definition.name} step {step.name}"
        contract = contract_of(step.action)
        if contract is not None and contract.emits:
            self.warnings.append(
                f"{place}: its own events wait in its database until a pod or a service opens that again"
            )
        if step.action == "integrations.wait":
            self.warnings.append(f"{place}: it waits in its pod, which takes a place as long as it does")
        if step.pivot:
            self.warnings.append(
                f"{place}: after the pivot Argo fails at a step that has failed for good; the saga then waits for "
                "a person (saga retry, saga skip) and is not undone"
            )


def _retry_strategy(policy: RetryPolicy) -> models.RetryStrategy:
    """So many tries more than the policy's as pods may die of their own accord."""
    final = " && ".join(f"asInt(lastRetry.exitCode) != {code}" for code in _FINAL_CODES)
    backoff = None
    if not isinstance(policy, NoRetry):
        backoff = models.Backoff(duration=_duration(policy.delay_after(1)))
        if isinstance(policy, ExponentialRetry):
            backoff.factor = models.IntOrString(root=max(1, int(policy.factor)))
            backoff.cap = _duration(policy.max_delay_s)
    return models.RetryStrategy(
        limit=models.IntOrString(root=policy.max_attempts - 1 + _CRASHES),
        retry_policy="Always",
        expression=final,
        backoff=backoff,
    )


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1_000)}ms"


def _arguments(**values: str) -> models.Arguments:
    return models.Arguments(
        parameters=[models.Parameter(name=name, value=value) for name, value in values.items()]
    )


def _inputs(*names: str) -> models.Inputs:
    return models.Inputs(parameters=[models.Parameter(name=name) for name in names])


def _unbraced(text: str) -> str:
    """JSON without two braces in a row inside its texts, which Argo would take for a reference of its own."""
    return re.sub(r"\{(?=\{)", r"\\u007b", text)
