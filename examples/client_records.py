"""Sort client records: who can be written to, who can be called, who is complete.

One source feeds three results. Using a pipeline twice makes a branch: every consumer gets every item, in
order, and what the branches share runs only once.

    python examples/client_records.py
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from olympipe_like import Pipeline

RECORDS = Path(__file__).parent / "data" / "clients.json"

# Plain addresses only: a name, an @, a domain of two or more labels.
EMAIL = re.compile(r"[\w.+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII | re.IGNORECASE)
PHONE_MARKS = str.maketrans("", "", " -.()+")
PHONE_DIGITS = range(8, 16)  # 15 at most by ITU-T E.164; fewer than 8 cannot be called from elsewhere


def has_email(record: dict) -> bool:
    return EMAIL.fullmatch(record.get("email") or "") is not None


def has_phone(record: dict) -> bool:
    digits = (record.get("phone") or "").translate(PHONE_MARKS)
    return digits.isdecimal() and len(digits) in PHONE_DIGITS


def sort_records(records: Sequence[dict]) -> list[list[dict]]:
    """Return the records without an e-mail address, those with one but no phone, and the rest."""
    pipe = Pipeline(records)
    no_email = pipe.filter(lambda record: not has_email(record))
    email = pipe.filter(has_email)
    no_phone = email.filter(lambda record: not has_phone(record))
    complete = email.filter(has_phone)
    return Pipeline.wait_for_all_results([no_email, no_phone, complete])


def show(title: str, records: Sequence[dict], field: str) -> None:
    """Print who they are and what they gave instead."""
    print(f"\n{title}: {len(records)}")
    for record in records:
        given = record.get(field)
        print(f"  {record['name']:<20} {record['city']:<14} {repr(given) if given else 'nothing given'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the records, sort them, say what is missing."""
    parser = argparse.ArgumentParser(description="Find the client records that cannot be used as they are.")
    parser.add_argument("--records", type=Path, default=RECORDS, help="a JSON list of records")
    parser.add_argument("--out", type=Path, help="a folder for the three lists as JSON files")
    options = parser.parse_args(arguments)

    records = json.loads(options.records.read_text(encoding="utf-8"))
    no_email, no_phone, complete = sort_records(records)

    print(f"{len(records)} client records, {len(complete)} complete")
    show("No usable e-mail address", no_email, "email")
    show("An e-mail address, but no usable phone number", no_phone, "phone")

    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        lists = {"no_email": no_email, "no_phone": no_phone, "complete": complete}
        for name, found in lists.items():
            text = json.dumps(found, ensure_ascii=False, indent=2)
            (options.out / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
