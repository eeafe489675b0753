"""Blobs in OpenStack's object store, through python-swiftclient (`kilostack[swift]`)."""
