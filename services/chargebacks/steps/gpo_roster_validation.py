"""Check that the customer was a member of the purchasing organization whose contract it is, on the day of the sale."""

from sqlmodel import select

from contracts.chargebacks import RosterValidated, ValidateRoster
from saga.action import ActionContext, StepDatabase, action
from saga.service import service_app
from services.chargebacks.findings import status_of
from services.chargebacks.membership import Member, check_roster
from services.chargebacks.seeds import enlist_members
from services.chargebacks.tables import RosterMember

DATABASE = StepDatabase("gpo_roster_validation", tables=(RosterMember,), seed=enlist_members)


@action("chargebacks.gpo_roster_validation", database=DATABASE, reads_only=True)
async def gpo_roster_validation(ctx: ActionContext, command: ValidateRoster) -> RosterValidated:
    rows = (await ctx.db.exec(select(RosterMember).where(RosterMember.gpo == command.gpo))).all()
    members = [
        Member(
            number=row.number, name=row.name, dea=row.dea, hin=row.hin, joined=row.joined, left=row.left_on
        )
        for row in rows
    ]
    found = check_roster(command.claim, members)
    return RosterValidated(
        status=status_of(found.findings),
        member=found.member,
        score=found.score,
        findings=found.findings,
        metadata=command.metadata | ({"roster_member": found.member} if found.member else {}),
    )


app = service_app(gpo_roster_validation)
