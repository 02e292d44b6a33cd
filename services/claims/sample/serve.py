"""The sample's marketplace as a server of its own, to try the claims with.

Run: python -m services.claims.sample.serve --webhook-url http://127.0.0.1:8900/api/v1/claims/marketplace-webhook
"""

import asyncio
import os
import signal
from argparse import ArgumentParser
from decimal import Decimal

from contracts.marketplace import RECORDS, ClaimKind
from services.claims.sample import OWED, rows
from services.sandboxes.cases import Owed, Webhooks
from services.sandboxes.marketplace import Marketplace, marketplace_of, serve_marketplace

SECRET = "whsec_bWFya2V0cGxhY2Ugd2ViaG9va3Mgb2Ygc2FtcGxlcw=="  # noqa: S105 - guards a sample


def sample_marketplace(webhooks: Webhooks) -> Marketplace:
    """The marketplace of the sample, with what it owes."""
    owed = [
        Owed(
            kind=ClaimKind(row["kind"]), records=frozenset(row["records"].split()), quantity=int(row["quantity"]),
            amount=Decimal(row["amount"]), mood=row["mood"],
        )
        for row in rows(OWED)
    ]  # fmt: skip
    return marketplace_of({kind: rows(kind) for kind in RECORDS}, owed, webhooks)


async def _run(webhooks: Webhooks, host: str, port: int, think_s: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    market = sample_marketplace(webhooks)
    market.cases.think_s = think_s
    async with serve_marketplace(market, host, port):
        print(market.url, flush=True)
        await stop.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the base URL is printed on stdout."""
    parser = ArgumentParser(prog="serve", description="A marketplace to try claims with.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8902, help="0: a free one")
    parser.add_argument("--webhook-url", default="", help="whom to tell of cases; nobody unless given")
    parser.add_argument("--lose-every", type=int, default=0, help="of so many webhooks one gets lost")
    parser.add_argument("--think-s", type=float, default=1.0, help="what each of its moves takes")
    given = parser.parse_args()
    secret = os.environ.get("SAGA_SECRET_MARKETPLACE", SECRET)
    webhooks = Webhooks(secret=secret, url=given.webhook_url, lose_every=given.lose_every)
    asyncio.run(_run(webhooks, given.host, given.port, given.think_s))


if __name__ == "__main__":
    main()
