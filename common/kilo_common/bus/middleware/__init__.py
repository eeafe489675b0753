"""What is done around every publish and every handling: small classes over named hooks.

`base.py` has the hooks; the other modules are middleware. A client, server, notifier or listener
takes them as a tuple, the outermost first.
"""
