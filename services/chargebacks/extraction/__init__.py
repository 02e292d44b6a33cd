"""From a document to a claim: by rules for sheets and for text, or by a model; and the check of what was read."""
