"""`saga redrive` and `saga redrives`: failed sagas run again, as new ones; one, or many by a job."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from saga.cli.options import DEFAULT_API, DEFAULT_BY, Api, By, Output, Reason
from saga.cli.output import Format, progress, say, write

REFUSED = 4

SagaId = Annotated[str | None, typer.Argument(help="Which saga; without one, --all of a definition.")]
From = Annotated[
    list[str] | None,
    typer.Option(
        "--from", help="Run this step and those after it; without it, what does not stand. May be repeated."
    ),
]
Edit = Annotated[
    str | None, typer.Option(help="Merge patch for the input (RFC 7396): JSON, @file, or - for stdin.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only tell what would run, and what would be taken over.")
]
All = Annotated[bool, typer.Option("--all", help="Every failed saga that the options below choose.")]
Definition = Annotated[str | None, typer.Option("--def", help="name or name@version; --all needs it.")]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="compensated or failed; both by default.")
]
Code = Annotated[str | None, typer.Option(help="Only where a step's failure has this code.")]
Step = Annotated[str | None, typer.Option("--failed-step", help="Only where this step failed.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="name:value; may be given again.")]
Since = Annotated[str | None, typer.Option(help="Only those that began since: 24h, 30m, 7d, or an instant.")]
Before = Annotated[str | None, typer.Option(help="Only those that began before: an instant, or so long ago.")]
Rate = Annotated[float, typer.Option("--rate", help="At most so many a second.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for the end of the job.")]

_PLAN = ("saga_id", "new_id", "from_steps", "taken_over", "again", "repeated")
_JOB = ("id", "state", "matched", "redriven", "refused", "rate_per_s", "by", "reason", "created_at")
_POLL_S = 0.5


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    app.command()(redrive)
    app.command()(redrives)


def redrive(
    reason: Reason, saga_id: SagaId = None, from_step: From = None, edit: Edit = None, dry_run: DryRun = False,
    every: All = False, definition: Definition = None, status: Statuses = None, code: Code = None,
    failed_step: Step = None, label: Labels = None, since: Since = None, before: Before = None, rate: Rate = 10.0,
    yes: Yes = False, detach: Detach = False, by: By = DEFAULT_BY, output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:  # fmt: skip
    """Run a failed saga again from a step, as a new saga that is linked to it; or (--all) many of them, by a job.

    What stands is taken over, what was undone runs again. Exit code 4 if it cannot be redriven so.
    """
    from contracts.failure import InvalidContract
    from saga.cli.moments import moment
    from saga.cli.remote import Remote, read_json

    if (saga_id is None) != every:
        raise InvalidContract("give one saga, or --all")
    words = {"by": by, "reason": reason}
    manner = {"from_steps": from_step or [], "edit": read_json(edit) if edit else None}
    with Remote(api) as remote:
        if saga_id is not None:
            answer = remote.post(f"/api/v1/sagas/{saga_id}/redrive", {**manner, **words, "dry_run": dry_run})
            write(_told(answer, _PLAN) if output is Format.TABLE else answer, output)
            return
        if definition is None:
            raise InvalidContract("--all is for the sagas of one definition: --def NAME")
        sagas = {
            "definition": definition, "status": status, "failure_code": code, "failure_step": failed_step,
            "label": label, "started_after": moment(since), "started_before": moment(before),
        }  # fmt: skip
        meant = {name: value for name, value in sagas.items() if value is not None}
        if not _agreed(remote, {"sagas": meant, "manner": manner}, dry_run, yes, output):
            return
        job = remote.post("/api/v1/redrives", {"sagas": meant, "manner": manner, "rate_per_s": rate, **words})
        say(f"job {job['id']}: it goes on without this command; saga redrives {job['id']} tells of it")
        _show(job if detach else _follow(remote, job), output)


def redrives(
    job_id: Annotated[str | None, typer.Argument(help="Which job; without one, all of them.")] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Redrive no more; what was redriven goes on.")
    ] = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Until it has ended.")] = False,
    output: Output = Format.TABLE,
    api: Api = DEFAULT_API,
) -> None:
    """The jobs that redrive many sagas: how far they have come. Exit code 4 if one that has ended refused some."""
    from contracts.failure import InvalidContract
    from saga.cli.remote import Remote

    with Remote(api) as remote:
        if job_id is None:
            if cancel or follow:
                raise InvalidContract("say which job")
            write(remote.get("/api/v1/redrives")["items"], output, _JOB)
            return
        if cancel:
            job = remote.post(f"/api/v1/redrives/{job_id}/cancel", {})
        else:
            job = remote.get(f"/api/v1/redrives/{job_id}")
        _show(_follow(remote, job) if follow else job, output)


def _agreed(remote: Any, wanted: dict[str, Any], dry_run: bool, yes: bool, output: Format) -> bool:
    """Tell what would be done; whether it is to be done."""
    found = remote.post("/api/v1/redrives/rehearse", wanted)
    matched, looked_at = found["matched"], len(found["plans"]) + len(found["refused"])
    if dry_run and output is not Format.TABLE:
        write(found, output)
        return False
    say(f"{matched} sagas are meant")
    if found["refused"]:
        say(f"of the newest {looked_at}, {len(found['refused'])} would be refused, for instance:")
        say(f"  {found['refused'][0]['saga_id']}: {found['refused'][0]['detail']}")
    if dry_run:
        write([_told(plan, _PLAN) for plan in found["plans"]], output, _PLAN[:1] + _PLAN[2:])
        return False
    if not matched:
        return False
    return yes or typer.confirm("Redrive them?", err=True)


def _told(plan: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: ", ".join(plan[name]) if isinstance(plan[name], list) else plan[name] for name in names}


def _follow(remote: Any, job: dict[str, Any]) -> dict[str, Any]:
    with progress("redriving") as tell:
        while job["state"] == "running":
            tell(job["redriven"] + job["refused"], job["matched"])
            time.sleep(_POLL_S)
            job = remote.get(f"/api/v1/redrives/{job['id']}")
        tell(job["redriven"] + job["refused"], job["matched"])
    return job


def _show(job: dict[str, Any], output: Format) -> None:
    write({name: job[name] for name in _JOB} if output is Format.TABLE else job, output)
    if job["refused"]:
        for one in job["refusals"][:10] if output is Format.TABLE else ():
            say(f"{one['saga_id']}: {one['detail']}")
        if job["state"] != "running":
            raise typer.Exit(REFUSED)
