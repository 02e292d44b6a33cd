"""Runs `saga` commands for the engine: a line of JSON each, answered by the exit code."""

import json
import os
import sys

from saga.cli.main import main


def run(argv: list[str], environment: dict[str, str]) -> int:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except Exception as error:
        print(f"{sys.argv}: {error!r}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(run(**json.loads(line)), file=answers, flush=True)
