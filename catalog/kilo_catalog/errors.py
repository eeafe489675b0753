"""What can go wrong in the catalog, as leaves of the tree in `kilo_common.errors`.

InvalidInput
├── ImageInvalid             a field of an image has a value it may not have
├── PatchInvalid             a PATCH document is malformed
├── MemberInvalid            the body names no project, or no status, that there could be
├── ListQueryInvalid         a listing's filter, sort, marker or limit is malformed
├── FormatsMissing           data was sent before both formats were set
├── MetadefInvalid           a metadata definition is malformed
├── StoreUnknown             no store of that name is configured
├── ImportInvalid            the body of an import or of a task cannot be understood
├── ConversionInvalid        there is no such conversion
├── LocationInvalid          the body names no data that can be read, or is malformed
├── ArtifactInvalid          a field of an artifact has a value it may not have
├── ArtifactTypeInvalid      the declaration of a type, or a value for its field, is wrong
├── ArtifactIncomplete       the artifact lacks what it needs to become active
├── UploadHeaderInvalid      a header of a resumable upload is missing or malformed
├── UploadMismatch           the data is not what the request's headers declare
├── RangeMalformed           a Range header we do not serve, such as several ranges
├── TooLarge
│   ├── LimitExceeded        too many properties, tags or members
│   ├── ImageTooLarge        more bytes than an image may have
│   ├── ScratchFull          a step of a task needs more local disk than it may have
│   └── QuotaExceeded        more than a project's images may take
├── UnsupportedMedia
│   ├── MediaTypeUnsupported the request's Content-Type is not one the path takes
│   ├── FormatRefused        the bytes are not the declared format, or not a safe one
│   ├── ConversionFailed     the bytes cannot be converted
│   ├── CompressionRefused   what is compressed is damaged, or far more than it says
│   └── SignatureInvalid     the image's signature is not that of its bytes, or nobody's we trust
└── RangeNotSatisfiable
    └── RangeUnsatisfiable   bytes were asked for that the image does not have
Forbidden
├── AttributeForbidden       the attribute is read-only or reserved
├── PropertyProtected        the property is not the caller's to make, change or take away
├── ImageProtected           the image is protected from deletion
├── StatusForbids            the image's status does not allow the change
├── SharingForbids           the image is not one that has members
├── MetadefProtected         the namespace is protected from deletion
├── ArtifactFrozen           the field cannot change while the artifact is active
└── ImageDeactivated         the data of a deactivated image
NotFound
├── ImageNotFound, ImageUninspected, MemberNotFound, TagNotFound, SchemaNotFound, PathNotFound
├── MetadefNotFound          no such namespace, object, property, tag or resource type
├── TaskNotFound             no task of that id, or none that the caller may know of
├── UploadNotFound           the image has no such upload under way
├── StoreNotFound            the path names a store that is not configured
├── ArtifactNotFound, ArtifactTypeNotFound, ArtifactBlobNotFound
└── LocationNotFound         the image has no such copy of its data
MethodNotAllowed
└── MethodUnknown
Conflict
├── ImageIdTaken             the id is, or was, another image's
├── MemberExists             the image is shared with that project already
├── StatusConflict           data for an image that has or is getting some
├── PropertyConflict         a PATCH adds what exists or changes what does not
├── ArtifactExists           the project has that name and version of the type already
├── ArtifactStateConflict    no way leads from the artifact's status to that one
├── ArtifactNeeded           other artifacts depend on it
├── ArtifactBlobExists       the blob is there; an artifact's bytes are not written over
├── MetadefExists            a metadata definition of that name exists
├── RecordChanged            another request changed the record at the same time
│   ├── ImageChanged
│   ├── ArtifactChanged
│   ├── MetadefChanged
│   └── TaskChanged
├── PatchTestFailed          a `test` in a PATCH does not hold
├── UploadBusy               another request is at work on the upload
├── OffsetMismatch           the upload has more or fewer bytes than the request thinks
├── UploadLost               the upload's claim on the image ended before the upload did
├── ClaimContradicted        what is said of a location's data is not what is known of it
├── ImportConflict           the image's state, or its stores, do not allow the import
├── TaskEnded                the task is not in a state in which that can be done
├── TaskLost                 the worker's lease on the task ended
├── TaskCancelled            the task is not wanted any more
└── PreconditionFailed
    ├── TusUnsupported       the request is not of the version of tus that is spoken here
    └── VersionMismatch      the image is not the version that If-Match names
"""

