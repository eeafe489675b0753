"""Blobs in an S3-compatible object store, through boto3 (`pip install 'kilostack[s3]'`)."""
