"""What the demonstration and the tests share: real parts, fetched and started on this machine."""
