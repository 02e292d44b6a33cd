"""One file a step: its action, and its undo beside it. All share the database of casefiles."""
