"""Our signatures on webhooks, verified by the library that receivers use."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kilo_messaging.domain.webhook_signature import SigningKey, new_secret, signature_header

pytestmark = pytest.mark.clients
VERIFY = """
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
asked = json.load(sys.stdin)
for secret, body in asked["tries"]:
    try:
        Webhook(secret).verify(body, asked["headers"])
        print("good")
    except WebhookVerificationError:
        print("bad")
"""


def test_a_receiver_takes_either_live_key_and_no_other_body(clients_folder: Path) -> None:
    now = datetime.now(UTC)
    new, old, ended, strange = (new_secret() for _ in range(4))
    keys = (
        SigningKey(secret=new),
        SigningKey(secret=old, expires_at=now + timedelta(hours=1)),
        SigningKey(secret=ended, expires_at=now - timedelta(seconds=1)),
    )
    body, moment = '{"body":{"a":1}}', int(now.timestamp())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(moment),
        "webhook-signature": signature_header(keys, "msg_1", moment, body.encode(), now),
    }
    tries = [(new, body), (old, body), (ended, body), (strange, body), (new, body + " ")]
    done = subprocess.run(
        [str(clients_folder / "bin" / "python"), "-c", VERIFY],
        input=json.dumps({"headers": headers, "tries": tries}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["good", "good", "bad", "bad", "bad"]
