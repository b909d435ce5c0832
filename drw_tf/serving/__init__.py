"""What leaves the project: the exported model, and the code inside it that reads pictures."""
