"""Choose the way the money takes, by cost, speed or reliability."""

from contracts.payments import OptimizeRoute, RouteOptimized
from saga.action import ActionContext, Refused, action
from saga.service import service_app
from services.payments.market import market
from services.payments.routing import best_route


@action("payments.optimize_route", reads_only=True)
async def optimize_route(ctx: ActionContext, command: OptimizeRoute) -> RouteOptimized:
    route = best_route(market().links, command.corridor, command.optimize_for)
    if route is None:
        raise Refused("route.none", f"no way from {command.corridor.replace('-', ' to ')}")
    return route


app = service_app(optimize_route)
