"""The clients that people use, against the real server: `make test-clients`, or `python -m clients.judge` in `tests/`."""
