"""`python -m services.casefiles.sample FOLDER`: the sample in a folder, and the settings that lead to it."""

import argparse
from pathlib import Path

from services.casefiles.connectors import DRIVE_VARIABLE, MAILBOX_VARIABLE
from services.casefiles.sample import MAILBOX, lay_out


def main() -> None:
    parser = argparse.ArgumentParser(description="Lay the sample's mailbox and drive out in a new folder.")
    parser.add_argument("folder", type=Path)
    drive = lay_out(parser.parse_args().folder)
    print(f"export {MAILBOX_VARIABLE}={MAILBOX.resolve()} {DRIVE_VARIABLE}={drive.resolve()}")


if __name__ == "__main__":
    main()
