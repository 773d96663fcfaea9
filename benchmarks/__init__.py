"""How fast this server is beside others: `make bench`, or `python -m benchmarks.bench --help`."""
