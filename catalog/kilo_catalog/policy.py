"""The default policy: who may do what, in oslo.policy's syntax, with secure-RBAC roles.

A rule's target has the image's `owner` (also as `project_id`), `visibility` and `id`; that of
`modify_member` the `member_id` as well. Who is a member of an image is no matter of the policy.
"""

from collections.abc import Mapping

DEFAULT_RULES: Mapping[str, str] = {
    "admin": "role:admin",
    "member": "role:admin or role:manager or role:member",
    "reader": "rule:member or role:reader",
    "owner": "rule:member and project_id:%(owner)s",
    "admin_or_owner": "rule:admin or rule:owner",
    "add_image": "rule:admin_or_owner",
    "get_images": "rule:reader",
    "get_image": "rule:admin or (rule:reader and (project_id:%(owner)s or "
    "'public':%(visibility)s or 'community':%(visibility)s or 'shared':%(visibility)s))",
    "modify_image": "rule:admin_or_owner",
    "delete_image": "rule:admin_or_owner",
    "set_image_owner": "rule:admin",
    "publicize_image": "rule:admin",
    "communitize_image": "rule:admin_or_owner",
    "upload_image": "rule:admin_or_owner",
    "download_image": "rule:get_image",
    "download_deactivated_image": "rule:admin",
    "deactivate": "rule:admin_or_owner",
    "reactivate": "rule:admin_or_owner",
    "get_members": "rule:get_image",
    "get_member": "rule:get_image",
    "add_member": "rule:admin_or_owner",
    "modify_member": "rule:admin or (rule:member and project_id:%(member_id)s)",
    "delete_member": "rule:admin_or_owner",
    "stores_info_detail": "rule:admin",
}
