"""Recorded facts played into an isolated namespace, where local services react to them as they would in production.

    plan      what is played and what is left to local services; what each fact waits for      pure
    answers   what a local service has said instead, and where it differs                      pure
    changes   a fact as it is played: ids, sequences, directives                               pure
    fences    what keeps a fact out                                                        pure
    pace      when a fact is due
    space     the namespace: it is empty or marked, its breakers are shut, who serves there
    hearing   what is said there while facts are played
    player    one saga
    playing   many of them, side by side

Crash: every fact is stored under its own id, so a repeat goes on with what is missing. Nothing that is played is taken
back, and nothing leaves the namespace.
"""
