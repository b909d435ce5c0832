"""What comes out of runs: records, logs, tables, figures."""
