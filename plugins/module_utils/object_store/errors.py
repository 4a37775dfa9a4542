# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with an object store, in sentences for the person on call. Pure: codes in, text out."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable

# What a request needs, as AWS and MinIO policies call it.
PERMISSIONS = {
    "list objects": "s3:ListBucket",
    "list versions": "s3:ListBucketVersions",
    "list unfinished uploads": "s3:ListBucketMultipartUploads",
    "list the parts of an upload": "s3:ListMultipartUploadParts",
    "read the versioning state": "s3:GetBucketVersioning",
    "read an object": "s3:GetObject",
    "look at an object": "s3:GetObject",
    "write an object": "s3:PutObject",
    "begin an upload": "s3:PutObject",
    "upload a part": "s3:PutObject",
    "complete an upload": "s3:PutObject",
    "abort an upload": "s3:AbortMultipartUpload",
    "delete an object": "s3:DeleteObject",
    "remove a delete marker": "s3:DeleteObjectVersion",
    "look at a version": "s3:GetObjectVersion",
    "copy a version": "s3:GetObjectVersion and s3:PutObject",
}

# kind -> (codes of the store or names of botocore's exceptions, sentence).
# {store} {bucket} {action} {permission} {detail} are filled in; {detail} is the other side's own text.
_KINDS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "no_such_bucket",
        ("NoSuchBucket",),
        "Bucket {bucket} does not exist on {store}. Correct its name, or create it.",
    ),
    (
        "no_such_object",
        ("NoSuchKey", "NoSuchVersion", "NoSuchUpload"),
        "It is gone from bucket {bucket} since it was listed.",
    ),
    (
        "replaced",
        ("PreconditionFailed", "412"),
        "It was replaced by another object since it was listed. Look again.",
    ),
    (
        "unknown_access_key",
        ("InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"),
        "{store} does not know the access key. Correct access_key, or the profile it comes from.",
    ),
    (
        "wrong_secret_key",
        ("SignatureDoesNotMatch",),
        "{store} knows the access key but not this secret key. Correct secret_key, or the profile it comes from.",
    ),
    (
        "expired_token",
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "RequestExpired"),
        "The temporary credentials for {store} are expired or invalid. Get new ones, or drop session_token.",
    ),
    (
        "clock_skew",
        ("RequestTimeTooSkewed", "RequestInTheFuture"),
        "The clocks of this host and of {store} differ by more than 15 minutes. Set the clock (timedatectl, chronyc).",
    ),
    (
        "access_denied",
        ("AccessDenied", "AllAccessDisabled", "AccountProblem", "UnauthorizedAccess", "Forbidden", "403", "401"),
        "{store} refuses to {action} in bucket {bucket}. Grant the access key {permission}.",
    ),
    (
        "wrong_region",
        (
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "TemporaryRedirect",
            "301",
            "307",
        ),
        "Bucket {bucket} lives in another region ({detail}). Correct region.",
    ),
    (
        "archived",
        ("InvalidObjectState",),
        "It lies in an archive storage class and has to be restored before it can be read.",
    ),
    (
        "busy",
        ("SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "InternalError", "Throttling"),
        "{store} is overloaded or broken at the moment ({detail}). Try again; if it lasts, look at the store's log.",
    ),
    (
        "unsupported",
        ("NotImplemented", "MethodNotAllowed", "XNotImplemented", "501", "405"),
        "{store} cannot {action}.",
    ),
    (
        "no_credentials",
        (
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "TokenRetrievalError",
            "UnauthorizedSSOTokenError",
            "SSOTokenLoadError",
            "InvalidConfigError",
            "MetadataRetrievalError",
        ),
        "There are no credentials for {store} ({detail}). Give access_key and secret_key, or a profile.",
    ),
    (
        "endpoint_down",
        ("EndpointConnectionError", "ConnectionError", "ConnectionClosedError", "ProxyConnectionError"),
        "{store} cannot be reached. Start it, or correct endpoint_url, the name server or the firewall between.",
    ),
    (
        "timeout",
        ("ConnectTimeoutError", "ReadTimeoutError"),
        "{store} does not answer in time. Look at it and at the network, or raise connect_timeout and read_timeout.",
    ),
    (
        "tls",
        ("SSLError",),
        "The certificate of {store} is not accepted ({detail}). Name its authority in ca_bundle.",
    ),
    (
        "interrupted",
        ("IncompleteReadError", "ResponseStreamingError", "FlexibleChecksumError", "ChecksumError"),
        "The transfer from {store} broke off ({detail}). Try again.",
    ),
    (
        "not_a_store",
        # Numbers stand for answers without a store's error document; botocore says 500 for a page of HTML.
        ("ResponseParserError", "400", "404", "500", "502", "503", "504"),
        "{store} does not answer as an object store does ({detail}). Correct endpoint_url, or look at the store's log.",
    ),
)

# These are the same for every bucket of the store.
_STORE_WIDE = frozenset(
    (
        "unknown_access_key",
        "wrong_secret_key",
        "expired_token",
        "clock_skew",
        "no_credentials",
        "endpoint_down",
        "timeout",
        "tls",
        "not_a_store",
    )
)


class StoreError(Unavailable):
    """One request failed; C(kind) is one of the words of the table above, or C(other)."""

    def __init__(self, message: str, kind: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        # Whether what was asked for is not there: an answer to HEAD has no words, only its status.
        self.is_missing = is_missing
        # The headers of the answer, in lower case; a store tells there that a key's latest version is a delete marker.
        self.headers: dict[str, str] = {}

    @property
    def is_store_wide(self) -> bool:
        """Whether every other request would fail in the same way."""
        return self.kind in _STORE_WIDE


def store_error(names: tuple[str, ...], *, store: str, bucket: str, action: str, detail: str) -> StoreError:
    """The sentence for a failure.

    Args:
        names: The store's error code, then what else may identify the failure: the names of the exception and of its
            base classes, the HTTP status. The first one that is known decides.
        store: How messages name the store.
        bucket: The bucket concerned; may be empty.
        action: What was attempted, one of C(PERMISSIONS).
        detail: The other side's own text, without secrets.

    """
    detail = " ".join(detail.split()).rstrip(".") or names[0]
    for name in names:
        for kind, known, sentence in _KINDS:
            if name in known:
                text = sentence.format(
                    store=store,
                    bucket=bucket,
                    action=action,
                    permission=PERMISSIONS.get(action, "the right to it"),
                    detail=detail,
                )
                return StoreError(text, kind, is_missing="404" in names or kind == "no_such_object")
    return StoreError(f"{store} failed to {action} in bucket {bucket}: {detail}.", "other")
