"""Static checks: what is wrong, or will be, with definitions, workflows and triggers before anybody starts a saga.

`documents` reads them, `one` judges each definition, `together` all of them beside each other, `live` against the
bus. Each rule has a stable name (`findings.RULES`); `sarif` writes what was found for tools.
"""
