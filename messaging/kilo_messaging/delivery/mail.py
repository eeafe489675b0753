"""Mail: one text to one address, by the configured server."""

import smtplib
import ssl
from email.message import EmailMessage

import msgspec

from kilo_messaging.config import MailSettings
from kilo_messaging.delivery.base import EXCERPT, Answer, notification
from kilo_messaging.domain.delivery import Job
from kilo_messaging.domain.subscriber import Mailbox, read_subscriber
from kilo_messaging.domain.subscription import Subscription

SUBJECT = "Notification of {topic}"


class MailSender:
    """Writes to addresses."""

    def __init__(self, settings: MailSettings, timeout: float) -> None:
        """`timeout` is in seconds, for each step of the conversation with the server."""
        self._settings = settings
        self._timeout = timeout

    def send(self, job: Job) -> Answer:
        subscription = job.subscription
        lines = [
            msgspec.json.format(
                msgspec.json.encode(notification(subscription.key, each.notice)), indent=2
            ).decode()
            for each in job.deliveries
        ]
        return self.send_text(subscription, "\n\n".join(lines))

    def send_text(self, subscription: Subscription, text: str) -> Answer:
        """Write a text to the subscriber."""
        place = read_subscriber(subscription.subscriber, subscription.key)
        assert isinstance(place, Mailbox), "the dispatcher chose this sender by the subscriber"
        options = subscription.options
        mail = EmailMessage()
        mail["From"] = options.sender or self._settings.sender
        mail["To"] = place.address
        mail["Subject"] = options.subject or SUBJECT.format(topic=subscription.key.name)
        mail.set_content(text)
        try:
            with self._connect() as server:
                server.send_message(mail)
        except smtplib.SMTPResponseException as fault:
            said = fault.smtp_error
            detail = said if isinstance(said, str) else said.decode(errors="replace")
            return Answer(arrived=False, status=fault.smtp_code, detail=detail[:EXCERPT])
        except smtplib.SMTPRecipientsRefused as fault:
            code, reason = next(iter(fault.recipients.values()))
            detail = reason.decode(errors="replace")[:EXCERPT]
            return Answer(arrived=False, status=code, detail=detail)
        except (OSError, ValueError, smtplib.SMTPException) as fault:
            return Answer(arrived=False, detail=f"The mail server: {fault}"[:EXCERPT])
        return Answer(arrived=True, status=250)

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        server = smtplib.SMTP(settings.host, settings.port, timeout=self._timeout)
        try:
            if settings.starttls:
                server.starttls(context=ssl.create_default_context())
            if settings.username:
                server.login(settings.username, settings.password)
        except BaseException:
            server.close()
            raise
        return server
