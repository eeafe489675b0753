"""One flow per kind of task, and what their steps are made of."""
