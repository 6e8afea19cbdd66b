"""What a process tells of its own work: figures and log lines."""
