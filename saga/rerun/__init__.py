"""Changed handlers on recorded sagas: their steps are done again, each guarded, and nothing of it stays."""
