"""How well agents do with the server's tools: tasks, a recorded good solution of each, and what it costs."""
