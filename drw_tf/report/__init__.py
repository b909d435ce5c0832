"""What comes out of a run: metrics, records, logs, figures."""
