"""Memory, time and slices of a job whose machine nobody has rented yet."""
