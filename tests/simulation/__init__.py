"""A deterministic simulation of the write protocol: real executor, journal, api and platform modules; virtual time."""
