"""The default policy: who may do what, in oslo.policy's syntax, with secure-RBAC roles.

A rule's target has the image's `owner` (also as `project_id`), `visibility` and `id`; that of
`modify_member` the `member_id` as well. Who is a member of an image is no matter of the policy.
The target of the `metadef` rules has a namespace's `owner`, `visibility` and `name`; who does not
own a private namespace does not get as far as a rule, unless it is an administrator.
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
    "delete_image_location": "rule:admin",
    "deactivate": "rule:admin_or_owner",
    "reactivate": "rule:admin_or_owner",
    "get_members": "rule:get_image",
    "get_member": "rule:get_image",
    "add_member": "rule:admin_or_owner",
    "modify_member": "rule:admin or (rule:member and project_id:%(member_id)s)",
    "delete_member": "rule:admin_or_owner",
    "get_metadef_namespaces": "rule:reader",
    "get_metadef_namespace": "rule:admin or (rule:reader and (project_id:%(owner)s or "
    "'public':%(visibility)s))",
    "add_metadef_namespace": "rule:metadef_admin",
    "modify_metadef_namespace": "rule:metadef_admin",
    "delete_metadef_namespace": "rule:metadef_admin",
    "get_metadef_objects": "rule:get_metadef_namespace",
    "get_metadef_object": "rule:get_metadef_namespace",
    "add_metadef_object": "rule:metadef_admin",
    "modify_metadef_object": "rule:metadef_admin",
    "delete_metadef_object": "rule:metadef_admin",
    "get_metadef_properties": "rule:get_metadef_namespace",
    "get_metadef_property": "rule:get_metadef_namespace",
    "add_metadef_property": "rule:metadef_admin",
    "modify_metadef_property": "rule:metadef_admin",
    "remove_metadef_property": "rule:metadef_admin",
    "get_metadef_tags": "rule:get_metadef_namespace",
    "get_metadef_tag": "rule:get_metadef_namespace",
    "add_metadef_tags": "rule:metadef_admin",
    "add_metadef_tag": "rule:metadef_admin",
    "modify_metadef_tag": "rule:metadef_admin",
    "delete_metadef_tags": "rule:metadef_admin",
    "delete_metadef_tag": "rule:metadef_admin",
    "list_metadef_resource_types": "rule:reader",
    "get_metadef_resource_type": "rule:get_metadef_namespace",
    "add_metadef_resource_type_association": "rule:metadef_admin",
    "remove_metadef_resource_type_association": "rule:metadef_admin",
    "metadef_admin": "rule:admin",
    "import_image": "rule:admin_or_owner",
    "copy_image": "rule:admin",
    "convert_image": "rule:admin_or_owner",
    "get_image_tasks": "rule:admin or (rule:reader and project_id:%(owner)s)",
    "cancel_task": "rule:admin_or_owner",
    "retry_task": "rule:admin_or_owner",
    "tasks_api_access": "rule:admin",
    "cache_image": "rule:admin",
    "stores_info_detail": "rule:admin",
}
