"""The common messaging layer: RPC and notifications over drivers, in oslo.messaging's wire form.

`transport.py` is the interface a driver implements; `connect.py` opens one by URL. `rpc_client`,
`rpc_server`, `notifier` and `listener` are what programs use.
"""
