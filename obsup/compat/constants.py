"""The constants of the vendors' SDK."""


class HeadPermission:
    """Predefined ACLs. Those whose name ends in DELIVERED are for buckets: an upload with one of them is refused."""

    PRIVATE = "private"
    PUBLIC_READ = "public-read"
    PUBLIC_READ_WRITE = "public-read-write"
    PUBLIC_READ_DELIVERED = "public-read-delivered"
    PUBLIC_READ_WRITE_DELIVERED = "public-read-write-delivered"
    AUTHENTICATED_READ = "authenticated-read"
    BUCKET_OWNER_READ = "bucket-owner-read"
    BUCKET_OWNER_FULL_CONTROL = "bucket-owner-full-control"
    LOG_DELIVERY_WRITE = "log-delivery-write"


class StorageClass:
    """Storage classes."""

    STANDARD = "STANDARD"
    WARM = "WARM"
    COLD = "COLD"


class Permission:
    """Permissions of an ExtensionGrant. WRITE is for buckets: an upload with it is refused."""

    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"
    FULL_CONTROL = "FULL_CONTROL"
