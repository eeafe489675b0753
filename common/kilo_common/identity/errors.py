"""What the identity service refuses.

KiloError
├── Unauthenticated
│   ├── TokenMissing         a request without a token
│   ├── TokenInvalid         not signed by us, expired, revoked, or of a user who is gone
│   ├── ProjectMissing       the token is for no project, and the service needs one
│   └── SignInRefused        wrong name or password, or no role on the project
├── Forbidden
│   ├── NotYours             only an administrator may see this
│   └── TrustRefused         Keystone makes no trust, or takes none
├── NotFound
│   ├── PathUnknown          there is nothing at this path
│   └── SubjectUnknown       no project, user or token has that id
├── MethodNotAllowed
│   └── ReadOnly             users and projects are changed in the configuration
├── InvalidInput
│   └── SignInInvalid        the request to sign in cannot be read
└── ConfigInvalid
    ├── DirectoryInvalid     projects or users contradict each other
    └── KeyInvalid           the key file cannot be made, read or trusted
"""

from kilo_common import errors


class TokenMissing(errors.Unauthenticated):
    code = "identity.token.missing"


class TokenInvalid(errors.Unauthenticated):
    code = "identity.token.invalid"


class ProjectMissing(errors.Unauthenticated):
    code = "identity.token.project_missing"


class SignInRefused(errors.Unauthenticated):
    code = "identity.sign_in.refused"


class NotYours(errors.Forbidden):
    code = "identity.not_yours"


class TrustRefused(errors.Forbidden):
    code = "identity.trust_refused"


class PathUnknown(errors.NotFound):
    code = "identity.path_unknown"


class SubjectUnknown(errors.NotFound):
    code = "identity.subject_unknown"


class ReadOnly(errors.MethodNotAllowed):
    code = "identity.read_only"


class SignInInvalid(errors.InvalidInput):
    code = "identity.sign_in.invalid"


class DirectoryInvalid(errors.ConfigInvalid):
    code = "identity.directory.invalid"


class KeyInvalid(errors.ConfigInvalid):
    code = "identity.key.invalid"
