"""The real server with OpenTelemetry's SDK around it: `python traced.py FILE OPTION…` writes each span to the file as JSON."""

from __future__ import annotations

import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from phone_number_mcp.cli import main

if __name__ == "__main__":
    file = Path(sys.argv[1]).open("w", encoding="utf-8")  # noqa: SIM115  (until the process ends)
    exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    sys.exit(main(sys.argv[2:]))