from kilo_common import errors


class ImageInvalid(errors.InvalidInput):
    code = "catalog.image.invalid"


class PatchInvalid(errors.InvalidInput):
    code = "catalog.patch.invalid"


class MemberInvalid(errors.InvalidInput):
    code = "catalog.member.invalid"


class ListQueryInvalid(errors.InvalidInput):
    code = "catalog.list.invalid"


class FormatsMissing(errors.InvalidInput):
    code = "catalog.upload.formats_missing"


class MetadefInvalid(errors.InvalidInput):
    code = "catalog.metadef.invalid"


class StoreUnknown(errors.InvalidInput):
    code = "catalog.store.unknown"


class ImportInvalid(errors.InvalidInput):
    code = "catalog.import.invalid"


class ConversionInvalid(errors.InvalidInput):
    code = "catalog.conversion.invalid"


class LocationInvalid(errors.InvalidInput):
    code = "catalog.location.invalid"


class UploadHeaderInvalid(errors.InvalidInput):
    code = "catalog.upload.header_invalid"


class UploadMismatch(errors.InvalidInput):
    code = "catalog.upload.mismatch"


class RangeMalformed(errors.InvalidInput):
    code = "catalog.range.malformed"


class LimitExceeded(errors.TooLarge):
    code = "catalog.limit_exceeded"


class ImageTooLarge(errors.TooLarge):
    code = "catalog.image.too_large"


class ScratchFull(errors.TooLarge):
    code = "catalog.task.scratch_full"


class QuotaExceeded(errors.TooLarge):
    code = "catalog.quota_exceeded"


class MediaTypeUnsupported(errors.UnsupportedMedia):
    code = "catalog.media_type_unsupported"


class FormatRefused(errors.UnsupportedMedia):
    code = "catalog.image.format_refused"


class ConversionFailed(errors.UnsupportedMedia):
    code = "catalog.conversion.failed"


class CompressionRefused(errors.UnsupportedMedia):
    code = "catalog.compression.refused"


class SignatureInvalid(errors.UnsupportedMedia):
    code = "catalog.signature.invalid"


class RangeUnsatisfiable(errors.RangeNotSatisfiable):
    code = "catalog.range.unsatisfiable"


class AttributeForbidden(errors.Forbidden):
    code = "catalog.attribute.forbidden"


class PropertyProtected(errors.Forbidden):
    code = "catalog.property.protected"


class ImageProtected(errors.Forbidden):
    code = "catalog.image.protected"


class StatusForbids(errors.Forbidden):
    code = "catalog.image.status_forbids"


class SharingForbids(errors.Forbidden):
    code = "catalog.member.not_shared"


class ImageDeactivated(errors.Forbidden):
    code = "catalog.image.deactivated"


class CacheInvalid(errors.InvalidInput):
    code = "catalog.cache.invalid"


class ImageNotFound(errors.NotFound):
    code = "catalog.image.not_found"

    def __init__(self, image_id: str) -> None:
        super().__init__(f"No image found with ID {image_id[:64]}", image_id=image_id)


class ImageUninspected(errors.NotFound):
    code = "catalog.image.uninspected"


class MemberNotFound(errors.NotFound):
    code = "catalog.member.not_found"

    def __init__(self, image_id: str, project_id: str) -> None:
        super().__init__(
            f"Image {image_id[:64]} has no member {project_id[:64]}",
            image_id=image_id,
            member_id=project_id,
        )


class TagNotFound(errors.NotFound):
    code = "catalog.tag.not_found"


