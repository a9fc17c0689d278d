"""The type of a vendor: one value with everything that is specific to it outside of a request. No IO."""

from __future__ import annotations

import re

from obsup.dialects.dialect import Dialect
from obsup.value import Value

REGION = r"(?P<region>[a-z0-9-]+?)"
"""The part of a host pattern that is the region."""

WEBSITE_REFUSAL = "This host serves static websites and accepts no uploads"


class HostFamily(Value):
    """Hosts of one provider that match the regular expression *hosts*.

    Hosts with the same ``domain`` may redirect to each other. ``region`` applies if the pattern contains none.
    ``refusal``: why these hosts cannot be used. ``is_global``: regional hosts exist, with the region as the second
    label of this host. ``is_vendor``: the vendor operates them, so they work as it documents; False for a
    compatible store. ``path_style``: the bucket is in the path unless the user asks for something else.

    The other fields are rules of that store, if they differ from those of the dialect; sizes are bytes.
    ``has_composite_etags``: the ETag of a multipart object is made of those of its parts. ``crc64`` is the response
    header with a CRC-64/XZ. ``checksums`` are the algorithms of ``x-amz-checksum-`` headers that its documentation
    names; empty if it rejects these headers, None if it does not say. ``has_object_lock``: an object can be
    locked.
    """

    domain: str
    hosts: str
    region: str | None = None
    refusal: str = ""
    is_global: bool = False
    is_vendor: bool = True
    path_style: bool = False
    max_parts: int | None = None
    max_part: int | None = None
    max_object: int | None = None
    equal_parts: bool = False
    has_composite_etags: bool = True
    crc64: str | None = None
    checksums: tuple[str, ...] | None = None
    has_object_lock: bool = True

    def match(self, host: str) -> re.Match[str] | None:
        return re.fullmatch(rf"(?:(?P<bucket>.+)\.)?(?P<host>{self.hosts})", host)


class KeyNames(Value):
    """The names that one source uses for access key, secret and token. The first token that is set applies."""

    access: str
    secret: str
    tokens: tuple[str, ...]


class CredentialFile(Value):
    """A file in INI format in which a tool of the vendor keeps credentials.

    ``path`` is relative to the home directory unless the environment variable ``path_variable`` names a file.
    ``sections`` are the names that the section may have, nearest first; ``{profile}`` is the value of the environment
    variable ``profile_variable``, or ``default``. ``default_sections`` replace them for the profile ``default``.
    """

    path: str
    path_variable: str
    profile_variable: str
    sections: tuple[str, ...]
    keys: KeyNames
    default_sections: tuple[str, ...] = ()


class VendorSetting(Value):
    """A setting that the tools of *vendor* have outside of obsup, and where it comes from.

    ``name`` is ``endpoint``, ``region``, ``addressing``, or ``public_endpoint``, which contains ``{region}``.
    """

    vendor: str
    name: str
    value: str
    origin: str


class MetadataService(Value):
    """The service from which a cloud host gets the credentials of its role.

    ``base`` is its URL unless the environment variable ``base_variable`` names another. ``envelope`` is the member of
    the JSON response that contains the keys; None: the top level. All ``token_headers`` and ``life_headers`` are sent.
    """

    name: str
    token_headers: tuple[str, ...]
    life_headers: tuple[str, ...]
    path: str
    names: KeyNames
    base: str = "http://169.254.169.254"
    base_variable: str = "OBSUP_METADATA_ENDPOINT"
    token_path: str = "/latest/api/token"
    has_roles: bool = True
    envelope: str | None = None
    expiry: str = "Expiration"


class Vendor(Value):
    """A provider of object storage. ``name`` is also the scheme of a target.

    ``endpoint_variables`` and ``region_variables`` are the environment variables of its tools, the nearest first.
    ``file_settings`` are (name of a VendorSetting, key) in its ``credential_files``, the nearest first; ``s3.x`` is the
    key ``x`` below ``s3``. ``dualstack_endpoint`` is its endpoint with IPv6, if ``dualstack_variable`` or
    ``dualstack_keys`` of those files are ``true``. Its tools use no endpoint of variables and files if
    ``no_endpoints_variable`` is ``true``.

    ``credential_chain`` is the name of its library that finds credentials, if obsup uses one. ``path_style_elsewhere``:
    at hosts that are not known, the bucket is in the path. ``region_prefix``: each of its regions has a second name
    that begins with it; signatures have the name without it.

    The first of ``dialects`` is the default. The first host family that matches applies, so specific ones come first.
    """

    name: str
    dialects: tuple[Dialect, ...]
    hosts: tuple[HostFamily, ...]
    credential_variables: tuple[KeyNames, ...]
    credential_files: tuple[CredentialFile, ...]
    metadata_service: MetadataService
    endpoint_variables: tuple[str, ...] = ()
    region_variables: tuple[str, ...] = ()
    credential_chain: str = ""
    file_settings: tuple[tuple[str, str], ...] = ()
    dualstack_endpoint: str = ""
    dualstack_variable: str = ""
    dualstack_keys: tuple[str, ...] = ()
    no_endpoints_variable: str = ""
    path_style_elsewhere: bool = False
    region_prefix: str = ""
