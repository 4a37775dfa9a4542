# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to an object store: one client, explicit pages, every failure a C(StoreError)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, MissingLibrary
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import StoreError, store_error
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import (
    DeleteMarker,
    ListedObject,
    ObjectStat,
    Upload,
    Version,
)

IMPORT_ERROR: str | None = None
try:
    # boto3 brings botocore and wraps it in a resource layer and a transfer manager; a client of botocore's own
    # starts in half the time, and the time is paid at every task.
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, ProfileNotFound
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

    class BotoCoreError(Exception):  # type: ignore[no-redef]
        """Stands in so that the module can be imported and name what is missing."""

    class ClientError(Exception):  # type: ignore[no-redef]
        """Stands in, too."""


_ATTEMPTS = 2
_ADDRESS = "an address such as https://minio.example.com:9000"
_CHUNK_BYTES = 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024
# S3 takes 10,000 parts of an object.
_MOST_PARTS = 9_000


class MultipartUpload:
    """Parts of an object on their way, each with its SHA-256 for the store to compare.

    Leaving the block without C(complete) drops what was sent.
    """

    def __init__(
        self,
        client: Any,
        target: Mapping[str, str],
        translated: Callable[[str, str], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._client = client
        self._target = dict(target)
        self._translated = translated
        self._parts: list[dict[str, Any]] = []
        self._is_open = True
        self.sent_bytes = 0

    def __enter__(self) -> MultipartUpload:
        return self

    def __exit__(self, *_details: object) -> None:
        self.abort()

    def send(self, data: bytes) -> None:
        """Send the next part; all but the last need five mebibytes at least."""
        checksum = _checksum(data)
        number = len(self._parts) + 1
        with self._translated(self._target["Bucket"], "upload a part"):
            answer = self._client.upload_part(**self._target, PartNumber=number, Body=data, ChecksumSHA256=checksum)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})
        self.sent_bytes += len(data)

    def complete(self) -> str | None:
        """Make the object appear; its version, where there are versions."""
        with self._translated(self._target["Bucket"], "complete an upload"):
            answer = self._client.complete_multipart_upload(**self._target, MultipartUpload={"Parts": self._parts})
        self._is_open = False
        version: str | None = answer.get("VersionId")
        return None if version == "null" else version

    def abort(self) -> None:
        """Drop what was sent, unless the object has appeared."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(StoreError), self._translated(self._target["Bucket"], "abort an upload"):
                self._client.abort_multipart_upload(**self._target)


class Store:
    """One client for one store; safe to share between threads. Create it with C(connect)."""

    def __init__(self, client: Any, name: str, secrets: tuple[str | None, ...]) -> None:
        self._client = client
        self._secrets = secrets
        self.name = name

    def versioning(self, bucket: str) -> str:
        """C(enabled), C(suspended) or C(disabled) (never switched on)."""
        with self._translated(bucket, "read the versioning state"):
            status: str | None = self._client.get_bucket_versioning(Bucket=bucket).get("Status")
        return status.lower() if status else "disabled"

    def object_pages(self, bucket: str, prefix: str, page_size: int = 1000) -> Iterator[list[ListedObject]]:
        """Current objects below a prefix, page by page, until the store says that there are no more."""
        arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": page_size}
        while True:
            with self._translated(bucket, "list objects"):
                page = self._client.list_objects_v2(**arguments)
            yield [_listed(entry) for entry in page.get("Contents", ())]
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return
            arguments["ContinuationToken"] = token

    def version_pages(
        self, bucket: str, prefix: str, page_size: int = 1000
    ) -> Iterator[tuple[list[Version], list[DeleteMarker]]]:
        """Every version and delete marker below a prefix, page by page; newest first within a key."""
        arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": page_size}
        while True:
            with self._translated(bucket, "list versions"):
                page = self._client.list_object_versions(**arguments)
            versions = [
                Version(_listed(entry), str(entry.get("VersionId") or "null"), bool(entry.get("IsLatest")))
                for entry in page.get("Versions", ())
            ]
            markers = [
                DeleteMarker(
                    entry["Key"],
                    entry["LastModified"],
                    bool(entry.get("IsLatest")),
                    str(entry.get("VersionId") or "null"),
                )
                for entry in page.get("DeleteMarkers", ())
            ]
            yield versions, markers
            if not page.get("IsTruncated") or not page.get("NextKeyMarker"):
                return
            arguments["KeyMarker"] = page["NextKeyMarker"]
            # Some stores end a page between keys and send no version marker.
            arguments.pop("VersionIdMarker", None)
            if page.get("NextVersionIdMarker"):
                arguments["VersionIdMarker"] = page["NextVersionIdMarker"]

    def upload_pages(self, bucket: str, prefix: str) -> Iterator[list[Upload]]:
        """Multipart uploads that were begun and neither completed nor aborted."""
        arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxUploads": 1000}
        while True:
            with self._translated(bucket, "list unfinished uploads"):
                page = self._client.list_multipart_uploads(**arguments)
            yield [
                Upload(entry["Key"], entry["UploadId"], entry.get("Initiated"))
                for entry in page.get("Uploads", ())
                # Some stores ignore the prefix here.
                if entry["Key"].startswith(prefix)
            ]
            if not page.get("IsTruncated") or not page.get("NextKeyMarker"):
                return
            arguments["KeyMarker"] = page["NextKeyMarker"]
            arguments["UploadIdMarker"] = page.get("NextUploadIdMarker", "")

    def upload_bytes(self, bucket: str, upload: Upload) -> int:
        """Bytes of the parts that an unfinished upload holds."""
        arguments: dict[str, Any] = {"Bucket": bucket, "Key": upload.key, "UploadId": upload.upload_id}
        total = 0
        while True:
            with self._translated(bucket, "list the parts of an upload"):
                page = self._client.list_parts(**arguments)
            total += sum(int(part["Size"]) for part in page.get("Parts", ()))
            if not page.get("IsTruncated") or not page.get("NextPartNumberMarker"):
                return total
            arguments["PartNumberMarker"] = page["NextPartNumberMarker"]

    def read(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        start: int = 0,
        length: int | None = None,
    ) -> Iterator[bytes]:
        """The bytes of an object, in chunks of at most one mebibyte.

        Args:
            bucket: The bucket.
            key: The object.
            version_id: This version and no other.
            etag: Refuse the object if it was replaced by another since it was listed.
            start: First byte.
            length: How many bytes; to the end, if not given.

        """
        arguments: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version_id:
            arguments["VersionId"] = version_id
        if etag:
            arguments["IfMatch"] = etag
        if start or length is not None:
            arguments["Range"] = f"bytes={start}-" + ("" if length is None else str(start + length - 1))
        body: Any = None
        try:
            with self._translated(bucket, "read an object"):
                body = self._client.get_object(**arguments)["Body"]
            while True:
                with self._translated(bucket, "read an object"):
                    chunk: bytes = body.read(_CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk
        finally:
            # An object that is not read to its end must not keep its connection.
            if body is not None:
                body.close()

    def write(self, bucket: str, key: str, data: bytes) -> str | None:
        """Write an object in one request, with its SHA-256 for the store to compare; its version, if there is one."""
        return self._put(bucket, key, data, {})

    def upload_file(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        metadata: Mapping[str, str],
        on_bytes: Callable[[int], None] = lambda _count: None,
        part_bytes: int = _PART_BYTES,
    ) -> str | None:
        """Write a file as an object, a part at a time, each with its SHA-256 for the store to compare; its version.

        Nothing is left behind when it fails: the parts that were sent are dropped.

        Args:
            bucket: The bucket.
            key: The object.
            path: The file. It must not change meanwhile.
            metadata: Metadata of the object, plain ASCII.
            on_bytes: Told how many bytes the store has; may raise in order to end the upload.
            part_bytes: The size of a part; larger where the file would have more parts than a store takes.

        """
        size = path.stat().st_size
        part_bytes = max(part_bytes, -(-size // _MOST_PARTS))
        with path.open("rb") as stream:
            if size <= part_bytes:
                version = self._put(bucket, key, stream.read(), metadata)
                on_bytes(size)
                return version
            with self.begin_upload(bucket, key, metadata=metadata) as upload:
                while data := stream.read(part_bytes):
                    upload.send(data)
                    on_bytes(upload.sent_bytes)
                return upload.complete()

    def begin_upload(self, bucket: str, key: str, *, metadata: Mapping[str, str] | None = None) -> MultipartUpload:
        """An object that is written a part at a time, and appears when it is completed."""
        with self._translated(bucket, "begin an upload"):
            begun = self._client.create_multipart_upload(
                Bucket=bucket, Key=key, Metadata=dict(metadata or {}), ChecksumAlgorithm="SHA256"
            )
        target = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
        return MultipartUpload(self._client, target, self._translated)

    def abort_upload(self, bucket: str, upload: Upload) -> None:
        """Drop the parts of an unfinished upload."""
        with self._translated(bucket, "abort an upload"):
            self._client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)

    def delete(self, bucket: str, key: str, *, version_id: str | None = None) -> None:
        """Delete an object: where there are versions, hide it; with C(version_id), remove that version for ever."""
        arguments = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}
        with self._translated(bucket, "delete an object"):
            self._client.delete_object(**arguments)

    def stat(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectStat | None:
        """What the store says about an object; None when there is none."""
        arguments = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}
        try:
            with self._translated(bucket, "look at an object"):
                answer = self._client.head_object(**arguments)
        except StoreError as error:
            # HEAD has no body, so that only the status tells.
            if error.is_missing and error.kind != "no_such_bucket":
                return None
            raise
        version: str | None = answer.get("VersionId")
        return ObjectStat(
            size_bytes=int(answer["ContentLength"]),
            modified_at=answer["LastModified"],
            etag=(answer.get("ETag") or "").strip('"') or None,
            version_id=None if version == "null" else version,
            storage_class=answer.get("StorageClass") or "STANDARD",
            metadata=dict(answer.get("Metadata", {})),
        )

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> tuple[int, dict[str, str]]:
        """Bytes and metadata of an object, as the store has them."""
        arguments = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}
        with self._translated(bucket, "look at an object"):
            answer = self._client.head_object(**arguments)
        return int(answer["ContentLength"]), dict(answer.get("Metadata", {}))

    def request(self, operation: str, bucket: str, action: str, **arguments: Any) -> dict[str, Any]:
        """One request by the name of botocore's method; every failure is a StoreError that has the answer's headers.

        Args:
            operation: Such as C(head_object).
            bucket: The bucket.
            action: What is attempted, one of C(errors.PERMISSIONS).
            arguments: The others that the method takes.

        """
        with self._translated(bucket, action):
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=bucket, **arguments)
        return answer

    def _put(self, bucket: str, key: str, data: bytes, metadata: Mapping[str, str]) -> str | None:
        with self._translated(bucket, "write an object"):
            answer = self._client.put_object(
                Bucket=bucket, Key=key, Body=data, Metadata=dict(metadata), ChecksumSHA256=_checksum(data)
            )
        version: str | None = answer.get("VersionId")
        return None if version == "null" else version

    @contextlib.contextmanager
    def _translated(self, bucket: str, action: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            answer = error.response.get("Error", {})
            status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            text = f"{answer.get('Code', '')}: {answer.get('Message', '')}"
            failed = self._error((str(answer.get("Code", "")), status), bucket, action, text)
            failed.headers = dict(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
            raise failed from None
        except BotoCoreError as error:
            if isinstance(error, ParamValidationError):
                raise InvalidOption("bucket", bucket, "the name of a bucket, such as storebridge-backups") from None
            names = tuple(base.__name__ for base in type(error).__mro__)
            raise self._error(names, bucket, action, str(error)) from None

    def _error(self, names: tuple[str, ...], bucket: str, action: str, text: str) -> StoreError:
        detail = mask_secrets(text, self._secrets)
        return store_error(names, store=self.name, bucket=bucket, action=action, detail=detail)


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")


def _listed(entry: Mapping[str, Any]) -> ListedObject:
    return ListedObject(
        key=entry["Key"],
        size_bytes=int(entry.get("Size", 0)),
        modified_at=entry["LastModified"],
        storage_class=entry.get("StorageClass") or "STANDARD",
        etag=(entry.get("ETag") or "").strip('"') or None,
        checksum_algorithms=tuple(entry.get("ChecksumAlgorithm", ())),
    )


def connect(options: Mapping[str, Any], *, connections: int = 8) -> Store:
    """A client; nothing is sent yet.

    Args:
        options: The module parameters of C(object_store_argument_spec); further keys are ignored, empty ones not given.
        connections: How many requests may be under way at once.

    Raises:
        InvalidOption: an option that cannot work.
        MissingLibrary: boto3 is missing.
        StoreError: the credentials that were pointed to cannot be had.

    """
    if IMPORT_ERROR is not None:
        raise MissingLibrary(
            missing_required_lib("boto3", reason="for object stores: pip install boto3"), exception=IMPORT_ERROR
        )
    given = {name: value for name, value in options.items() if value not in (None, "")}
    endpoint = given.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    _check(given, endpoint)
    key, secret, token = _keys(given)
    try:
        session = botocore.session.Session(profile=None if key else given.get("profile"))
        region = given.get("region") or session.get_config_variable("region")
        config = Config(
            connect_timeout=given.get("connect_timeout", 5),
            read_timeout=given.get("read_timeout", 20),
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            max_pool_connections=connections,
            s3={"addressing_style": "path"} if _is_foreign(endpoint) else None,
            user_agent_extra="runbook.ops",
        )
        verify = given.get("ca_bundle", True) if given.get("validate_certs", True) else False
        with warnings.catch_warnings():
            # botocore warns of Pythons it will leave behind; that is no news about the store.
            warnings.simplefilter("ignore")
            client = session.create_client(
                "s3",
                region_name=region or ("us-east-1" if endpoint else None),
                endpoint_url=endpoint,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                verify=verify,
                config=config,
            )
    except ProfileNotFound:
        profile = given.get("profile") or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        raise InvalidOption("profile", profile, "a profile of the AWS configuration files on the host") from None
    except ValueError:
        raise InvalidOption("endpoint_url", _shown(endpoint), _ADDRESS) from None
    except BotoCoreError as error:
        names = tuple(base.__name__ for base in type(error).__mro__)
        detail = mask_secrets(str(error), (secret, token))
        raise store_error(names, store=_shown(endpoint), bucket="", action="log in", detail=detail) from None
    if verify is False:
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    name = _shown(endpoint) if _is_foreign(endpoint) else "Amazon S3"
    return Store(client, name, (secret, token, urlsplit(endpoint or "").password))


def _check(given: Mapping[str, Any], endpoint: str | None) -> None:
    if bool(given.get("access_key")) != bool(given.get("secret_key")):
        missing = "secret_key" if given.get("access_key") else "access_key"
        raise InvalidOption(missing, "", "access_key and secret_key together, or neither of them")
    if endpoint and not _is_address(endpoint):
        # Not shown: what cannot be read cannot be cleared of a password either.
        raise InvalidOption("endpoint_url", "(given)", _ADDRESS)
    for option in ("connect_timeout", "read_timeout"):
        if option in given and not 0 < float(given[option]) <= 3600:
            raise InvalidOption(option, given[option], "seconds above 0, at most 3600")
    bundle = given.get("ca_bundle")
    if bundle and not Path(bundle).is_file():
        raise InvalidOption("ca_bundle", bundle, "a file with certificates that exists on the host")


def _keys(given: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    key, secret, token = given.get("access_key"), given.get("secret_key"), given.get("session_token")
    if not key:
        return None, None, None
    if token and token == os.environ.get("AWS_SESSION_TOKEN") and key != os.environ.get("AWS_ACCESS_KEY_ID"):
        # The environment's token belongs to the environment's key and would spoil another one.
        token = None
    return key, secret, token


def _is_address(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_foreign(endpoint: str | None) -> bool:
    """Whether the store is not Amazon's; the others may know a bucket only by its path."""
    host = urlsplit(endpoint or "").hostname or ""
    return bool(host) and not host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _shown(endpoint: str | None) -> str:
    """The address without what may be secret in it."""
    parts = urlsplit(endpoint or "")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
