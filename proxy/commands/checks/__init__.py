"""What `check` looks at, part by part. Nothing is changed."""
