"""Names that cross the border to NATS: streams, buckets, headers, error codes."""

from dataclasses import dataclass

MSG_ID = "Nats-Msg-Id"
EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"

TIMEKEEPER = "timekeeper"
"""The durable consumer of due timers."""
SCHEDULER = "scheduler"
"""The durable consumer of schedules' times that are due."""
UNDERTAKER = "undertaker"
"""The durable consumer of what the server says it has given up."""
SAGA_LOG = "saga-log"
"""The saga log, as the consumer of what it could not apply."""
_GIVEN_UP = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"

WRONG_LAST_SEQUENCE = 10071
BUSY_SUBJECT = 10164
BATCH_DUPLICATE = 10201
CANNOT_DELETE = 10057


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one namespace's streams and buckets."""

    namespace: str = ""

    @property
    def _prefix(self) -> str:
        return f"SAGA-{self.namespace}" if self.namespace else "SAGA"

    def facts(self, partition: int) -> str:
        """The stream that holds a partition's facts."""
        return f"{self._prefix}-FACTS-{partition}"

    @property
    def dead_letters(self) -> str:
        return f"{self._prefix}-DEAD-LETTERS"

    @property
    def dead_letter_root(self) -> str:
        return f"{self.namespace}.dead" if self.namespace else "dead"

    @property
    def letters(self) -> str:
        """The root of the dead letters proper: `<letters>.<consumer>.<stream>.<sequence>`."""
        return f"{self.dead_letter_root}.letter"

    def letter(self, consumer: str, stream: str, sequence: int) -> str:
        """The subject of all letters of one message and one consumer."""
        return f"{self.letters}.{consumer}.{stream}.{sequence}"

    def ruling(self, consumer: str, letter: int | str) -> str:
        """The subject of what was decided about a letter; `*` for all letters of a consumer."""
        return f"{self.dead_letter_root}.ruling.{consumer}.{letter}"

    @property
    def advisories(self) -> str:
        """The stream of what the server says of consumers that have given a message up."""
        return f"{self._prefix}-ADVISORIES"

    @staticmethod
    def given_up(stream: str) -> str:
        """The subjects on which the server says that a consumer of a stream has given a message up."""
        return f"{_GIVEN_UP}.{stream}.*"

    @property
    def timers(self) -> str:
        """The stream of timers: those that are armed, and those that are due."""
        return f"{self._prefix}-TIMERS"

    @property
    def timer_root(self) -> str:
        return f"{self.namespace}.timer" if self.namespace else "timer"

    def timer_armed(self, saga_id: str, step: str) -> str:
        return f"{self.timer_root}.at.{saga_id}.{step}"

    def timer_due(self, saga_id: str, step: str) -> str:
        return f"{self.timer_root}.due.{saga_id}.{step}"

    @property
    def events(self) -> str:
        """The stream of the services' own events, and of how far each outbox has got."""
        return f"{self._prefix}-EVENTS"

    @property
    def outbox_root(self) -> str:
        return f"{self.namespace}.outbox" if self.namespace else "outbox"

    @property
    def definitions(self) -> str:
        """The KV bucket of saga definitions."""
        return f"{self._prefix}-DEFINITIONS"

    @property
    def breakers(self) -> str:
        """The KV bucket of circuit breakers."""
        return f"{self._prefix}-BREAKERS"

    @property
    def breaker_events(self) -> str:
        """The stream of what happened to circuit breakers."""
        return f"{self._prefix}-BREAKER-EVENTS"

    @property
    def breaker_root(self) -> str:
        return f"{self.namespace}.brk" if self.namespace else "brk"

    def breaker_event(self, name: str, kind: str) -> str:
        """The subject of one kind of event of a breaker; `*` for all kinds."""
        return f"{self.breaker_root}.{name}.{kind}"

    @property
    def workflows(self) -> str:
        """The KV bucket of the catalogue's records, by the workflow's name."""
        return f"{self._prefix}-WORKFLOWS"

    @property
    def workflow_versions(self) -> str:
        """The KV bucket of workflows' documents, by name and version."""
        return f"{self._prefix}-WORKFLOW-VERSIONS"

    @property
    def redrives(self) -> str:
        """The KV bucket of jobs that redrive sagas."""
        return f"{self._prefix}-REDRIVES"

    @property
    def triggers(self) -> str:
        """The KV bucket of triggers."""
        return f"{self._prefix}-TRIGGERS"

    @property
    def firings(self) -> str:
        """The stream of what became of firings."""
        return f"{self._prefix}-FIRINGS"

    @property
    def schedules(self) -> str:
        """The stream of schedules' next times: those that are armed, and those that are due."""
        return f"{self._prefix}-SCHEDULES"

    @property
    def trigger_root(self) -> str:
        return f"{self.namespace}.trg" if self.namespace else "trg"

    def firing(self, trigger: str) -> str:
        return f"{self.trigger_root}.fired.{trigger}"

    def schedule_armed(self, trigger: str) -> str:
        return f"{self.trigger_root}.at.{trigger}"

    def schedule_due(self, trigger: str) -> str:
        return f"{self.trigger_root}.due.{trigger}"

    @staticmethod
    def trigger_consumer(trigger: str) -> str:
        """The durable consumer of an EVENT trigger, shared by all replicas of the runner."""
        return f"trigger-{trigger}"

    @property
    def offers(self) -> str:
        """The KV bucket of what processes offer."""
        return f"{self._prefix}-OFFERS"

    @property
    def limits(self) -> str:
        """The KV bucket of limits that replicas share."""
        return f"{self._prefix}-LIMITS"

    @property
    def sessions(self) -> str:
        """The KV bucket of sessions."""
        return f"{self._prefix}-SESSIONS"

    @property
    def trail(self) -> str:
        """The stream of the audit trail."""
        return f"{self._prefix}-TRAIL"

    @property
    def trail_root(self) -> str:
        return f"{self.namespace}.trail" if self.namespace else "trail"

    @property
    def locks(self) -> str:
        """The KV bucket of locks around changes of the topology."""
        return f"{self._prefix}-LOCKS"

    @staticmethod
    def consumer(action: str) -> str:
        """The durable consumer that all replicas offering an action share."""
        return action.replace(".", "-")
