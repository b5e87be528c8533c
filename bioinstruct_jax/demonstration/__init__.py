"""What `demo` does: the rows parted, each stage an ordinary verb run as a command, the folder that says what it is."""