class TaskNotFound(errors.NotFound):
    code = "catalog.task.not_found"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"No task found with ID {task_id[:64]}", task_id=task_id[:64])


class UploadNotFound(errors.NotFound):
    code = "catalog.upload.not_found"


class StoreNotFound(errors.NotFound):
    code = "catalog.store.not_found"


class LocationNotFound(errors.NotFound):
    code = "catalog.location.not_found"


class CacheAbsent(errors.NotFound):
    code = "catalog.cache.absent"


class CacheNotFound(errors.NotFound):
    code = "catalog.cache.not_found"


class SchemaNotFound(errors.NotFound):
    code = "catalog.schema.not_found"


class PathNotFound(errors.NotFound):
    code = "catalog.path_not_found"


class MethodUnknown(errors.MethodNotAllowed):
    code = "catalog.method_not_allowed"


class ImageIdTaken(errors.Conflict):
    code = "catalog.image.id_taken"


class MemberExists(errors.Conflict):
    code = "catalog.member.exists"


class StatusConflict(errors.Conflict):
    code = "catalog.image.status_conflict"


class PropertyConflict(errors.Conflict):
    code = "catalog.patch.conflict"


class RecordChanged(errors.Conflict):
    code = "catalog.record_changed"


class ImageChanged(RecordChanged):
    code = "catalog.image.changed"


class PatchTestFailed(errors.Conflict):
    code = "catalog.patch.test_failed"


class VersionMismatch(errors.PreconditionFailed):
    code = "catalog.image.version_mismatch"


class UploadBusy(errors.Conflict):
    code = "catalog.upload.busy"


class OffsetMismatch(errors.Conflict):
    code = "catalog.upload.offset_mismatch"


class TusUnsupported(errors.PreconditionFailed):
    code = "catalog.upload.tus_unsupported"


class UploadLost(errors.Conflict):
    code = "catalog.upload.lost"


class MetadefProtected(errors.Forbidden):
    code = "catalog.metadef.protected"


class MetadefNotFound(errors.NotFound):
    code = "catalog.metadef.not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"Metadata definition {what} not found: {name[:80]}", what=what, name=name[:80]
        )


class MetadefExists(errors.Conflict):
    code = "catalog.metadef.exists"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"A metadata definition {what} with name={name[:80]} already exists.",
            what=what,
            name=name[:80],
        )


class MetadefChanged(RecordChanged):
    code = "catalog.metadef.changed"


class ClaimContradicted(errors.Conflict):
    code = "catalog.location.contradicted"


class ImportConflict(errors.Conflict):
    code = "catalog.import.conflict"


class TaskEnded(errors.Conflict):
    code = "catalog.task.ended"


class TaskChanged(RecordChanged):
    code = "catalog.task.changed"


class TaskLost(errors.Conflict):
    code = "catalog.task.lost"


class TaskCancelled(errors.Conflict):
    code = "catalog.task.cancelled"


class ArtifactInvalid(errors.InvalidInput):
    code = "catalog.artifact.invalid"


class ArtifactTypeInvalid(errors.InvalidInput):
    code = "catalog.artifact_type.invalid"


class ArtifactIncomplete(errors.InvalidInput):
    code = "catalog.artifact.incomplete"


class ArtifactFrozen(errors.Forbidden):
    code = "catalog.artifact.frozen"


class ArtifactNotFound(errors.NotFound):
    code = "catalog.artifact.not_found"


class ArtifactTypeNotFound(errors.NotFound):
    code = "catalog.artifact_type.not_found"


class ArtifactBlobNotFound(errors.NotFound):
    code = "catalog.artifact.blob_not_found"


class ArtifactExists(errors.Conflict):
    code = "catalog.artifact.exists"


class ArtifactStateConflict(errors.Conflict):
    code = "catalog.artifact.state_conflict"


class ArtifactNeeded(errors.Conflict):
    code = "catalog.artifact.needed"


class ArtifactBlobExists(errors.Conflict):
    code = "catalog.artifact.blob_exists"


class ArtifactChanged(RecordChanged):
    code = "catalog.artifact.changed"
