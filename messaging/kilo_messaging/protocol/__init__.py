"""One request, one answer, whatever transport carried it: schemas, actions, errors as bodies."""
