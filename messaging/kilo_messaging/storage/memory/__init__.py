"""The store in memory: for tests and for data that may be lost. It passes the same contract."""
