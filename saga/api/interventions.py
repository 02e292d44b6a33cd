"""`/api/v1/sagas/{saga_id}/...`: cancel, pause, resume, skip, retry. Each states a fact, and answers 202."""

from fastapi import APIRouter, Response

from saga.api.models import InterventionAnswer, InterventionRequest, SignalRequest
from saga.api.parts import Parts


def router(parts: Parts) -> APIRouter:
    """The routes over these parts."""
    routes = APIRouter(prefix="/api/v1/sagas/{saga_id}", tags=["interventions"])
    client = parts.client

    def accepted(saga_id: str, sequence: int, response: Response) -> InterventionAnswer:
        response.headers["Location"] = f"/api/v1/sagas/{saga_id}"
        return InterventionAnswer(saga_id=saga_id, sequence=sequence)

    @routes.post("/cancel", status_code=202, operation_id="cancelSaga")
    async def cancel(saga_id: str, body: InterventionRequest, response: Response) -> InterventionAnswer:
        return accepted(saga_id, await client.cancel(saga_id, reason=body.reason, by=body.by), response)

    @routes.post("/pause", status_code=202, operation_id="pauseSaga")
    async def pause(saga_id: str, body: InterventionRequest, response: Response) -> InterventionAnswer:
        return accepted(saga_id, await client.pause(saga_id, reason=body.reason, by=body.by), response)

    @routes.post("/resume", status_code=202, operation_id="resumeSaga")
    async def resume(saga_id: str, body: InterventionRequest, response: Response) -> InterventionAnswer:
        return accepted(saga_id, await client.resume(saga_id, reason=body.reason, by=body.by), response)

    @routes.post("/steps/{step}/skip", status_code=202, operation_id="skipStep")
    async def skip(
        saga_id: str, step: str, body: InterventionRequest, response: Response
    ) -> InterventionAnswer:
        return accepted(saga_id, await client.skip(saga_id, step, reason=body.reason, by=body.by), response)

    @routes.post("/steps/{step}/retry", status_code=202, operation_id="retryCompensation")
    async def retry(
        saga_id: str, step: str, body: InterventionRequest, response: Response
    ) -> InterventionAnswer:
        return accepted(saga_id, await client.retry(saga_id, step, reason=body.reason, by=body.by), response)

    @routes.post("/steps/{step}/signal", status_code=202, operation_id="signalStep")
    async def signal(saga_id: str, step: str, body: SignalRequest, response: Response) -> InterventionAnswer:
        return accepted(saga_id, await client.signal(saga_id, step, body.payload, by=body.by), response)

    return routes
