"""What a process reports of its own work: figures and log lines."""
