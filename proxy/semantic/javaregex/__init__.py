"""Java's regular expressions, said in the syntax of Python's `regex`. No I/O."""
