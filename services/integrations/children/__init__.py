"""Child sagas of a step: planned, started within a limit, counted as they end, undone with their parent."""
