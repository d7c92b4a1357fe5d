"""Tools and backends in worker processes, which can be ended: what hangs, crashes or leaks ends there, not here."""
