"""An OTLP receiver of logs: it reads requests with the protocol's own definitions."""

from __future__ import annotations

import json

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.wire.vendors.simulators import Received, Reply, holds


class Otlp:
    refusal = Reply(400, b'{"code":3}')

    def __init__(self, key: str = "", reject: str = "") -> None:
        self.taken: list[str] = []
        self.key, self.reject = key, reject

    def take(self, request: Received) -> Reply:
        holds(request.path == "/v1/logs", "it is another path")
        holds(not self.key or request.header("authorization") == f"Bearer {self.key}", "the key is another")
        rejected = 0
        for record in records(request.body):
            holds(record.event_name and record.observed_time_unix_nano, "the record says too little")
            keys = [one.key for one in record.attributes]
            holds(len(set(keys)) == len(keys), "an attribute stands there twice")
            if record.event_name == self.reject:
                rejected += 1
            else:
                self.taken.append(record.event_name)
        partial = {"partialSuccess": {"rejectedLogRecords": str(rejected)}} if rejected else {}
        return Reply(200, json.dumps(partial).encode(), (("content-type", "application/json"),))


def records(body: bytes) -> list:  # type: ignore[type-arg]
    """The records of a request in JSON, as the protocol defines them; unknown members are errors."""
    read = ParseDict(json.loads(body), ExportLogsServiceRequest())
    return [
        record for resource in read.resource_logs for scope in resource.scope_logs for record in scope.log_records
    ]
