"""What every room may use, and which uses no room: errors, what may be shown, small tools."""
